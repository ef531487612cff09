// Runs CUDA kernels on the processor: each thread of a block is a fiber, and fibers change places where threads would wait for
// each other. What a kernel may use is what stands here. Blocks run one after the other, so __shared__ is static.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <utility>
#include <vector>

struct dim3 {
    unsigned x, y, z;
};

namespace emulator {

enum class Waiting { Nothing, Block, Warp };

struct Fiber {
    ucontext_t context;
    std::vector<char> stack;
    dim3 thread;
    Waiting waiting;
    bool done;
};

static Fiber *current;
static ucontext_t scheduler;
static dim3 block, grid, threads;
static uint64_t slots[1024];
static void (*entry)(void **);
static void **parameters;

static void fiber_main() {
    entry(parameters);
    current->done = true;
    swapcontext(&current->context, &scheduler);
}

static void wait(Waiting reason) {
    current->waiting = reason;
    swapcontext(&current->context, &scheduler);
}

// Whether all unfinished fibers of a range wait for the same reason; if so, they may go on.
static bool release(std::vector<Fiber> &fibers, unsigned from, unsigned to, Waiting reason) {
    bool any = false;
    for (unsigned t = from; t < to; t++) {
        if (fibers[t].done) continue;
        if (fibers[t].waiting != reason) return false;
        any = true;
    }
    for (unsigned t = from; t < to; t++) fibers[t].waiting = Waiting::Nothing;
    return any;
}

static void run_block(std::vector<Fiber> &fibers) {
    for (unsigned t = 0; t < fibers.size(); t++) {
        Fiber &fiber = fibers[t];
        fiber.thread = {t, 0, 0};
        fiber.waiting = Waiting::Nothing;
        fiber.done = false;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, fiber_main, 0);
    }
    for (;;) {
        bool ran = false, left = false;
        for (Fiber &fiber : fibers) {
            if (fiber.done || fiber.waiting != Waiting::Nothing) continue;
            current = &fiber;
            swapcontext(&scheduler, &fiber.context);
            ran = true;
        }
        for (Fiber &fiber : fibers) left |= !fiber.done;
        if (!left) return;
        bool released = release(fibers, 0, fibers.size(), Waiting::Block);
        for (unsigned w = 0; w < fibers.size(); w += 32) released |= release(fibers, w, w + 32, Waiting::Warp);
        if (!ran && !released) {
            std::fprintf(stderr, "threads of block (%u, %u) wait for each other at different places\n", block.x, block.y);
            std::abort();
        }
    }
}

template <class... A, std::size_t... I>
static void call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
    kernel(*static_cast<A *>(arguments[I])...);
}
template <class... A> static void call(void (*kernel)(A...), void **arguments) {
    call(kernel, arguments, std::index_sequence_for<A...>{});
}

static void launch(void (*with)(void **), unsigned blocks_x, unsigned blocks_y, unsigned n_threads, void **arguments) {
    entry = with;
    parameters = arguments;
    grid = {blocks_x, blocks_y, 1};
    threads = {n_threads, 1, 1};
    static std::vector<Fiber> fibers;
    fibers.resize(n_threads);
    for (Fiber &fiber : fibers) fiber.stack.resize(1 << 15);
    for (unsigned y = 0; y < blocks_y; y++) {
        for (unsigned x = 0; x < blocks_x; x++) {
            block = {x, y, 0};
            run_block(fibers);
        }
    }
}

// Every lane gives a value and takes that of another lane.
template <class T> static T exchange(T value, unsigned from) {
    unsigned t = current->thread.x, first = t / 32 * 32;
    std::memcpy(&slots[t], &value, sizeof(T));
    wait(Waiting::Warp);
    T other;
    std::memcpy(&other, &slots[first + (from & 31)], sizeof(T));
    wait(Waiting::Warp);
    return other;
}

} // namespace emulator

#define threadIdx (emulator::current->thread)
#define blockIdx (emulator::block)
#define blockDim (emulator::threads)
#define gridDim (emulator::grid)
#define __global__
#define __device__ static
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)
#define __restrict__
#define __syncthreads() emulator::wait(emulator::Waiting::Block)
#define __syncwarp() emulator::wait(emulator::Waiting::Warp)

template <class T> static T __shfl_sync(unsigned, T value, unsigned lane) { return emulator::exchange(value, lane); }
template <class T> static T __shfl_xor_sync(unsigned, T value, unsigned mask) {
    return emulator::exchange(value, (emulator::current->thread.x & 31) ^ mask);
}
template <class T> static T __shfl_up_sync(unsigned, T value, unsigned delta) {
    unsigned lane = emulator::current->thread.x & 31;
    return emulator::exchange(value, lane >= delta ? lane - delta : lane);
}
static inline unsigned __ballot_sync(unsigned, bool predicate) {
    unsigned bits = 0;
    for (unsigned lane = 0; lane < 32; lane++) bits |= unsigned(emulator::exchange(unsigned(predicate), lane) != 0) << lane;
    return bits;
}
static inline unsigned atomicAdd(unsigned *address, unsigned value) {
    unsigned old = *address;
    *address += value;
    return old;
}
static inline unsigned atomicMin(unsigned *address, unsigned value) {
    unsigned old = *address;
    if (value < old) *address = value;
    return old;
}
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline float __uint_as_float(unsigned x) {
    float f;
    std::memcpy(&f, &x, 4);
    return f;
}
static inline unsigned __float_as_uint(float f) {
    unsigned x;
    std::memcpy(&x, &f, 4);
    return x;
}
static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
