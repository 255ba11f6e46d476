// How a library that is made of templates gets its work onto a stream. Next: library_memory.h.
#pragma once
#include <functional>

#include "cuda_runtime_api.h"
#include "tests/cuda_sim/library_memory.h"

namespace cuda_sim {

/// Queues the work, which sees device memory, or adds it to the graph that is being captured.
cudaError_t library_call(cudaStream_t stream, std::function<void()> work);

}  // namespace cuda_sim
