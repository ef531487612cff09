// Scores of items from their bits: bits - 2 * hamming.

#define QUERIES 8

// codes (words, n): word after word, so that neighbouring threads read neighbouring words; queries (n_queries, words); scores
// (n_queries, n). A thread takes one item and the eight queries from 8 * blockIdx.y on, which share each load of a word.
extern "C" __global__ void scan_bits(
    const unsigned long long *codes, const unsigned long long *queries, unsigned n, unsigned words, unsigned n_queries,
    unsigned code_bits, float *scores) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x, first = blockIdx.y * QUERIES;
    if (i >= n) return;
    unsigned distances[QUERIES];
    for (unsigned q = 0; q < QUERIES; q++) distances[q] = 0;
    for (unsigned w = 0; w < words; w++) {
        unsigned long long code = codes[(unsigned long long)w * n + i];
        for (unsigned q = 0; q < QUERIES; q++) {
            // Beyond the last query, that one again.
            unsigned at = min(first + q, n_queries - 1);
            distances[q] += __popcll(code ^ queries[(unsigned long long)at * words + w]);
        }
    }
    for (unsigned q = 0; q < QUERIES; q++) {
        if (first + q < n_queries) {
            scores[(unsigned long long)(first + q) * n + i] = (float)((int)code_bits - 2 * (int)distances[q]);
        }
    }
}
