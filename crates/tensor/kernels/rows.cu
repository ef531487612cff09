// Rows of tables: gathering, and adding gradients up. Tables are row-major.

// out[j] = table[rows[j]]
extern "C" __global__ void gather_rows(const float *table, const unsigned *rows, unsigned n, unsigned dim, float *out) {
    unsigned long long total = (unsigned long long)n * dim, stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long at = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; at < total; at += stride) {
        unsigned j = at / dim, k = at - (unsigned long long)j * dim;
        out[at] = table[(unsigned long long)rows[j] * dim + k];
    }
}

// y += a x
extern "C" __global__ void axpy(float a, const float *x, unsigned n, float *y) {
    unsigned stride = gridDim.x * blockDim.x;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) y[i] = fmaf(a, x[i], y[i]);
}

// out[r] = sum of grads[at[e]] over the entries e of segment r, in their order: a sum that is the same every time.
// One warp a segment.
extern "C" __global__ void sum_segments(
    const float *grads, const unsigned *offsets, const unsigned *at, unsigned n_segments, unsigned dim, float *out) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned r = (blockIdx.x * blockDim.x + threadIdx.x) / 32; r < n_segments; r += n_warps) {
        for (unsigned k = lane; k < dim; k += 32) {
            float sum = 0.0f;
            for (unsigned e = offsets[r]; e < offsets[r + 1]; e++) sum += grads[(unsigned long long)at[e] * dim + k];
            out[(unsigned long long)r * dim + k] = sum;
        }
    }
}
