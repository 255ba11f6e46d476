// A kernel's launch: its limits, checked at the call, and the walk over its grid, when the device runs.
// Next: block.h.
#pragma once
#include "cuda_runtime.h"

namespace cuda_sim {

/// What the device would refuse, or cudaSuccess.
cudaError_t check_launch(const Launch& launch);

/// Runs every block, in an order drawn from `seed` (0: ascending).
void run_launch(const Launch& launch, uint64_t seed);

}  // namespace cuda_sim
