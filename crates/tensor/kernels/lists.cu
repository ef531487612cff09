// Lists: inner products of users with their lists, softmax laws, and suffix sums of exponentials.

#define MINUS_INFINITY __uint_as_float(0xff800000u)

__device__ __forceinline__ float warp_sum(float x) {
    for (unsigned mask = 16; mask > 0; mask /= 2) x += __shfl_xor_sync(0xffffffffu, x, mask);
    return x;
}

__device__ __forceinline__ float warp_max(float x) {
    for (unsigned mask = 16; mask > 0; mask /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, mask));
    return x;
}

// ln(exp a + exp b), for numbers that may be minus infinity.
__device__ __forceinline__ float log_add(float a, float b) {
    float high = fmaxf(a, b), low = fminf(a, b);
    return low == MINUS_INFINITY ? high : high + log1pf(expf(low - high));
}

// out[l * len + j] = users[places[l]] . items[slots[l * len + j]]. One warp a product.
extern "C" __global__ void list_dots(
    const float *users, const float *items, const unsigned *places, const unsigned *slots, unsigned n_lists, unsigned len,
    unsigned dim, float *out) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32, n = n_lists * len;
    for (unsigned at = (blockIdx.x * blockDim.x + threadIdx.x) / 32; at < n; at += n_warps) {
        const float *u = users + (unsigned long long)places[at / len] * dim;
        const float *i = items + (unsigned long long)slots[at] * dim;
        float x = 0.0f;
        for (unsigned k = lane; k < dim; k += 32) x = fmaf(u[k], i[k], x);
        x = warp_sum(x);
        if (lane == 0) out[at] = x;
    }
}

// Suffix sums of exponentials: out[k] = ln(sum_{i >= k} exp a[i] + sum_j exp b[j]). One warp a row; the K steps backwards are
// a scan of 32 at a time.
extern "C" __global__ void suffix_log_sum_exp(
    const float *a, const float *b, unsigned n_rows, unsigned n_a, unsigned n_b, float *out) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned r = (blockIdx.x * blockDim.x + threadIdx.x) / 32; r < n_rows; r += n_warps) {
        const float *row_a = a + (unsigned long long)r * n_a, *row_b = b + (unsigned long long)r * n_b;
        float highest = MINUS_INFINITY, sum = 0.0f;
        for (unsigned j = lane; j < n_b; j += 32) highest = fmaxf(highest, row_b[j]);
        highest = warp_max(highest);
        for (unsigned j = lane; j < n_b; j += 32) sum += expf(row_b[j] - highest);
        sum = warp_sum(sum);
        float tail = n_b == 0 ? MINUS_INFINITY : highest + logf(sum);
        for (unsigned end = n_a; end > 0; end = end > 32 ? end - 32 : 0) {
            // Lane 0 has the last of the stretch, so that a prefix over lanes is a suffix of the row.
            unsigned k = end - 1 - lane;
            bool inside = lane < end;
            float x = inside ? row_a[k] : MINUS_INFINITY;
            for (unsigned delta = 1; delta < 32; delta *= 2) {
                float before = __shfl_up_sync(0xffffffffu, x, delta);
                if (lane >= delta) x = log_add(x, before);
            }
            x = log_add(x, tail);
            if (inside) out[(unsigned long long)r * n_a + k] = x;
            tail = __shfl_sync(0xffffffffu, x, 31);
        }
    }
}

// Its backward: carried[k] = sum_{i <= k} d_out[i] exp(out[k] - out[i]), d_a[k] = carried[k] exp(a[k] - out[k]),
// d_b[j] = carried[K - 1] exp(b[j] - out[K - 1]). One warp a row; the walk over k is the first lane's.
extern "C" __global__ void suffix_log_sum_exp_backward(
    const float *a, const float *b, const float *out, const float *d_out, unsigned n_rows, unsigned n_a, unsigned n_b,
    float *d_a, float *d_b) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned r = (blockIdx.x * blockDim.x + threadIdx.x) / 32; r < n_rows; r += n_warps) {
        unsigned long long at_a = (unsigned long long)r * n_a, at_b = (unsigned long long)r * n_b;
        float carried = 0.0f;
        if (lane == 0) {
            for (unsigned k = 0; k < n_a; k++) {
                if (k > 0) carried *= expf(out[at_a + k] - out[at_a + k - 1]);
                carried += d_out[at_a + k];
                d_a[at_a + k] = carried * expf(a[at_a + k] - out[at_a + k]);
            }
        }
        carried = __shfl_sync(0xffffffffu, carried, 0);
        float last = n_a == 0 ? 0.0f : out[at_a + n_a - 1];
        for (unsigned j = lane; j < n_b; j += 32) d_b[at_b + j] = n_a == 0 ? 0.0f : carried * expf(b[at_b + j] - last);
    }
}

// Cross-entropy of softmax(teacher / T) and softmax(student / T), row by row: losses[r] in nats, d = (q - p) / T.
// One warp a row.
extern "C" __global__ void softmax_cross_entropy(
    const float *student, const float *teacher, unsigned n_rows, unsigned width, float temperature, float *losses, float *d) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    float factor = 1.0f / temperature;
    for (unsigned r = (blockIdx.x * blockDim.x + threadIdx.x) / 32; r < n_rows; r += n_warps) {
        const float *s = student + (unsigned long long)r * width, *t = teacher + (unsigned long long)r * width;
        float high_s = MINUS_INFINITY, high_t = MINUS_INFINITY;
        for (unsigned k = lane; k < width; k += 32) {
            high_s = fmaxf(high_s, s[k]);
            high_t = fmaxf(high_t, t[k]);
        }
        high_s = warp_max(high_s);
        high_t = warp_max(high_t);
        float sum_s = 0.0f, sum_t = 0.0f;
        for (unsigned k = lane; k < width; k += 32) {
            sum_s += expf(factor * (s[k] - high_s));
            sum_t += expf(factor * (t[k] - high_t));
        }
        sum_s = warp_sum(sum_s);
        sum_t = warp_sum(sum_t);
        float log_sum = factor * high_s + logf(sum_s), loss = 0.0f;
        for (unsigned k = lane; k < width; k += 32) {
            float q = expf(factor * (s[k] - high_s)) / sum_s, p = expf(factor * (t[k] - high_t)) / sum_t;
            loss = fmaf(p, log_sum - factor * s[k], loss);
            d[(unsigned long long)r * width + k] = factor * (q - p);
        }
        loss = warp_sum(loss);
        if (lane == 0) losses[r] = loss;
    }
}
