// Shared memory of the block that runs: fresh, filled with NaN, red zones between the arrays.
// Next: launch.cpp; shared_site() and dynamic_shared() are declared in include/device_functions.h.
#pragma once
#include <cstddef>

namespace cuda_sim {

constexpr size_t kSharedBytes = 48 * 1024;        // static, and dynamic unless asked for more
constexpr size_t kSharedBytesOptin = 227 * 1024;  // sm_90

void fresh_shared_memory(size_t dynamic_bytes);
/// Aborts where a thread of the block has written past the end of an array.
void check_shared_memory();
/// After a launch: lets go of what the race detector needed kept.
void free_shared_memory();

}  // namespace cuda_sim
