// Choosing codewords, with gradients that pass straight through.

#define MINUS_INFINITY __uint_as_float(0xff800000u)

// For each row of similarity (n, W) the place of the largest number, the first of equals, and its row of codebook (W, dim).
// One warp a row.
extern "C" __global__ void select_codes(
    const float *similarity, const float *codebook, unsigned n, unsigned n_codewords, unsigned dim, unsigned *codes,
    float *out) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned r = (blockIdx.x * blockDim.x + threadIdx.x) / 32; r < n; r += n_warps) {
        const float *row = similarity + (unsigned long long)r * n_codewords;
        float best = MINUS_INFINITY;
        unsigned place = 0xffffffffu;
        for (unsigned w = lane; w < n_codewords; w += 32) {
            if (row[w] > best) {
                best = row[w];
                place = w;
            }
        }
        for (unsigned mask = 16; mask > 0; mask /= 2) {
            float other = __shfl_xor_sync(0xffffffffu, best, mask);
            unsigned at = __shfl_xor_sync(0xffffffffu, place, mask);
            if (other > best || (other == best && at < place)) {
                best = other;
                place = at;
            }
        }
        // Nothing but NaN leaves the first.
        if (place == 0xffffffffu) place = 0;
        if (lane == 0) codes[r] = place;
        for (unsigned k = lane; k < dim; k += 32) {
            out[(unsigned long long)r * dim + k] = codebook[(unsigned long long)place * dim + k];
        }
    }
}

// Straight through softmax(similarity / T): d_similarity = soft * (d_choice - sum soft d_choice) / T, in place of d_choice
// (n, W), the slope of each choice. One warp a row.
extern "C" __global__ void straight_through(
    const float *similarity, unsigned n, unsigned n_codewords, float temperature, float *d_choice) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    float inverse = 1.0f / temperature;
    for (unsigned r = (blockIdx.x * blockDim.x + threadIdx.x) / 32; r < n; r += n_warps) {
        const float *row = similarity + (unsigned long long)r * n_codewords;
        float *d = d_choice + (unsigned long long)r * n_codewords;
        float highest = MINUS_INFINITY, sum = 0.0f, product = 0.0f;
        for (unsigned w = lane; w < n_codewords; w += 32) highest = fmaxf(highest, row[w]);
        for (unsigned mask = 16; mask > 0; mask /= 2) highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, mask));
        for (unsigned w = lane; w < n_codewords; w += 32) {
            float e = expf(inverse * (row[w] - highest));
            sum += e;
            product = fmaf(e, d[w], product);
        }
        for (unsigned mask = 16; mask > 0; mask /= 2) {
            sum += __shfl_xor_sync(0xffffffffu, sum, mask);
            product += __shfl_xor_sync(0xffffffffu, product, mask);
        }
        float mean = product / sum, factor = inverse / sum;
        for (unsigned w = lane; w < n_codewords; w += 32) {
            d[w] = factor * expf(inverse * (row[w] - highest)) * (d[w] - mean);
        }
    }
}
