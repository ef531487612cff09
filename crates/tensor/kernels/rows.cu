// Rows of tables: gathering, adding gradients up, and Adam's steps. Tables are row-major.

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

__device__ __forceinline__ void adam_one(
    float *w, float *m, float *v, float g, float beta1, float beta2, float one_minus_beta1, float one_minus_beta2,
    float epsilon, float weight_decay, float step_size, float inverse_root) {
    g = fmaf(weight_decay, *w, g);
    *m = fmaf(one_minus_beta1, g, beta1 * *m);
    *v = fmaf(one_minus_beta2 * g, g, beta2 * *v);
    float root = fmaf(sqrtf(*v), inverse_root, epsilon);
    *w = fmaf(-step_size, *m / root, *w);
}

// One step of Adam on every number.
extern "C" __global__ void adam_dense(
    float *w, float *m, float *v, const float *grads, unsigned n, float beta1, float beta2, float one_minus_beta1,
    float one_minus_beta2, float epsilon, float weight_decay, float step_size, float inverse_root) {
    unsigned stride = gridDim.x * blockDim.x;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
        adam_one(w + i, m + i, v + i, grads[i], beta1, beta2, one_minus_beta1, one_minus_beta2, epsilon, weight_decay,
                 step_size, inverse_root);
    }
}

// One step of Adam on the rows that a batch touches; grads (n, dim) belongs to rows (n), all different.
extern "C" __global__ void adam_rows(
    float *w, float *m, float *v, const unsigned *rows, const float *grads, unsigned n, unsigned dim, float beta1,
    float beta2, float one_minus_beta1, float one_minus_beta2, float epsilon, float weight_decay, float step_size,
    float inverse_root) {
    unsigned long long total = (unsigned long long)n * dim, stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long at = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; at < total; at += stride) {
        unsigned j = at / dim;
        unsigned long long i = (unsigned long long)rows[j] * dim + (at - (unsigned long long)j * dim);
        adam_one(w + i, m + i, v + i, grads[at], beta1, beta2, one_minus_beta1, one_minus_beta2, epsilon, weight_decay,
                 step_size, inverse_root);
    }
}

// One step of Adam on every row of a table, of which only some have a gradient: slots[row] is the row of grads, or 2^32 - 1.
extern "C" __global__ void adam_table(
    float *w, float *m, float *v, const unsigned *slots, const float *grads, unsigned n, unsigned dim, float beta1,
    float beta2, float one_minus_beta1, float one_minus_beta2, float epsilon, float weight_decay, float step_size,
    float inverse_root) {
    unsigned long long total = (unsigned long long)n * dim, stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long at = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; at < total; at += stride) {
        unsigned row = at / dim, slot = slots[row];
        float g = slot == 0xffffffffu ? 0.0f : grads[(unsigned long long)slot * dim + (at - (unsigned long long)row * dim)];
        adam_one(w + at, m + at, v + at, g, beta1, beta2, one_minus_beta1, one_minus_beta2, epsilon, weight_decay,
                 step_size, inverse_root);
    }
}
