// What every library call asks of the memory it is given, when it runs. Next: blas.cpp, dnn_run.cpp.
#pragma once
#include <cstddef>
#include <cstdint>

#include "tests/cuda_sim/fail.h"
#include "tests/cuda_sim/fiber.h"
#include "tests/cuda_sim/memory.h"

namespace cuda_sim {

inline bool aligned(const void* pointer, size_t to) { return reinterpret_cast<uintptr_t>(pointer) % to == 0; }

/// Aborts unless `bytes` from here are one allocation's: the device would read past it, or stop.
inline void must_be_inside(const char* call, const char* what, const void* pointer, size_t bytes) {
  if (bytes && !in_one_allocation(pointer, bytes))
    fail("%s: %s: %zu bytes at %p are not inside one allocation of the device", call, what, bytes, pointer);
}
inline void library_reads(const char* call, const char* what, const void* pointer, size_t bytes) {
  must_be_inside(call, what, pointer, bytes);
  reads(pointer, bytes);
}
inline void library_writes(const char* call, const char* what, void* pointer, size_t bytes) {
  must_be_inside(call, what, pointer, bytes);
  writes(pointer, bytes);
}
/// A library uses its workspace: whatever was there is gone.
void scribble(const char* call, void* workspace, size_t bytes);

}  // namespace cuda_sim
