// The best k of each row of scores, in the order of recommendations: score descending, id ascending.
//
// A score and its id are one key of 64 bits, larger is better: the bits of the score turned so that they rise with it, above the
// complement of the id. Keys differ, so "the best k" is "all keys from the k-th largest on". That key is found digit by digit, from
// the highest, by counting (radix select); a row is done as soon as the digit found holds no more keys than are wanted.

#define DIGITS 2048

// 0 for what must not come back; NaN has no key and is caught before.
__device__ __forceinline__ unsigned long long key_of(float score, unsigned item, const unsigned *mask) {
    if (mask && (mask[item / 32] >> (item % 32) & 1u)) return 0ull;
    // + 0 turns -0 into 0.
    unsigned bits = __float_as_uint(score + 0.0f);
    unsigned rising = bits >> 31 ? ~bits : bits | 0x80000000u;
    return (unsigned long long)rising << 32 | (0xffffffffu - item);
}

// Row of masks of a query: none, one for all, or one each.
__device__ __forceinline__ const unsigned *mask_of(const unsigned *masks, unsigned n_masks, unsigned q, unsigned n) {
    if (n_masks == 0) return 0;
    return masks + (n_masks == 1 ? 0ull : (unsigned long long)q * ((n + 31) / 32));
}

// Counts the keys that begin as found so far, by their next digit: bits from shift on; from is where the digits found end, 64 before
// the first. Notes the first item whose score is NaN. A block takes 4096 items of row blockIdx.y.
extern "C" __global__ void count_digits(
    const float *scores, const unsigned *masks, unsigned n_masks, unsigned n, const unsigned long long *found,
    const unsigned *done, unsigned shift, unsigned from, unsigned *counts, unsigned *not_a_number) {
    __shared__ unsigned local[DIGITS];
    unsigned q = blockIdx.y, n_digits = 1u << (from - shift);
    if (done[q]) return;
    for (unsigned d = threadIdx.x; d < n_digits; d += blockDim.x) local[d] = 0;
    __syncthreads();
    const unsigned *mask = mask_of(masks, n_masks, q, n);
    for (unsigned j = 0; j < 16; j++) {
        unsigned i = blockIdx.x * 4096 + j * 256 + threadIdx.x;
        if (i >= n) continue;
        float score = scores[(unsigned long long)q * n + i];
        if (score != score) {
            atomicMin(not_a_number + q, i);
            continue;
        }
        unsigned long long key = key_of(score, i, mask);
        bool begins = from == 64 || key >> from == found[q] >> from;
        if (key != 0 && begins) atomicAdd(local + (unsigned)(key >> shift & (n_digits - 1)), 1u);
    }
    __syncthreads();
    for (unsigned d = threadIdx.x; d < n_digits; d += blockDim.x) {
        if (local[d]) atomicAdd(counts + q * DIGITS + d, local[d]);
    }
}

// Fixes the next digit of the k-th largest key, and clears the counts. left is how many keys are wanted of those that begin as found.
// Where fewer keys are there than wanted, every one is. One block of 256 threads a row.
extern "C" __global__ void pick_digit(
    unsigned shift, unsigned n_digits, unsigned *counts, unsigned long long *found, unsigned *left, unsigned *done) {
    __shared__ unsigned sums[256];
    unsigned q = blockIdx.x, each = n_digits / 256;
    unsigned *own = counts + q * DIGITS;
    if (done[q]) return;
    unsigned sum = 0;
    for (unsigned d = 0; d < each; d++) sum += own[threadIdx.x * each + d];
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned wanted = left[q], t = 256;
        while (t > 0 && wanted > sums[t - 1]) wanted -= sums[--t];
        if (t == 0) {
            done[q] = 1;
        } else {
            unsigned d = t * each;
            while (wanted > own[d - 1]) wanted -= own[--d];
            found[q] |= (unsigned long long)(d - 1) << shift;
            left[q] = wanted;
            if (own[d - 1] == wanted) done[q] = 1;
        }
    }
    __syncthreads();
    for (unsigned d = threadIdx.x; d < n_digits; d += blockDim.x) own[d] = 0;
}

// Writes the keys that are not below the one found, k at most, in any order.
extern "C" __global__ void collect_best(
    const float *scores, const unsigned *masks, unsigned n_masks, unsigned n, const unsigned long long *found, unsigned k,
    unsigned *taken, unsigned long long *best) {
    unsigned q = blockIdx.y;
    const unsigned *mask = mask_of(masks, n_masks, q, n);
    for (unsigned j = 0; j < 16; j++) {
        unsigned i = blockIdx.x * 4096 + j * 256 + threadIdx.x;
        if (i >= n) continue;
        unsigned long long key = key_of(scores[(unsigned long long)q * n + i], i, mask);
        if (key == 0 || key < found[q]) continue;
        unsigned at = atomicAdd(taken + q, 1u);
        if (at < k) best[(unsigned long long)q * k + at] = key;
    }
}
