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

#include "tensor/accelerator.h"
#include "tensor/env.h"

namespace plumage {

struct Allocator::State {
  std::mutex mutex;
  Device device;
  std::unique_ptr<MemorySource> source;
  std::map<int64_t, std::vector<void*>> kept;  // size class -> free blocks
  std::shared_ptr<MemoryPool> pool;            // in use
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

class SystemMemory : public MemorySource {
 public:
  SystemMemory() {
#ifdef __GLIBC__
    // The tape's small objects: a heap that is cut back after each step grows again in the next, page fault by page fault.
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
#endif
  }

  // The system promises more than it has and ends the process when it is used: what cannot fit is refused here.
  void* take(int64_t bytes, int64_t held) override {
    if (bytes > physical_memory() - held) return nullptr;
    int64_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
    void* block = std::aligned_alloc(size_t(alignment), size_t((bytes + alignment - 1) / alignment * alignment));
    if (block && bytes >= kHugePage) madvise(block, size_t(bytes), MADV_HUGEPAGE);
    return block;
  }
  void give_back(void* block) override { std::free(block); }
  void poison(void* block, int64_t bytes) override { std::memset(block, 0xa5, size_t(bytes)); }

 private:
  static int64_t physical_memory() {
    static const int64_t bytes = int64_t(sysconf(_SC_PHYS_PAGES)) * int64_t(sysconf(_SC_PAGESIZE));
    return bytes > 0 ? bytes : std::numeric_limits<int64_t>::max();
  }
};

}  // namespace

Allocator& Allocator::cpu() {
  static auto* allocator = new Allocator({}, std::make_unique<SystemMemory>());
  return *allocator;
}

Allocator& Allocator::of(Device device) {
  if (device.kind == Device::Kind::cpu) return cpu();
  static std::mutex mutex;
  static auto& devices = *new std::map<int, Allocator*>;  // a device is closed at exit, after the statics
  std::lock_guard lock(mutex);
  Allocator*& allocator = devices[device.index];
  if (!allocator) {
    accelerator::require(device);
    allocator = new Allocator(device, accelerator::memory(device.index));
  }
  return *allocator;
}

Allocator::Allocator(Device device, std::unique_ptr<MemorySource> source) : state_(new State) {
  state_->device = device;
  state_->source = std::move(source);
  state_->plain = environment().alloc_plain;
}

void* Allocator::allocate(int64_t bytes, std::shared_ptr<MemoryPool>& pool) {
  std::lock_guard lock(state_->mutex);
  pool = state_->pool;
  auto& kept = pool ? pool->kept_ : state_->kept;
  MemoryStatistics& counts = state_->counts;
  int64_t size = state_->plain ? std::max<int64_t>(bytes, 1) : size_class(bytes);
  void* block = nullptr;
  if (auto found = kept.find(size); found != kept.end() && !found->second.empty()) {
    block = found->second.back();
    found->second.pop_back();
  } else {
    block = state_->source->take(size, counts.held_bytes);
    if (!block) {
      trim_locked();
      block = state_->source->take(size, counts.held_bytes);
    }
    if (!block) {
      std::string where = state_->device.kind == Device::Kind::cpu ? "" : " on " + state_->device.str();
      throw MachineError(message("out of memory", where, ": wanted ", bytes >> 20, " MiB, in use ",
                                 counts.current_bytes >> 20, " MiB", state_->source->shortage(),
                                 "; try a smaller batch or image size"));
    }
    ++counts.system_calls;
    counts.held_bytes += size;
  }
  counts.current_bytes += size;
  counts.peak_bytes = std::max(counts.peak_bytes, counts.current_bytes);
  return block;
}

void Allocator::release(void* block, int64_t bytes, MemoryPool* pool) {
  std::lock_guard lock(state_->mutex);
  int64_t size = state_->plain ? std::max<int64_t>(bytes, 1) : size_class(bytes);
  state_->counts.current_bytes -= size;
#ifdef PLUMAGE_POISON
  state_->source->poison(block, size);
#endif
  if (state_->plain && !pool) {
    state_->source->give_back(block);
    state_->counts.held_bytes -= size;
  } else {
    (pool ? pool->kept_ : state_->kept)[size].push_back(block);
  }
}

void Allocator::use(std::shared_ptr<MemoryPool> pool) {
  std::lock_guard lock(state_->mutex);
  std::swap(state_->pool, pool);  // the one before ends with the argument, after the lock
}

MemoryPool::~MemoryPool() {
  std::lock_guard lock(home_.state_->mutex);
  for (auto& [size, blocks] : kept_) {
    auto& home = home_.state_->kept[size];
    home.insert(home.end(), blocks.begin(), blocks.end());
  }
}

MemoryStatistics Allocator::statistics() const {
  std::lock_guard lock(state_->mutex);
  return state_->counts;
}

void Allocator::reset_peak() {
  std::lock_guard lock(state_->mutex);
  state_->counts.peak_bytes = state_->counts.current_bytes;
}

void Allocator::trim() {
  std::lock_guard lock(state_->mutex);
  trim_locked();
}

void Allocator::trim_locked() {
  for (auto& [size, blocks] : state_->kept) {
    for (void* block : blocks) {
      state_->source->give_back(block);
      state_->counts.held_bytes -= size;
    }
    blocks.clear();
  }
}

Storage::Storage(int64_t n, Device d) : allocator(Allocator::of(d)), data(allocator.allocate(n, pool)), bytes(n), device(d) {}

Storage::~Storage() { allocator.release(data, bytes, pool.get()); }

}  // namespace plumage
