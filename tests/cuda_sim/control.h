// What tests ask of the simulated device beside CUDA's own calls: orders, faults, counts.
// The environment says the same to programs: see README.md.
#pragma once
#include <cstdint>

#include "cuda_runtime_api.h"

namespace cuda_sim {

/// Seed of all orders (of blocks, threads, streams); 0 is the plain order. Starts as CUDA_SIM_SEED, or 1.
void set_seed(uint64_t seed);

/// The call named fails with `error` at its nth use from now (1 is the next).
void fail_call(const char* call, int nth, cudaError_t error);
/// The nth piece of work from now ends in a sticky error: every later call returns it.
void fail_device(int nth, cudaError_t error);
/// Forgets planned faults and a sticky error; the real device would need a new process.
void heal();

/// Bytes that cudaMalloc can give out in all. Starts as CUDA_SIM_MEMORY (in MiB), or 4 GiB.
void set_memory_limit(uint64_t bytes);

struct Counts {
  uint64_t launches = 0, copies = 0, mallocs = 0, synchronisations = 0,
           graph_launches = 0;  // since the start
  uint64_t work = 0;            // kernels, copies, calls of libraries that the device has done
  uint64_t live_allocations = 0, live_bytes = 0, peak_bytes = 0;
};
Counts counts();

/// What is still alive or unread, as it would be reported at exit; 0 if nothing.
int report_leaks();

}  // namespace cuda_sim
