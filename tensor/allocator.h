// Memory of a device: kept and reused, counted. What the CPU has had stays mapped, since page faults can cost more than the
// kernel after them. PLUMAGE_ALLOC=plain hands every request to the system (for sanitizers).
#pragma once
#include <cstdint>
#include <memory>

#include "tensor/free_blocks.h"
#include "tensor/tensor.h"

namespace plumage {

class Allocator;

/// Blocks that only those get who allocate while the pool is in use (Allocator::use): memory that a recorded graph runs on
/// again and again must not be handed to anyone else in between. Goes back to the allocator when no one holds it.
class MemoryPool {
 public:
  explicit MemoryPool(Allocator& home) : home_(home) {}
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

 private:
  friend class Allocator;
  Allocator& home_;
  FreeMemory kept_;
};

struct Storage {
  Allocator& allocator;
  std::shared_ptr<MemoryPool> pool;  ///< that the block is from, if any
  void* data = nullptr;
  int64_t bytes = 0;
  Device device;
  int64_t index_limit = -1;  ///< see Tensor::index_limit
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

/// Where an Allocator has its memory from: the system, or a device.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  /// Aligned to 64 bytes; null if there is not so much beside the `held` bytes that were taken before.
  virtual void* take(int64_t bytes, int64_t held) = 0;
  virtual void give_back(void* block, int64_t bytes, bool large) = 0;  ///< large: it lay among the large ones of FreeMemory
  /// True if neighbours can be used as one block, and parts of a block given back.
  virtual bool joins() const { return false; }
  virtual void poison(void* block, int64_t bytes) = 0;  ///< debug builds: a use after release shows as absurd numbers
  virtual std::string shortage() { return ""; }         ///< ", free 3 MiB of 80 GiB": the end of the line of an error
};

/// Thread-safe. Blocks are aligned to 64 bytes. All work of a device is on one stream, so a block that was released can
/// be handed out at once: whoever gets it queues behind whoever had it.
class Allocator {
 public:
  /// Throws DeviceError where the device is absent.
  static Allocator& of(Device device);
  static Allocator& cpu();

  /// From the pool in use, which `pool` becomes, or from all that is free. Throws MachineError with wanted, in use and held.
  void* allocate(int64_t bytes, std::shared_ptr<MemoryPool>& pool);
  void release(void* block, int64_t bytes, MemoryPool* pool);
  void use(std::shared_ptr<MemoryPool> pool);  ///< from now on; null: none
  MemoryStatistics statistics() const;
  void reset_peak();
  void trim();  ///< gives kept blocks back to the system

 private:
  explicit Allocator(Device device, std::unique_ptr<MemorySource> source);
  ~Allocator() = delete;  // lives as long as the process: tensors in statics may outlast any order
  void trim_locked();
  friend class MemoryPool;
  struct State;
  State* state_;
};

}  // namespace plumage
