// CPU memory: size classes, kept and reused, counted. Large blocks stay mapped, since page faults can cost more
// than the kernel after them. PLUMAGE_ALLOC=plain hands every request to the system (for sanitizers).
#pragma once
#include <cstdint>
#include <memory>

#include "tensor/tensor.h"

namespace plumage {

struct Storage {
  void* data = nullptr;
  int64_t bytes = 0;
  Device device;
  Storage(int64_t bytes, Device device);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
};

struct MemoryStatistics {
  int64_t current_bytes = 0;   ///< handed out and in use
  int64_t peak_bytes = 0;      ///< the most there was in use
  int64_t held_bytes = 0;      ///< taken from the system, in use or kept for reuse
  int64_t system_calls = 0;    ///< requests that had to ask the system
};

/// Thread-safe. Blocks are aligned to 64 bytes.
class CpuAllocator {
 public:
  static CpuAllocator& instance();
  void* allocate(int64_t bytes);  ///< throws MachineError with wanted, in use and held
  void release(void* block, int64_t bytes);
  MemoryStatistics statistics() const;
  void reset_peak();
  void trim();  ///< gives kept blocks back to the system

 private:
  CpuAllocator();
  ~CpuAllocator() = delete;  // lives as long as the process: tensors in statics may outlast any order
  struct State;
  State* state_;
};

}  // namespace plumage
