// One block of a kernel: its threads as fibers, run in a seeded order from wait to wait.
// Next: shared_memory.h; back: launch.cpp, which walks the grid.
#pragma once
#include <string>

#include "cuda_runtime.h"
#include "tests/cuda_sim/order.h"

namespace cuda_sim {

/// Runs all threads of the block at `index` to their end. Aborts, with the place, where they cannot reach it.
void run_block(const Launch& launch, uint3 index, Order& order);

/// Before the first and after the last block of a launch, on the thread that runs it.
void begin_blocks(const Launch& launch);
void end_blocks();

/// `kernel K, block (x,y,z), thread (x,y,z): `, as far as something runs; else empty.
std::string current_place();
/// Has the running thread's stack overflowed into this address?
bool stack_overflowed(const void* address);

}  // namespace cuda_sim
