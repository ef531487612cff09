// Steps of optimisers on parameters, row-major: on every number (dense), on the rows that a batch touches, all different (rows), and on
// every row of a table of which a batch gives some a gradient (table): slots[row] is the row of grads, or 2^32 - 1.

__device__ __forceinline__ void adam_one(
    float *w, float *m, float *v, float g, float beta1, float beta2, float one_minus_beta1, float one_minus_beta2,
    float epsilon, float weight_decay, float step_size, float inverse_root) {
    g = fmaf(weight_decay, *w, g);
    *m = fmaf(one_minus_beta1, g, beta1 * *m);
    *v = fmaf(one_minus_beta2 * g, g, beta2 * *v);
    float root = fmaf(sqrtf(*v), inverse_root, epsilon);
    *w = fmaf(-step_size, *m / root, *w);
}

extern "C" __global__ void adam_dense(
    float *w, float *m, float *v, const float *grads, unsigned n, float beta1, float beta2, float one_minus_beta1,
    float one_minus_beta2, float epsilon, float weight_decay, float step_size, float inverse_root) {
    unsigned stride = gridDim.x * blockDim.x;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
        adam_one(w + i, m + i, v + i, grads[i], beta1, beta2, one_minus_beta1, one_minus_beta2, epsilon, weight_decay,
                 step_size, inverse_root);
    }
}

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

__device__ __forceinline__ void sgd_one(float *w, float g, float rate, float weight_decay) {
    *w = fmaf(-rate, fmaf(weight_decay, *w, g), *w);
}

extern "C" __global__ void sgd_dense(float *w, const float *grads, unsigned n, float rate, float weight_decay) {
    unsigned stride = gridDim.x * blockDim.x;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) sgd_one(w + i, grads[i], rate, weight_decay);
}

extern "C" __global__ void sgd_rows(
    float *w, const unsigned *rows, const float *grads, unsigned n, unsigned dim, float rate, float weight_decay) {
    unsigned long long total = (unsigned long long)n * dim, stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long at = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; at < total; at += stride) {
        unsigned j = at / dim;
        unsigned long long i = (unsigned long long)rows[j] * dim + (at - (unsigned long long)j * dim);
        sgd_one(w + i, grads[at], rate, weight_decay);
    }
}

extern "C" __global__ void sgd_table(
    float *w, const unsigned *slots, const float *grads, unsigned n, unsigned dim, float rate, float weight_decay) {
    unsigned long long total = (unsigned long long)n * dim, stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long at = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; at < total; at += stride) {
        unsigned row = at / dim, slot = slots[row];
        float g = slot == 0xffffffffu ? 0.0f : grads[(unsigned long long)slot * dim + (at - (unsigned long long)row * dim)];
        sgd_one(w + at, g, rate, weight_decay);
    }
}
