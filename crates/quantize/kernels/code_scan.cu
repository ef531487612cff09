// Scores of items from their codes: the sum over codebooks of table[codebook][code], in the order of the codebooks.

#define ROOM 8192
#define EACH 8

// codes lie in blocks of 64 items, [block, planes, 64], the last one [planes, rest]; of four bits, two codebooks share a plane, the even
// one low. tables (queries, n_codebooks, n_codewords), scores (queries, n). A block of 256 threads takes 2048 items of query blockIdx.y,
// with as many codebooks' tables at a time as fit in shared memory.
extern "C" __global__ void scan_codes(
    const unsigned char *codes, const float *tables, unsigned n, unsigned n_codebooks, unsigned n_codewords, unsigned planes,
    unsigned four_bit, float *scores) {
    __shared__ float table[ROOM];
    const float *own = tables + (unsigned long long)blockIdx.y * n_codebooks * n_codewords;
    unsigned at_a_time = ROOM / n_codewords;
    float sums[EACH];
    for (unsigned j = 0; j < EACH; j++) sums[j] = 0.0f;
    for (unsigned first = 0; first < n_codebooks; first += at_a_time) {
        unsigned end = min(first + at_a_time, n_codebooks);
        __syncthreads();
        for (unsigned e = threadIdx.x; e < (end - first) * n_codewords; e += 256) table[e] = own[first * n_codewords + e];
        __syncthreads();
        for (unsigned j = 0; j < EACH; j++) {
            unsigned i = blockIdx.x * 256 * EACH + j * 256 + threadIdx.x;
            if (i >= n) continue;
            unsigned block = i / 64, width = min(64u, n - block * 64);
            const unsigned char *column = codes + (unsigned long long)block * 64 * planes + i % 64;
            for (unsigned b = first; b < end; b++) {
                unsigned code = four_bit ? column[b / 2 * width] >> (b % 2 * 4) & 15u : column[b * width];
                sums[j] += table[(b - first) * n_codewords + code];
            }
        }
    }
    for (unsigned j = 0; j < EACH; j++) {
        unsigned i = blockIdx.x * 256 * EACH + j * 256 + threadIdx.x;
        if (i < n) scores[(unsigned long long)blockIdx.y * n + i] = sums[j];
    }
}
