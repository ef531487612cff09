// Graph convolutions over all nodes: batch normalisation column by column, cross steps row by row, and rows in and out of wider ones.
// Everything is (rows, dim), row-major.

__device__ __forceinline__ float warp_sum(float x) {
    for (unsigned mask = 16; mask > 0; mask /= 2) x += __shfl_xor_sync(0xffffffffu, x, mask);
    return x;
}

// Sums of (y - mean_y) (x - mean_x) of columns, part by part, as column_parts.
extern "C" __global__ void covariance_parts(
    const float *x, const float *mean_x, const float *y, const float *mean_y, unsigned n_rows, unsigned width, float *parts) {
    __shared__ float eight[8][32];
    unsigned lane = threadIdx.x & 31, group = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
    float sum = 0.0f;
    if (column < width) {
        float mx = mean_x[column], my = mean_y[column];
        for (unsigned row = blockIdx.y * 8 + group; row < n_rows; row += gridDim.y * 8) {
            unsigned long long at = (unsigned long long)row * width + column;
            sum = fmaf(y[at] - my, x[at] - mx, sum);
        }
    }
    eight[group][lane] = sum;
    __syncthreads();
    if (group == 0 && column < width) {
        for (unsigned g = 1; g < 8; g++) sum += eight[g][lane];
        parts[(unsigned long long)blockIdx.y * width + column] = sum;
    }
}

// p = p a + weight b, in place; one weight a row.
extern "C" __global__ void affine_rows(
    float *p, const float *weights, const float *a, const float *b, unsigned n_rows, unsigned width) {
    unsigned long long total = (unsigned long long)n_rows * width, stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long at = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; at < total; at += stride) {
        unsigned row = at / width, k = at - (unsigned long long)row * width;
        p[at] = fmaf(weights[row], b[k], p[at] * a[k]);
    }
}

// d = a d + b (x - mean) + c, in place.
extern "C" __global__ void combine_columns(
    float *d, const float *x, const float *mean, const float *a, const float *b, const float *c, unsigned n_rows,
    unsigned width) {
    unsigned long long total = (unsigned long long)n_rows * width, stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long at = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; at < total; at += stride) {
        unsigned k = at % width;
        d[at] = fmaf(a[k], d[at], fmaf(b[k], x[at] - mean[k], c[k]));
    }
}

// Two cross steps: x2 = c1 x, out = c2 x2 with c1 = 1 + w1.x, c2 = 1 + w2.x2. One warp a row.
extern "C" __global__ void cross_steps(
    const float *x, const float *w1, const float *w2, unsigned n_rows, unsigned dim, float *gains, float *out) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned r = (blockIdx.x * blockDim.x + threadIdx.x) / 32; r < n_rows; r += n_warps) {
        unsigned long long start = (unsigned long long)r * dim;
        float first = 0.0f, second = 0.0f;
        for (unsigned k = lane; k < dim; k += 32) {
            first = fmaf(w1[start + k], x[start + k], first);
            second = fmaf(w2[start + k], x[start + k], second);
        }
        first = 1.0f + warp_sum(first);
        second = 1.0f + first * warp_sum(second);
        if (lane == 0) {
            gains[2 * r] = first;
            gains[2 * r + 1] = second;
        }
        for (unsigned k = lane; k < dim; k += 32) out[start + k] = first * second * x[start + k];
    }
}

// Backward of cross_steps: d comes as the gradient of its output and leaves as that of x; writes those of the weights.
extern "C" __global__ void cross_steps_backward(
    const float *x, const float *w1, const float *w2, const float *gains, unsigned n_rows, unsigned dim, float *d, float *d_w1,
    float *d_w2) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned r = (blockIdx.x * blockDim.x + threadIdx.x) / 32; r < n_rows; r += n_warps) {
        unsigned long long start = (unsigned long long)r * dim;
        float first = gains[2 * r], second = gains[2 * r + 1], along = 0.0f, w2_x = 0.0f;
        for (unsigned k = lane; k < dim; k += 32) {
            along = fmaf(d[start + k], x[start + k], along);
            w2_x = fmaf(w2[start + k], x[start + k], w2_x);
        }
        along = warp_sum(along);
        w2_x = warp_sum(w2_x);
        // With d the gradient of x3 = c2 x2, x2 = c1 x: that of x2 is e = c2 d + (d.x2) w2.
        float d_x2 = first * along, e_x = fmaf(d_x2, w2_x, second * along), to_w2 = first * d_x2;
        for (unsigned k = lane; k < dim; k += 32) {
            float own = x[start + k], e = fmaf(d_x2, w2[start + k], second * d[start + k]);
            d[start + k] = fmaf(e_x, w1[start + k], first * e);
            d_w1[start + k] = e_x * own;
            d_w2[start + k] = to_w2 * own;
        }
    }
}

// Columns from..from + width of rows `wide` across become columns to..to + width of rows `out_wide` across.
extern "C" __global__ void copy_columns(
    const float *x, unsigned wide, unsigned from, unsigned n_rows, unsigned width, float *out, unsigned out_wide, unsigned to) {
    unsigned long long total = (unsigned long long)n_rows * width, stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long at = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; at < total; at += stride) {
        unsigned row = at / width, k = at - (unsigned long long)row * width;
        out[(unsigned long long)row * out_wide + to + k] = x[(unsigned long long)row * wide + from + k];
    }
}

// table[rows[j]] += x[j]; no row twice.
extern "C" __global__ void add_to_rows(const float *x, const unsigned *rows, unsigned n, unsigned width, float *table) {
    unsigned long long total = (unsigned long long)n * width, stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long at = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; at < total; at += stride) {
        unsigned j = at / width;
        table[(unsigned long long)rows[j] * width + (at - (unsigned long long)j * width)] += x[at];
    }
}
