// Matrix products and the ends of dense layers. All matrices are row-major.

#define TILE 64
#define DEPTH 16

// c = alpha op(a) op(b) + beta c, with op(a) (m, k) and op(b) (k, n); transposed_a says that a is stored (k, m), transposed_b
// that b is stored (n, k). A block of 256 threads makes a tile of 64 x 64, each thread 4 x 4 of it.
extern "C" __global__ void gemm(
    const float *a, const float *b, float *c, unsigned m, unsigned n, unsigned k, unsigned transposed_a,
    unsigned transposed_b, float alpha, float beta) {
    __shared__ float tile_a[DEPTH][TILE + 4];
    __shared__ float tile_b[DEPTH][TILE + 4];
    unsigned row = blockIdx.y * TILE, column = blockIdx.x * TILE;
    unsigned ty = threadIdx.x / 16 * 4, tx = threadIdx.x % 16 * 4;
    float sums[4][4];
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 4; j++) sums[i][j] = 0.0f;
    }
    for (unsigned start = 0; start < k; start += DEPTH) {
        for (unsigned e = threadIdx.x; e < TILE * DEPTH; e += 256) {
            // Neighbours in the file are neighbours among the threads.
            unsigned i = transposed_a ? e % TILE : e / DEPTH, p = transposed_a ? e / TILE : e % DEPTH;
            unsigned r = row + i, q = start + p;
            bool inside = r < m && q < k;
            unsigned long long at = transposed_a ? (unsigned long long)q * m + r : (unsigned long long)r * k + q;
            tile_a[p][i] = inside ? a[at] : 0.0f;
        }
        for (unsigned e = threadIdx.x; e < TILE * DEPTH; e += 256) {
            unsigned j = transposed_b ? e / DEPTH : e % TILE, p = transposed_b ? e % DEPTH : e / TILE;
            unsigned s = column + j, q = start + p;
            bool inside = s < n && q < k;
            unsigned long long at = transposed_b ? (unsigned long long)s * k + q : (unsigned long long)q * n + s;
            tile_b[p][j] = inside ? b[at] : 0.0f;
        }
        __syncthreads();
        for (unsigned p = 0; p < DEPTH; p++) {
            for (unsigned i = 0; i < 4; i++) {
                for (unsigned j = 0; j < 4; j++) sums[i][j] = fmaf(tile_a[p][ty + i], tile_b[p][tx + j], sums[i][j]);
            }
        }
        __syncthreads();
    }
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 4; j++) {
            unsigned r = row + ty + i, s = column + tx + j;
            if (r < m && s < n) {
                unsigned long long at = (unsigned long long)r * n + s;
                c[at] = alpha * sums[i][j] + (beta == 0.0f ? 0.0f : beta * c[at]);
            }
        }
    }
}

// 0 identity, 1 ReLU, 2 sigmoid, 3 tanh.
__device__ __forceinline__ float activate(float z, unsigned activation) {
    if (activation == 1) return z > 0.0f ? z : 0.0f;
    if (activation == 2) {
        float e = expf(-fabsf(z));
        return (z >= 0.0f ? 1.0f : e) / (1.0f + e);
    }
    return activation == 3 ? tanhf(z) : z;
}

// y = act(y + bias), in place.
extern "C" __global__ void bias_act(float *y, const float *bias, unsigned n_rows, unsigned width, unsigned activation) {
    unsigned long long total = (unsigned long long)n_rows * width, stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long at = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; at < total; at += stride) {
        y[at] = activate(y[at] + bias[at % width], activation);
    }
}

// dy = dy act'(z), in place, from the layer's output y.
extern "C" __global__ void activation_backward(const float *y, float *dy, unsigned n, unsigned activation) {
    unsigned stride = gridDim.x * blockDim.x;
    for (unsigned at = blockIdx.x * blockDim.x + threadIdx.x; at < n; at += stride) {
        float out = y[at], slope = 1.0f;
        if (activation == 1) slope = out > 0.0f ? 1.0f : 0.0f;
        if (activation == 2) slope = out * (1.0f - out);
        if (activation == 3) slope = 1.0f - out * out;
        dy[at] *= slope;
    }
}

// sums[column] += sum of a column of x, row after row. One thread a column.
extern "C" __global__ void column_sums_add(const float *x, unsigned n_rows, unsigned width, float *sums) {
    unsigned stride = gridDim.x * blockDim.x;
    for (unsigned column = blockIdx.x * blockDim.x + threadIdx.x; column < width; column += stride) {
        float sum = sums[column];
        for (unsigned row = 0; row < n_rows; row++) sum += x[(unsigned long long)row * width + column];
        sums[column] = sum;
    }
}
