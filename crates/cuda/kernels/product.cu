// Matrix products. All matrices are row-major. Each value is one chain of fused multiply-adds over rising k, so that a row's
// product has the same bits beside any others.

#define TILE 64
#define DEPTH 16

// c = alpha op(a) op(b) + beta c, with op(a) (m, k) and op(b) (k, n); transposed_a says that a is stored (k, m), transposed_b
// that b is stored (n, k). A block of 256 threads makes tiles of 64 x 64, each thread 4 x 4 of one; a grid lower than c takes rows of
// tiles in turn.
extern "C" __global__ void gemm(
    const float *a, const float *b, float *c, unsigned m, unsigned n, unsigned k, unsigned transposed_a,
    unsigned transposed_b, float alpha, float beta) {
    __shared__ float tile_a[DEPTH][TILE + 4];
    __shared__ float tile_b[DEPTH][TILE + 4];
    unsigned column = blockIdx.x * TILE, ty = threadIdx.x / 16 * 4, tx = threadIdx.x % 16 * 4;
    unsigned n_tiles = m / TILE + (m % TILE != 0);
    for (unsigned tile = blockIdx.y; tile < n_tiles; tile += gridDim.y) {
        unsigned row = tile * TILE;
        float sums[4][4];
        for (unsigned i = 0; i < 4; i++) {
            for (unsigned j = 0; j < 4; j++) sums[i][j] = 0.0f;
        }
        for (unsigned start = 0; start < k; start += DEPTH) {
            for (unsigned e = threadIdx.x; e < TILE * DEPTH; e += 256) {
                // Neighbours in the file are neighbours among the threads.
                unsigned i = transposed_a ? e % TILE : e / DEPTH, p = transposed_a ? e / TILE : e % DEPTH;
                unsigned r = row + i, q = start + p;
                bool inside = r < m && q < k;
                unsigned long long at = transposed_a ? (unsigned long long)q * m + r : (unsigned long long)r * k + q;
                tile_a[p][i] = inside ? a[at] : 0.0f;
            }
            for (unsigned e = threadIdx.x; e < TILE * DEPTH; e += 256) {
                unsigned j = transposed_b ? e / DEPTH : e % TILE, p = transposed_b ? e % DEPTH : e / TILE;
                unsigned s = column + j, q = start + p;
                bool inside = s < n && q < k;
                unsigned long long at = transposed_b ? (unsigned long long)s * k + q : (unsigned long long)q * n + s;
                tile_b[p][j] = inside ? b[at] : 0.0f;
            }
            __syncthreads();
            for (unsigned p = 0; p < DEPTH; p++) {
                for (unsigned i = 0; i < 4; i++) {
                    for (unsigned j = 0; j < 4; j++) sums[i][j] = fmaf(tile_a[p][ty + i], tile_b[p][tx + j], sums[i][j]);
                }
            }
            __syncthreads();
        }
        for (unsigned i = 0; i < 4; i++) {
            for (unsigned j = 0; j < 4; j++) {
                unsigned r = row + ty + i, s = column + tx + j;
                if (r < m && s < n) {
                    unsigned long long at = (unsigned long long)r * n + s;
                    c[at] = alpha * sums[i][j] + (beta == 0.0f ? 0.0f : beta * c[at]);
                }
            }
        }
    }
}
