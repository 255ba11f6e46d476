// The one way to start a kernel: plain C++, so that nvcc and the simulated device read the same line.
// Next: tensor/backend/cuda/device_code.h, what a kernel is written with.
#pragma once
#include <array>
#include <cstdint>
#include <tuple>
#include <utility>

#include "tensor/backend/cuda/device.h"

namespace plumage::cuda {

inline constexpr int kThreads = 256;  ///< of a block, unless the kernel has a reason

/// Queues kernel(arguments...) on the stream; the arguments are converted to the kernel's types and copied at
/// once. A grid without blocks is no work and no error. Throws what check() throws.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            const Arguments&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments),
                "the kernel takes another number of arguments");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  std::tuple<Parameters...> values(static_cast<Parameters>(arguments)...);
  std::apply(
      [&](auto&... value) {
        std::array<void*, sizeof...(Parameters)> pointers{&value...};
        check(cudaLaunchKernel(kernel, grid, block, pointers.data(), shared_bytes, stream), "kernel launch");
      },
      values);
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// A number of blocks as a grid's x may have it. Throws ShapeError beyond 2^31.
inline unsigned grid_size(int64_t blocks) {
  if (blocks > INT32_MAX) throw ShapeError(message("a kernel of ", blocks, " blocks: wanted at most 2^31"));
  return unsigned(blocks);
}

/// Blocks of kThreads that give every one of `count` items a thread.
inline dim3 blocks_for(int64_t count) { return dim3(grid_size(ceil_div(count, kThreads))); }

/// One block a row; a kernel's loop over the rows takes what is beyond.
inline dim3 blocks_for_rows(int64_t rows) { return dim3(unsigned(rows < (1 << 20) ? rows : 1 << 20)); }

/// Threads for one row: whole warps, no more than its columns keep busy.
inline dim3 threads_for_row(int64_t columns) {
  return dim3(unsigned(columns <= 32 ? 32 : columns <= 1024 ? 128 : columns <= 8192 ? 256 : 512));
}

/// True if every pointer is a multiple of the size of a pack of N of its elements, at most 16 bytes.
template <int N, class... T>
bool aligned(const T*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % (N * sizeof(T) < 16 ? N * sizeof(T) : 16) == 0) && ...);
}

}  // namespace plumage::cuda
