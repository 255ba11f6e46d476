// The device as a whole: the lock, errors, limits. Every call of the runtime goes through api().
// Next: memory.h, stream.h.
#pragma once
#include <mutex>

#include "cuda_runtime_api.h"
#include "tests/cuda_sim/control.h"
#include "tests/cuda_sim/fiber.h"

namespace cuda_sim {

constexpr int kMaxThreads = 1024, kMultiprocessors = 4;

std::recursive_mutex& device_lock();
uint64_t seed();
/// A new seed for each piece of work, from the device's.
uint64_t next_seed();
int device_count();
uint64_t memory_limit();
Counts& count();

/// The sticky error, or a planned fault of this call, or cudaSuccess.
cudaError_t before_call(const char* call);
/// Keeps the error for cudaGetLastError of this thread; hands it on.
cudaError_t after_call(const char* call, cudaError_t error);
/// A piece of work is about to run: does a planned fault strike?
bool work_fails();
void set_sticky(cudaError_t error);
cudaError_t sticky();

template <class Body>
cudaError_t api(const char* call, Body body) {
  std::lock_guard lock(device_lock());
  Unwatched unwatched;
  cudaError_t error = before_call(call);
  if (error == cudaSuccess) error = body();
  return after_call(call, error);
}

}  // namespace cuda_sim
