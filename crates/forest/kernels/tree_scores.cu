// Preferences of users for nodes of one level of a tree: the attention of each node to the user's history, then the layers.
//
// What depends on the user and the level alone comes ready-made, in pieces of the profile that starts at starts[u]:
//   nodes[k]                 row of a distinct node of the history
//   first[k, h]              e_k A + b
//   pooled[k, j]             its way through the windows and the first layer
// Everything is a chain of fused multiply-adds in the order in which the CPU adds.

__device__ __forceinline__ float prelu(float x, float slope) { return x > 0.0f ? x : slope * x; }

// One warp a pair (user, row of a node). weights: out, slope of the attention unit and its product and own matrices (dim, hidden), then
// for each layer weight (inputs, outputs), bias, slope, then the head; widths: outputs of each layer. The first layer's weight begins with
// the rows of the windows, which pooled stands for; its node rows are the last dim. scratch has room floats for each warp.
extern "C" __global__ void score_nodes(
    const float *embeddings, const unsigned *starts, const unsigned *nodes, const float *first, const float *pooled,
    const unsigned *users, const unsigned *rows, unsigned n, unsigned dim, unsigned hidden, const unsigned *widths,
    unsigned n_layers, unsigned window_rows, const float *weights, float out_bias, float head_bias, unsigned room, float *scratch,
    float *scores) {
    unsigned lane = threadIdx.x & 31, warp = (blockIdx.x * blockDim.x + threadIdx.x) / 32, n_warps = gridDim.x * blockDim.x / 32;
    const float *out = weights, *slope = out + hidden, *product = slope + hidden, *own = product + dim * hidden;
    const float *layers = own + dim * hidden;
    float *offsets = scratch + (unsigned long long)warp * room;
    for (unsigned s = warp; s < n; s += n_warps) {
        const float *node = embeddings + (unsigned long long)rows[s] * dim;
        unsigned start = starts[users[s]], length = starts[users[s] + 1] - start;
        float *attention = offsets + hidden, *input = attention + length, *output = input;
        __syncwarp();
        for (unsigned h = lane; h < hidden; h += 32) {
            float sum = 0.0f;
            for (unsigned d = 0; d < dim; d++) sum = fmaf(node[d], own[d * hidden + h], sum);
            offsets[h] = sum;
        }
        __syncwarp();
        for (unsigned k = lane; k < length; k += 32) {
            const float *e = embeddings + (unsigned long long)nodes[start + k] * dim;
            const float *mine = first + (unsigned long long)(start + k) * hidden;
            float total = out_bias;
            for (unsigned h = 0; h < hidden; h++) {
                float sum = mine[h] + offsets[h];
                for (unsigned d = 0; d < dim; d++) sum = fmaf(node[d] * product[d * hidden + h], e[d], sum);
                total = fmaf(out[h], prelu(sum, slope[h]), total);
            }
            attention[k] = total;
        }
        __syncwarp();
        const float *weight = layers;
        for (unsigned l = 0; l < n_layers; l++) {
            unsigned width = widths[l], inputs = l == 0 ? window_rows + dim : widths[l - 1];
            const float *bias = weight + (unsigned long long)inputs * width, *slopes = bias + width;
            // Outputs of one layer stand behind those of the one before.
            output = l == 0 ? input : input + widths[l - 1];
            for (unsigned j = lane; j < width; j += 32) {
                float sum = bias[j];
                if (l == 0) {
                    const float *through = pooled + (unsigned long long)start * width + j;
                    for (unsigned k = 0; k < length; k++) sum = fmaf(attention[k], through[(unsigned long long)k * width], sum);
                    const float *rest = weight + (unsigned long long)window_rows * width + j;
                    for (unsigned d = 0; d < dim; d++) sum = fmaf(node[d], rest[(unsigned long long)d * width], sum);
                } else {
                    for (unsigned k = 0; k < inputs; k++) sum = fmaf(input[k], weight[(unsigned long long)k * width + j], sum);
                }
                output[j] = prelu(sum, slopes[j]);
            }
            __syncwarp();
            input = output;
            weight = slopes + width;
        }
        if (lane == 0) {
            float sum = head_bias;
            for (unsigned j = 0; j < widths[n_layers - 1]; j++) sum = fmaf(output[j], weight[j], sum);
            scores[s] = sum;
        }
    }
}
