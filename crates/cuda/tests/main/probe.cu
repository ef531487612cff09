// Kernels that show whether threads, barriers and shuffles work.

extern "C" __global__ void indices(unsigned *out) {
    unsigned at = (blockIdx.y * gridDim.x + blockIdx.x) * blockDim.x + threadIdx.x;
    out[at] = blockIdx.y * 10000 + blockIdx.x * 1000 + threadIdx.x;
}

extern "C" __global__ void block_sums(const float *x, unsigned n, float *sums) {
    __shared__ float partial[256];
    unsigned i = blockIdx.x * 256 + threadIdx.x;
    partial[threadIdx.x] = i < n ? x[i] : 0.0f;
    for (unsigned half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = partial[0];
}

extern "C" __global__ void prefix_of_warp(unsigned *out) {
    unsigned lane = threadIdx.x & 31, sum = threadIdx.x;
    for (unsigned delta = 1; delta < 32; delta *= 2) {
        unsigned below = __shfl_up_sync(0xffffffffu, sum, delta);
        if (lane >= delta) sum += below;
    }
    out[threadIdx.x] = sum;
}

extern "C" __global__ void votes(unsigned *out) {
    out[threadIdx.x] = __ballot_sync(0xffffffffu, threadIdx.x % 3 == 0);
}

extern "C" __global__ void many_types(
    const unsigned char *bytes, const unsigned long long *words, unsigned n, float x, float *out) {
    if (threadIdx.x == 0) {
        float sum = float(bytes[0]) + float(bytes[1]) + float(bytes[2]) + float(words[1]) + float(n) + x;
        out[0] = sum + (words[0] == (1ull << 40) ? 40.0f : 0.0f);
    }
}
