// Sparse matrices in compressed rows, times dense ones. One warp a row of the result.

// out[j] = (A x)[rows[j]]
extern "C" __global__ void spmm_rows(
    const unsigned long long *offsets, const unsigned *columns, const float *values, const unsigned *rows, unsigned n_rows,
    const float *x, unsigned dim, float *out) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned j = (blockIdx.x * blockDim.x + threadIdx.x) / 32; j < n_rows; j += n_warps) {
        unsigned row = rows[j];
        for (unsigned k = lane; k < dim; k += 32) {
            float sum = 0.0f;
            for (unsigned long long e = offsets[row]; e < offsets[row + 1]; e++) {
                sum = fmaf(values[e], x[(unsigned long long)columns[e] * dim + k], sum);
            }
            out[(unsigned long long)j * dim + k] = sum;
        }
    }
}

// out = A x
extern "C" __global__ void spmm(
    const unsigned long long *offsets, const unsigned *columns, const float *values, unsigned n_rows, const float *x,
    unsigned dim, float *out) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned row = (blockIdx.x * blockDim.x + threadIdx.x) / 32; row < n_rows; row += n_warps) {
        for (unsigned k = lane; k < dim; k += 32) {
            float sum = 0.0f;
            for (unsigned long long e = offsets[row]; e < offsets[row + 1]; e++) {
                sum = fmaf(values[e], x[(unsigned long long)columns[e] * dim + k], sum);
            }
            out[(unsigned long long)row * dim + k] = sum;
        }
    }
}

// out += At g, where only some rows of g are there: slots[row] is its place in g, or 2^32 - 1. The matrix given is A transposed.
extern "C" __global__ void spmm_some(
    const unsigned long long *offsets, const unsigned *columns, const float *values, unsigned n_rows, const unsigned *slots,
    const float *g, unsigned dim, float *out) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned row = (blockIdx.x * blockDim.x + threadIdx.x) / 32; row < n_rows; row += n_warps) {
        for (unsigned k = lane; k < dim; k += 32) {
            float sum = 0.0f;
            for (unsigned long long e = offsets[row]; e < offsets[row + 1]; e++) {
                unsigned slot = slots[columns[e]];
                if (slot != 0xffffffffu) sum = fmaf(values[e], g[(unsigned long long)slot * dim + k], sum);
            }
            out[(unsigned long long)row * dim + k] += sum;
        }
    }
}
