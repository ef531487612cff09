// The ends of dense layers. All matrices are row-major.

// 0 identity, 1 ReLU, 2 sigmoid, 3 tanh.
__device__ __forceinline__ float activate(float z, unsigned activation) {
    // A NaN is kept, not hidden.
    if (activation == 1) return z < 0.0f ? 0.0f : z;
    if (activation == 2) {
        float e = expf(-fabsf(z));
        return (z >= 0.0f ? 1.0f : e) / (1.0f + e);
    }
    return activation == 3 ? tanhf(z) : z;
}

// y = act(y + bias), in place.
extern "C" __global__ void bias_act(float *y, const float *bias, unsigned n_rows, unsigned width, unsigned activation) {
    unsigned long long total = (unsigned long long)n_rows * width, stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long at = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; at < total; at += stride) {
        y[at] = activate(y[at] + bias[at % width], activation);
    }
}

// dy = dy act'(z), in place, from the layer's output y.
extern "C" __global__ void activation_backward(const float *y, float *dy, unsigned n, unsigned activation) {
    unsigned stride = gridDim.x * blockDim.x;
    for (unsigned at = blockIdx.x * blockDim.x + threadIdx.x; at < n; at += stride) {
        float out = y[at], slope = 1.0f;
        if (activation == 1) slope = out > 0.0f ? 1.0f : 0.0f;
        if (activation == 2) slope = out * (1.0f - out);
        if (activation == 3) slope = 1.0f - out * out;
        dy[at] *= slope;
    }
}

// Sums of columns, part by part: parts[y, j] = sum over the rows y, y + Y, ... of weights[row] x[row, j], of x itself if not weighted.
// A block of 256 threads takes 32 columns of part blockIdx.y, eight rows at a time. The second kernel adds the parts to sums, from
// place `at` on, in their order.
extern "C" __global__ void column_parts(
    const float *x, const float *weights, unsigned weighted, unsigned n_rows, unsigned width, float *parts) {
    __shared__ float eight[8][32];
    unsigned lane = threadIdx.x & 31, group = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
    float sum = 0.0f;
    if (column < width) {
        for (unsigned row = blockIdx.y * 8 + group; row < n_rows; row += gridDim.y * 8) {
            float value = x[(unsigned long long)row * width + column];
            sum = weighted ? fmaf(weights[row], value, sum) : sum + value;
        }
    }
    eight[group][lane] = sum;
    __syncthreads();
    if (group == 0 && column < width) {
        for (unsigned g = 1; g < 8; g++) sum += eight[g][lane];
        parts[(unsigned long long)blockIdx.y * width + column] = sum;
    }
}

extern "C" __global__ void add_parts(const float *parts, unsigned n_parts, unsigned width, unsigned at, float *sums) {
    unsigned stride = gridDim.x * blockDim.x;
    for (unsigned column = blockIdx.x * blockDim.x + threadIdx.x; column < width; column += stride) {
        float sum = sums[at + column];
        for (unsigned p = 0; p < n_parts; p++) sum += parts[(unsigned long long)p * width + column];
        sums[at + column] = sum;
    }
}
