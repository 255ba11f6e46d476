// What a kernel may call, for the simulated device: built-in variables, barriers, warp operations, atomics, intrinsics.
// Not here on purpose: __shared__ (tensor/backend/cuda/device_code.h), float atomics, __activemask, *without* _sync.
// Next: tests/cuda_sim/block.cpp, which runs the threads that wait here.
#pragma once
#include <math.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "vector_types.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) alignas(bytes)

// One block runs at a time, one thread of it at a time: plain variables, set whenever a thread goes on.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace cuda_sim {

/// Where in the source a thread waits; threads that meet must have come from one place.
struct Place {
  const char* file = "";
  int line = 0;
  bool operator==(const Place& other) const {
    return line == other.line && (file == other.file || std::strcmp(file, other.file) == 0);
  }
};

enum class Collective : uint8_t { sync_warp, ballot, shuffle, shuffle_up, shuffle_down, shuffle_xor };

/// Waits for all threads of the block. Returns how many of them gave a true predicate.
unsigned barrier(bool predicate, Place at);
/// Waits for all lanes of `mask`. Returns the value given by lane `source`.
uint64_t exchange(Collective kind, uint32_t mask, uint64_t value, unsigned source, Place at);
/// Waits for all lanes of `mask`. Returns one bit a lane: those that gave a true predicate.
uint32_t vote(Collective kind, uint32_t mask, bool predicate, Place at);
/// Static shared memory of this block: the same for every thread that passes the same `site`. Fresh in each block,
/// filled with NaN, with a red zone on either side.
void* shared_site(const void* site, size_t bytes, size_t alignment);
/// Dynamic shared memory of this block, as many bytes as the launch asked for.
void* dynamic_shared(size_t alignment);
unsigned lane();
[[noreturn]] void trap(Place at);

template <class T>
T shuffle(Collective kind, uint32_t mask, T value, int source, Place at) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(kind, mask, bits, static_cast<unsigned>(source), at);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace cuda_sim

#define CUDA_SIM_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(CUDA_SIM_HERE) { cuda_sim::barrier(false, {file, line}); }
inline int __syncthreads_count(int predicate, CUDA_SIM_HERE) {
  return static_cast<int>(cuda_sim::barrier(predicate != 0, {file, line}));
}
inline int __syncthreads_or(int predicate, CUDA_SIM_HERE) {
  return cuda_sim::barrier(predicate != 0, {file, line}) > 0;
}
inline int __syncthreads_and(int predicate, CUDA_SIM_HERE) {
  return cuda_sim::barrier(predicate == 0, {file, line}) == 0;
}

inline void __syncwarp(uint32_t mask = ~0u, CUDA_SIM_HERE) {
  cuda_sim::vote(cuda_sim::Collective::sync_warp, mask, false, {file, line});
}
inline unsigned __ballot_sync(uint32_t mask, int predicate, CUDA_SIM_HERE) {
  return cuda_sim::vote(cuda_sim::Collective::ballot, mask, predicate != 0, {file, line});
}
inline int __any_sync(uint32_t mask, int predicate, CUDA_SIM_HERE) {
  return cuda_sim::vote(cuda_sim::Collective::ballot, mask, predicate != 0, {file, line}) != 0;
}
inline int __all_sync(uint32_t mask, int predicate, CUDA_SIM_HERE) {
  return cuda_sim::vote(cuda_sim::Collective::ballot, mask, predicate == 0, {file, line}) == 0;
}

// A source outside of the lane's own segment of `width` lanes gives the lane its own value.
template <class T>
T __shfl_sync(uint32_t mask, T value, int source, int width = 32, CUDA_SIM_HERE) {
  int own = static_cast<int>(cuda_sim::lane());
  int from = (own & ~(width - 1)) | (source & (width - 1));
  return cuda_sim::shuffle(cuda_sim::Collective::shuffle, mask, value, from, {file, line});
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lanes, int width = 32, CUDA_SIM_HERE) {
  int own = static_cast<int>(cuda_sim::lane()), from = own ^ lanes;
  if (from >= (own & ~(width - 1)) + width) from = own;
  return cuda_sim::shuffle(cuda_sim::Collective::shuffle_xor, mask, value, from, {file, line});
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned by, int width = 32, CUDA_SIM_HERE) {
  int own = static_cast<int>(cuda_sim::lane()), from = own + static_cast<int>(by);
  if (from >= (own & ~(width - 1)) + width) from = own;
  return cuda_sim::shuffle(cuda_sim::Collective::shuffle_down, mask, value, from, {file, line});
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned by, int width = 32, CUDA_SIM_HERE) {
  int own = static_cast<int>(cuda_sim::lane()), from = own - static_cast<int>(by);
  if (from < (own & ~(width - 1))) from = own;
  return cuda_sim::shuffle(cuda_sim::Collective::shuffle_up, mask, value, from, {file, line});
}

[[noreturn]] inline void __trap(CUDA_SIM_HERE) { cuda_sim::trap({file, line}); }
#undef CUDA_SIM_HERE

inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

// Atomics on integers only: sums of floats would depend on the order of the threads. Each returns the old value.
#define CUDA_SIM_ATOMICS(T)                                                                            \
  inline T atomicAdd(T* p, T v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }                 \
  inline T atomicSub(T* p, T v) { return __atomic_fetch_sub(p, v, __ATOMIC_RELAXED); }                 \
  inline T atomicAnd(T* p, T v) { return __atomic_fetch_and(p, v, __ATOMIC_RELAXED); }                 \
  inline T atomicOr(T* p, T v) { return __atomic_fetch_or(p, v, __ATOMIC_RELAXED); }                   \
  inline T atomicXor(T* p, T v) { return __atomic_fetch_xor(p, v, __ATOMIC_RELAXED); }                 \
  inline T atomicExch(T* p, T v) { return __atomic_exchange_n(p, v, __ATOMIC_RELAXED); }               \
  inline T atomicCAS(T* p, T expected, T v) {                                                          \
    __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);           \
    return expected;                                                                                   \
  }                                                                                                    \
  inline T atomicMax(T* p, T v) {                                                                      \
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);                                                      \
    while (old < v && !__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {} \
    return old;                                                                                        \
  }                                                                                                    \
  inline T atomicMin(T* p, T v) {                                                                      \
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);                                                      \
    while (v < old && !__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {} \
    return old;                                                                                        \
  }
CUDA_SIM_ATOMICS(int)
CUDA_SIM_ATOMICS(unsigned)
CUDA_SIM_ATOMICS(unsigned long long)
#undef CUDA_SIM_ATOMICS

template <class T> T __ldg(const T* p) { return *p; }
template <class T> T __ldcs(const T* p) { return *p; }
template <class T> T __ldcg(const T* p) { return *p; }
template <class T> void __stcs(T* p, T v) { *p = v; }
template <class T> void __stcg(T* p, T v) { *p = v; }

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __frsqrt_rn(float x) { return 1.0f / std::sqrt(x); }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline float __saturatef(float x) {
  return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f;
}  // NaN becomes 0, as on the device
inline int __float2int_rn(float x) { return static_cast<int>(std::nearbyint(x)); }

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __umulhi(unsigned x, unsigned y) { return static_cast<unsigned>((uint64_t{x} * y) >> 32); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(x) * y) >> 64);
}

// The device's min and max: of a number and NaN, the number.
inline int min(int a, int b) { return b < a ? b : a; }
inline int max(int a, int b) { return a < b ? b : a; }
inline unsigned min(unsigned a, unsigned b) { return b < a ? b : a; }
inline unsigned max(unsigned a, unsigned b) { return a < b ? b : a; }
inline long min(long a, long b) { return b < a ? b : a; }
inline long max(long a, long b) { return a < b ? b : a; }
inline long long min(long long a, long long b) { return b < a ? b : a; }
inline long long max(long long a, long long b) { return a < b ? b : a; }
inline unsigned long min(unsigned long a, unsigned long b) { return b < a ? b : a; }
inline unsigned long max(unsigned long a, unsigned long b) { return a < b ? b : a; }
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }
