// Stands in for the toolkit's header of this name: the runtime, what kernels call, and the launch.
// Next: tests/cuda_sim/launch.cpp, which takes the launch from here.
#pragma once
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "cuda_runtime_api.h"
#include "device_functions.h"

namespace cuda_sim {

/// A kernel with its arguments bound; `thread` runs one thread of it.
struct Launch {
  const void* kernel = nullptr;
  std::function<void()> thread;
  dim3 grid, block;
  size_t shared_bytes = 0;
  std::vector<const void*> pointers;  // those arguments that are pointers
};

cudaError_t launch(Launch launch, cudaStream_t stream);
cudaError_t set_shared_limit(const void* kernel, int bytes);
int blocks_per_multiprocessor(int block_threads, size_t shared_bytes);

template <class... P, size_t... I>
Launch bind_arguments(void (*kernel)(P...), void** arguments, std::index_sequence<I...>) {
  // Like the runtime: the arguments are copied out at the call.
  std::tuple<P...> values(*static_cast<P*>(arguments[I])...);
  Launch launch;
  launch.kernel = reinterpret_cast<const void*>(kernel);
  launch.thread = [kernel, values] { std::apply(kernel, values); };
  [[maybe_unused]] auto keep = [&](const auto& value) {  // unused by a kernel without arguments
    if constexpr (std::is_pointer_v<std::remove_cvref_t<decltype(value)>>) launch.pointers.push_back(value);
  };
  (keep(std::get<I>(values)), ...);
  return launch;
}

}  // namespace cuda_sim

template <class... P>
cudaError_t cudaLaunchKernel(void (*kernel)(P...), dim3 grid, dim3 block, void** arguments,
                             size_t shared_bytes = 0, cudaStream_t stream = nullptr) {
  cuda_sim::Launch launch = cuda_sim::bind_arguments(kernel, arguments, std::index_sequence_for<P...>{});
  launch.grid = grid;
  launch.block = block;
  launch.shared_bytes = shared_bytes;
  return cuda_sim::launch(std::move(launch), stream);
}

template <class... P>
cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;  // a hint
  return cuda_sim::set_shared_limit(reinterpret_cast<const void*>(kernel), value);
}

template <class... P>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void (*)(P...), int block_threads,
                                                          size_t shared_bytes) {
  *blocks = cuda_sim::blocks_per_multiprocessor(block_threads, shared_bytes);
  return cudaSuccess;
}
