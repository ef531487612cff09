// Losses of samples. Each writes the loss of a sample beside its slope; sums are taken in a fixed order by sum_blocks.

__device__ __forceinline__ float softplus(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }

__device__ __forceinline__ float sigmoid(float x) {
    float e = expf(-fabsf(x));
    return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

__device__ __forceinline__ float warp_sum(float x) {
    for (unsigned mask = 16; mask > 0; mask /= 2) x += __shfl_xor_sync(0xffffffffu, x, mask);
    return x;
}

// BPR of samples (user, positive, negative): losses[s] = softplus(-u.(i - j)), slopes[s] = -scale * sigmoid(-u.(i - j)).
// One warp a sample; the warps of a block stay together, so that all lanes of a warp are there for its sums.
extern "C" __global__ void bpr_slopes(
    const float *users, const float *items, const unsigned *u, const unsigned *i, const unsigned *j, unsigned n, unsigned dim,
    float scale, float *losses, float *slopes) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned s = (blockIdx.x * blockDim.x + threadIdx.x) / 32; s < n; s += n_warps) {
        const float *pu = users + (unsigned long long)u[s] * dim;
        const float *pi = items + (unsigned long long)i[s] * dim, *pj = items + (unsigned long long)j[s] * dim;
        float x = 0.0f;
        for (unsigned k = lane; k < dim; k += 32) x = fmaf(pu[k], pi[k] - pj[k], x);
        x = warp_sum(x);
        if (lane == 0) {
            losses[s] = softplus(-x);
            slopes[s] = -scale * sigmoid(-x);
        }
    }
}

// Gradients of users: d[r] = sum over its samples s of slopes[s] * (i - j) + l2 * u. One warp a row; at[e] is a sample.
extern "C" __global__ void bpr_users(
    const float *users, const float *items, const unsigned *i, const unsigned *j, const float *slopes,
    const unsigned *offsets, const unsigned *at, unsigned n_rows, unsigned dim, float l2, float *d) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned r = (blockIdx.x * blockDim.x + threadIdx.x) / 32; r < n_rows; r += n_warps) {
        for (unsigned k = lane; k < dim; k += 32) {
            float own = users[(unsigned long long)r * dim + k], sum = 0.0f;
            for (unsigned e = offsets[r]; e < offsets[r + 1]; e++) {
                unsigned s = at[e];
                float gap = items[(unsigned long long)i[s] * dim + k] - items[(unsigned long long)j[s] * dim + k];
                sum = fmaf(l2, own, fmaf(slopes[s], gap, sum));
            }
            d[(unsigned long long)r * dim + k] = sum;
        }
    }
}

// Gradients of items: at[e] is twice the sample, plus one where the item is its negative.
extern "C" __global__ void bpr_items(
    const float *users, const float *items, const unsigned *u, const float *slopes, const unsigned *offsets,
    const unsigned *at, unsigned n_rows, unsigned dim, float l2, float *d) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned r = (blockIdx.x * blockDim.x + threadIdx.x) / 32; r < n_rows; r += n_warps) {
        for (unsigned k = lane; k < dim; k += 32) {
            float own = items[(unsigned long long)r * dim + k], sum = 0.0f;
            for (unsigned e = offsets[r]; e < offsets[r + 1]; e++) {
                unsigned s = at[e] / 2;
                float slope = at[e] & 1 ? -slopes[s] : slopes[s];
                sum = fmaf(l2, own, fmaf(slope, users[(unsigned long long)u[s] * dim + k], sum));
            }
            d[(unsigned long long)r * dim + k] = sum;
        }
    }
}

// Cross-entropy with logits: losses = t softplus(-z) + (1 - t) softplus(z), d = scale * (sigmoid(z) - t).
extern "C" __global__ void bce_with_logits(
    const float *logits, const float *targets, unsigned n, float scale, float *losses, float *d) {
    unsigned stride = gridDim.x * blockDim.x;
    for (unsigned s = blockIdx.x * blockDim.x + threadIdx.x; s < n; s += stride) {
        float z = logits[s], t = targets[s];
        losses[s] = t * softplus(-z) + (1.0f - t) * softplus(z);
        d[s] = scale * (sigmoid(z) - t);
    }
}

// Hinge: losses = max(0, target - x), d = -scale inside the margin, else 0. NaN stays NaN.
extern "C" __global__ void hinge(const float *margins, unsigned n, float target, float scale, float *losses, float *d) {
    unsigned stride = gridDim.x * blockDim.x;
    for (unsigned s = blockIdx.x * blockDim.x + threadIdx.x; s < n; s += stride) {
        float gap = target - margins[s];
        losses[s] = gap < 0.0f ? 0.0f : gap;
        d[s] = gap > 0.0f ? -scale : (gap <= 0.0f ? 0.0f : gap);
    }
}

// Hinge of values with labels of -1 or +1: losses = max(0, 1 - label x), d = -scale label inside the margin, else 0. NaN stays NaN.
extern "C" __global__ void labelled_hinge(
    const float *values, const float *labels, unsigned n, float scale, float *losses, float *d) {
    unsigned stride = gridDim.x * blockDim.x;
    for (unsigned s = blockIdx.x * blockDim.x + threadIdx.x; s < n; s += stride) {
        float gap = 1.0f - values[s] * labels[s];
        losses[s] = gap <= 0.0f ? 0.0f : gap;
        d[s] = gap > 0.0f ? -scale * labels[s] : (gap <= 0.0f ? 0.0f : gap);
    }
}

// losses = (x - target)^2 / 2, d = scale (x - target).
extern "C" __global__ void half_squares(
    const float *values, const float *targets, unsigned n, float scale, float *losses, float *d) {
    unsigned stride = gridDim.x * blockDim.x;
    for (unsigned s = blockIdx.x * blockDim.x + threadIdx.x; s < n; s += stride) {
        float gap = values[s] - targets[s];
        losses[s] = 0.5f * gap * gap;
        d[s] = scale * gap;
    }
}

// Gradients of one side's rows from the slopes of inner products: over the samples s of row r, slopes[s] (row of the other side)
// + l2 (own row). One warp a row; sums in the order of the samples.
extern "C" __global__ void labelled_rows(
    const float *own, const float *others, const unsigned *other_of, const float *slopes, const unsigned *offsets,
    const unsigned *at, unsigned n_rows, unsigned dim, float l2, float *d) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned r = (blockIdx.x * blockDim.x + threadIdx.x) / 32; r < n_rows; r += n_warps) {
        for (unsigned k = lane; k < dim; k += 32) {
            float mine = own[(unsigned long long)r * dim + k], sum = 0.0f;
            for (unsigned e = offsets[r]; e < offsets[r + 1]; e++) {
                unsigned s = at[e];
                sum = fmaf(l2, mine, fmaf(slopes[s], others[(unsigned long long)other_of[s] * dim + k], sum));
            }
            d[(unsigned long long)r * dim + k] = sum;
        }
    }
}

// sums[block] = sum of its share of x, in a fixed order and in double precision; 256 threads a block.
extern "C" __global__ void sum_blocks(const float *x, unsigned n, double *sums) {
    __shared__ double partial[256];
    double sum = 0.0;
    for (unsigned i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) sum += x[i];
    partial[threadIdx.x] = sum;
    for (unsigned half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = partial[0];
}
