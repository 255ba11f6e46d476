#include "tensor/allocator.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

#include "tensor/env.h"

namespace plumage {

struct CpuAllocator::State {
  std::mutex mutex;
  std::map<int64_t, std::vector<void*>> kept;  // size class -> free blocks
  MemoryStatistics counts;
  bool plain = false;
};

namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = int64_t(2) << 20;

// Eight classes between powers of two: at most 12.5 % of a block is unused.
int64_t size_class(int64_t bytes) {
  if (bytes <= 256) return 256;
  int64_t step = std::max<int64_t>(kAlignment, int64_t(std::bit_floor(uint64_t(bytes))) / 8);
  return (bytes + step - 1) / step * step;
}

// The system promises more than it has and ends the process when it is used: what cannot fit is refused here.
int64_t physical_memory() {
  static const int64_t bytes = int64_t(sysconf(_SC_PHYS_PAGES)) * int64_t(sysconf(_SC_PAGESIZE));
  return bytes > 0 ? bytes : std::numeric_limits<int64_t>::max();
}

// Null if there is not so much memory beside the `held` bytes.
void* from_system(int64_t bytes, int64_t held) {
  if (bytes > physical_memory() - held) return nullptr;
  int64_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  void* block = std::aligned_alloc(size_t(alignment), size_t((bytes + alignment - 1) / alignment * alignment));
  if (block && bytes >= kHugePage) madvise(block, size_t(bytes), MADV_HUGEPAGE);
  return block;
}

}  // namespace

CpuAllocator& CpuAllocator::instance() {
  static CpuAllocator* allocator = new CpuAllocator;
  return *allocator;
}

CpuAllocator::CpuAllocator() : state_(new State) {
  state_->plain = environment().alloc_plain;
#ifdef __GLIBC__
  // The tape's small objects: a heap that is cut back after each step grows again in the next, page fault by page fault.
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
#endif
}

void* CpuAllocator::allocate(int64_t bytes) {
  std::lock_guard lock(state_->mutex);
  MemoryStatistics& counts = state_->counts;
  int64_t size = state_->plain ? std::max<int64_t>(bytes, 1) : size_class(bytes);
  void* block = nullptr;
  if (auto found = state_->kept.find(size); found != state_->kept.end() && !found->second.empty()) {
    block = found->second.back();
    found->second.pop_back();
  } else {
    block = from_system(size, counts.held_bytes);
    if (!block) {  // give back what is kept, then try once more
      for (auto& [kept_size, blocks] : state_->kept) {
        for (void* b : blocks) { std::free(b); counts.held_bytes -= kept_size; }
        blocks.clear();
      }
      block = from_system(size, counts.held_bytes);
    }
    if (!block)
      throw MachineError(message("out of memory: wanted ", bytes >> 20, " MiB, in use ", counts.current_bytes >> 20,
                                 " MiB; try a smaller batch or image size"));
    ++counts.system_calls;
    counts.held_bytes += size;
  }
  counts.current_bytes += size;
  counts.peak_bytes = std::max(counts.peak_bytes, counts.current_bytes);
  return block;
}

void CpuAllocator::release(void* block, int64_t bytes) {
  std::lock_guard lock(state_->mutex);
  int64_t size = state_->plain ? std::max<int64_t>(bytes, 1) : size_class(bytes);
  state_->counts.current_bytes -= size;
#ifdef PLUMAGE_POISON
  std::memset(block, 0xa5, size_t(size));  // a use after free shows as absurd numbers
#endif
  if (state_->plain) {
    std::free(block);
    state_->counts.held_bytes -= size;
  } else {
    state_->kept[size].push_back(block);
  }
}

MemoryStatistics CpuAllocator::statistics() const {
  std::lock_guard lock(state_->mutex);
  return state_->counts;
}

void CpuAllocator::reset_peak() {
  std::lock_guard lock(state_->mutex);
  state_->counts.peak_bytes = state_->counts.current_bytes;
}

void CpuAllocator::trim() {
  std::lock_guard lock(state_->mutex);
  for (auto& [size, blocks] : state_->kept) {
    for (void* b : blocks) { std::free(b); state_->counts.held_bytes -= size; }
    blocks.clear();
  }
}

Storage::Storage(int64_t n, Device d) : bytes(n), device(d) {
  if (d.kind != Device::Kind::cpu)
    throw DeviceError(message("device ", d.str(), ": plumage was built without CUDA; use --device cpu"));
  data = CpuAllocator::instance().allocate(n);
}

Storage::~Storage() { CpuAllocator::instance().release(data, bytes); }

}  // namespace plumage
