// Pairs of a user's and an item's row, each [product part (gmf) ; tower part (mlp)], as neural collaborative filtering reads them.

// product[s] = u * i of the first parts, tower[s] = [u ; i] of the second ones. users and items are rows of gmf + mlp.
extern "C" __global__ void read_pairs(
    const float *users, const float *items, const unsigned *u, const unsigned *i, unsigned n, unsigned gmf, unsigned mlp,
    float *product, float *tower) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32, dim = gmf + mlp;
    for (unsigned s = (blockIdx.x * blockDim.x + threadIdx.x) / 32; s < n; s += n_warps) {
        const float *p = users + (unsigned long long)u[s] * dim, *q = items + (unsigned long long)i[s] * dim;
        for (unsigned k = lane; k < gmf; k += 32) product[(unsigned long long)s * gmf + k] = p[k] * q[k];
        float *out = tower + (unsigned long long)s * 2 * mlp;
        for (unsigned k = lane; k < mlp; k += 32) {
            out[k] = p[gmf + k];
            out[mlp + k] = q[gmf + k];
        }
    }
}

// logits[s] = weights . [product[s] ; top[s]] + bias[0]. One warp a pair.
extern "C" __global__ void pair_logits(
    const float *product, const float *top, const float *weights, const float *bias, unsigned n, unsigned gmf,
    unsigned width, float *logits) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned s = (blockIdx.x * blockDim.x + threadIdx.x) / 32; s < n; s += n_warps) {
        float sum = 0.0f;
        for (unsigned k = lane; k < gmf; k += 32) sum = fmaf(weights[k], product[(unsigned long long)s * gmf + k], sum);
        for (unsigned k = lane; k < width; k += 32) {
            sum = fmaf(weights[gmf + k], top[(unsigned long long)s * width + k], sum);
        }
        for (unsigned mask = 16; mask > 0; mask /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, mask);
        if (lane == 0) logits[s] = sum + bias[0];
    }
}

// out[s] = slopes[s] * weights[from..from + width].
extern "C" __global__ void outer(
    const float *slopes, const float *weights, unsigned n, unsigned width, unsigned from, float *out) {
    unsigned long long total = (unsigned long long)n * width, stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long at = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; at < total; at += stride) {
        unsigned s = at / width;
        out[at] = slopes[s] * weights[from + (unsigned)(at - (unsigned long long)s * width)];
    }
}

// Gradient of one side's rows: over the samples s of row r, slopes[s] weights * (row of the other side), and behind it the part of
// d_tower[s] that begins at `side`. One warp a row; sums in the order of the samples.
extern "C" __global__ void pair_gradients(
    const float *others, const unsigned *other_of, const unsigned *offsets, const unsigned *at, unsigned n_rows,
    const float *slopes, const float *weights, const float *d_tower, unsigned gmf, unsigned mlp, unsigned side, float *d) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32, dim = gmf + mlp;
    for (unsigned r = (blockIdx.x * blockDim.x + threadIdx.x) / 32; r < n_rows; r += n_warps) {
        for (unsigned k = lane; k < dim; k += 32) {
            float sum = 0.0f;
            for (unsigned e = offsets[r]; e < offsets[r + 1]; e++) {
                unsigned s = at[e];
                if (k < gmf) {
                    sum = fmaf(slopes[s] * weights[k], others[(unsigned long long)other_of[s] * dim + k], sum);
                } else {
                    sum += d_tower[(unsigned long long)s * 2 * mlp + side + (k - gmf)];
                }
            }
            d[(unsigned long long)r * dim + k] = sum;
        }
    }
}

// Gradient of one side's rows from that of the products: over the samples s of row r, d_product[s] * (row of the other side). One warp
// a row; sums in the order of the samples.
extern "C" __global__ void product_gradients(
    const float *others, const unsigned *other_of, const unsigned *offsets, const unsigned *at, unsigned n_rows,
    const float *d_product, unsigned dim, float *d) {
    unsigned lane = threadIdx.x & 31, n_warps = gridDim.x * blockDim.x / 32;
    for (unsigned r = (blockIdx.x * blockDim.x + threadIdx.x) / 32; r < n_rows; r += n_warps) {
        for (unsigned k = lane; k < dim; k += 32) {
            float sum = 0.0f;
            for (unsigned e = offsets[r]; e < offsets[r + 1]; e++) {
                unsigned s = at[e];
                sum = fmaf(d_product[(unsigned long long)s * dim + k], others[(unsigned long long)other_of[s] * dim + k], sum);
            }
            d[(unsigned long long)r * dim + k] = sum;
        }
    }
}
