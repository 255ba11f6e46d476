// What kernels are written with: shared memory, packs of 16 bytes, sums over a warp and a block. The only
// file that tells nvcc from the simulated device (tests/cuda_sim). Next: tensor/backend/cuda/kernels/map.h.
//
// Rules for kernels: only _sync warp functions; barriers where all threads of a block pass; no float atomics;
// sums in a fixed order; int64_t indices.
#pragma once
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "tensor/dtype.h"

// PLUMAGE_SHARED(T, name, N): T name[N], shared by the block. PLUMAGE_DYNAMIC_SHARED(T, name): T* name, as
// many bytes as the launch asked for. In the simulator every block gets fresh memory, full of NaN, with red
// zones.
#ifdef __CUDACC__
#define PLUMAGE_SHARED(T, name, N) __shared__ T name[N]
#define PLUMAGE_DYNAMIC_SHARED(T, name)                             \
  extern __shared__ __align__(16) unsigned char plumage_dynamic_[]; \
  T* const name = reinterpret_cast<T*>(plumage_dynamic_)
#else
#define PLUMAGE_SHARED(T, name, N)   \
  static const char name##_site = 0; \
  T* const name = static_cast<T*>(cuda_sim::shared_site(&name##_site, sizeof(T) * (N), alignof(T)))
#define PLUMAGE_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(cuda_sim::dynamic_shared(16))
#endif

namespace plumage::cuda {

/// The type that a kernel computes in: f64 for f64, f32 for f32 and bf16.
template <class T>
using Real = typename Accumulator<T>::type;

/// N elements that are read and written at once: up to 16 bytes an access.
template <class T, int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Pack {
  T v[N];
};

template <int N, class T>
__device__ Pack<T, N> load(const T* p) {
  return *reinterpret_cast<const Pack<T, N>*>(p);
}
template <int N, class T>
__device__ void store(T* p, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(p) = pack;
}

/// Number of this thread in the grid.
__device__ inline int64_t thread_index() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }

/// a / b for a >= 0, b > 0. In 32 bits where both fit: several times faster.
__device__ inline int64_t quotient(int64_t a, int64_t b) {
  return ((a | b) >> 32) == 0 ? int64_t(uint32_t(a) / uint32_t(b)) : a / b;
}

template <class R>
__device__ R infinity() {
  return R(HUGE_VAL);
}

/// The larger; NaN if either is.
template <class R>
__device__ R nan_max(R a, R b) {
  return a > b || a != a ? a : b;
}

// --- sums over threads. The order is fixed: pairs of lanes, then warps.

inline constexpr unsigned kAllLanes = 0xffffffffu;

struct Plus {
  template <class R>
  __device__ R operator()(R a, R b) const {
    return a + b;
  }
};
struct NanMax {
  template <class R>
  __device__ R operator()(R a, R b) const {
    return nan_max(a, b);
  }
};

template <class R>
__device__ R shuffle_xor(R value, int lanes) {
  return __shfl_xor_sync(kAllLanes, value, lanes);
}

/// combine() over the values of all threads, the same in every thread. Blocks of whole warps in one
/// dimension. combine must be associative; it sees the lower thread's value first. R: up to 16 bytes,
/// trivial.
template <class R, class Combine>
__device__ R block_reduce(R value, Combine combine) {
  PLUMAGE_SHARED(R, of_warps, 32);
  int lane = int(threadIdx.x % 32), warp = int(threadIdx.x / 32), warps = int(blockDim.x / 32);
  for (int step = 1; step < 32; step *= 2) value = combine(value, shuffle_xor(value, step));  // in lane 0 the warp's
  __syncthreads();  // those who still read of_warps from the call before
  if (lane == 0) of_warps[warp] = value;
  __syncthreads();
  value = of_warps[0];
  for (int w = 1; w < warps; ++w) value = combine(value, of_warps[w]);
  return value;
}

/// Adds up `parts` [values][blockDim.y][blockDim.x] over y, a power of two: thread y = 0 finds the sums in
/// row 0 of each. Every thread has written its own places before, and all must call.
template <int kValues, class R, class Add>
__device__ void reduce_rows(R* parts, Add add) {
  int stride = int(blockDim.x * blockDim.y), own = int(threadIdx.y * blockDim.x + threadIdx.x);
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y >= half) continue;
    for (int k = 0; k < kValues; ++k) {
      R& mine = parts[k * stride + own];
      mine = add(mine, parts[k * stride + own + int(half * blockDim.x)]);
    }
  }
}

}  // namespace plumage::cuda
