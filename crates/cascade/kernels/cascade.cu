// A cascade over pairs (user of the batch, item), a pair's number being user * n_items + item. After each module the survivors are
// written into a shorter list, so that the next module's warps all have work.

// Values of a module, bias to be added, of the pairs given (all pairs, in their order, if first). A pair whose value is at most the
// threshold goes on: its number to next, its place in this list to from. Of a rejected one the score is its marker,
// base * (1.5 + D / (2 + 2 |D|)).
extern "C" __global__ void keep_survivors(
    const float *values, const unsigned *pairs, unsigned first, unsigned n, float bias, float threshold, float base,
    unsigned *next, unsigned *from, unsigned *n_next, float *scores) {
    unsigned lane = threadIdx.x & 31, stride = gridDim.x * blockDim.x;
    // All lanes of a warp stay together, those beyond the end too.
    for (unsigned start = blockIdx.x * blockDim.x; start < n; start += stride) {
        unsigned s = start + threadIdx.x;
        bool inside = s < n;
        float value = inside ? values[s] + bias : 0.0f;
        unsigned pair = inside ? (first ? s : pairs[s]) : 0;
        bool keeps = inside && value <= threshold;
        unsigned kept = __ballot_sync(0xffffffffu, keeps), at = 0;
        if (lane == 0 && kept) at = atomicAdd(n_next, (unsigned)__popc(kept));
        at = __shfl_sync(0xffffffffu, at, 0) + __popc(kept & ((1u << lane) - 1));
        if (keeps) {
            next[at] = pair;
            from[at] = s;
        } else if (inside) {
            float place = value / (1.0f + fabsf(value));
            place = fminf(fmaxf(place, -0.999999f), 0.999999f);
            scores[pair] = base * (1.5f + 0.5f * place);
        }
    }
}

// The layer of a module and the product of the next head with what comes out, for the survivors of the module. One warp a pair.
// z = P[u] * Q[i] is made anew; before, of width d, is the output of the module above, read at from[s] if deep. The head's sum runs in
// sixteen chains and then a tree.
extern "C" __global__ void run_module(
    const float *users, const float *items, unsigned n_items, unsigned dim, const unsigned *pairs, const unsigned *from,
    unsigned n, const float *before, unsigned deep, const float *weight, const float *head, float *after, float *values) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned s = (blockIdx.x * blockDim.x + threadIdx.x) / 32; s < n; s += n_warps) {
        unsigned pair = pairs[s];
        const float *p = users + (unsigned long long)(pair / n_items) * dim;
        const float *q = items + (unsigned long long)(pair % n_items) * dim;
        const float *h = before + (deep ? (unsigned long long)from[s] * dim : 0ull);
        float *out = after + (unsigned long long)s * dim;
        for (unsigned j = lane; j < dim; j += 32) {
            float sum = 0.0f;
            for (unsigned k = 0; k < dim; k++) sum = fmaf(p[k] * q[k], weight[k * dim + j], sum);
            if (deep) {
                for (unsigned k = 0; k < dim; k++) sum = fmaf(h[k], weight[(dim + k) * dim + j], sum);
            }
            out[j] = sum > 0.0f ? sum : 0.0f;
        }
        __syncwarp();
        float sum = 0.0f;
        if (lane < 16) {
            for (unsigned k = lane; k < dim; k += 16) sum = fmaf(p[k] * q[k], head[k], sum);
            for (unsigned k = lane; k < dim; k += 16) sum = fmaf(out[k], head[dim + k], sum);
        }
        for (unsigned half = 8; half > 0; half /= 2) sum += __shfl_sync(0xffffffffu, sum, (lane + half) & 31);
        if (lane == 0) values[s] = sum;
    }
}

// Scores of the pairs that no module rejected (all pairs, in their order, if first).
extern "C" __global__ void score_survivors(
    const float *values, const unsigned *pairs, unsigned first, unsigned n, float bias, float *scores) {
    unsigned stride = gridDim.x * blockDim.x;
    for (unsigned s = blockIdx.x * blockDim.x + threadIdx.x; s < n; s += stride) {
        scores[first ? s : pairs[s]] = values[s] + bias;
    }
}
