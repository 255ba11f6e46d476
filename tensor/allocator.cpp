#include "tensor/allocator.h"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <utility>

#include "tensor/accelerator.h"
#include "tensor/env.h"

namespace plumage {

struct Allocator::State {
  std::mutex mutex;
  Device device;
  std::unique_ptr<MemorySource> source;
  bool joins = false;
  FreeMemory kept;
  std::shared_ptr<MemoryPool> pool;  // in use
  MemoryStatistics counts;
  bool plain = false;
};

namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kPage = 4096, kHugePage = int64_t(2) << 20;

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Where blocks are never cut, eight classes between powers of two, so that they can be used again: at most 12.5 % is unused.
int64_t block_size(int64_t bytes, bool joins) {
  if (bytes <= 256) return 256;
  if (joins) return round_up(bytes, FreeMemory::is_large(bytes) ? kPage : kAlignment);
  return round_up(bytes, std::max<int64_t>(kAlignment, int64_t(std::bit_floor(uint64_t(bytes))) / 8));
}

int64_t physical_memory() {
  static const int64_t bytes = int64_t(sysconf(_SC_PHYS_PAGES)) * int64_t(sysconf(_SC_PAGESIZE));
  return bytes > 0 ? bytes : std::numeric_limits<int64_t>::max() / 2;  // may be rounded up
}

// A process whose addresses are limited has none to spare for what is never used.
bool addresses_are_limited() {
  for (auto kind : {RLIMIT_AS, RLIMIT_DATA})
    if (rlimit limit; getrlimit(kind, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY) return true;
  return false;
}

/// Addresses without memory behind them until they are touched, handed out from the lowest on, so that all blocks are neighbours.
class Arena {
 public:
  explicit Arena(int64_t bytes) {
    if (addresses_are_limited()) return;  // blocks are mapped one by one then
    void* at = mmap(nullptr, size_t(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return;  // the system promises no more than it has: one by one, too
    next_ = reinterpret_cast<char*>(round_up(int64_t(at), kHugePage));
    end_ = static_cast<char*>(at) + bytes;
    madvise(next_, size_t(end_ - next_), MADV_HUGEPAGE);
  }
  void* take(int64_t bytes) {
    if (end_ - next_ >= bytes) return std::exchange(next_, next_ + bytes);
    int64_t size = std::max(bytes, kHugePage);  // a page for each small block would be mostly waste
    void* at = mmap(nullptr, size_t(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return nullptr;
    if (size > bytes) next_ = static_cast<char*>(at) + bytes, end_ = static_cast<char*>(at) + size;
    return at;
  }

 private:
  char *next_ = nullptr, *end_ = nullptr;
};

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
    bool large = FreeMemory::is_large(bytes);
    if (void* block = bare_.among(large).take(bytes, true)) return block;
    return (large ? large_ : small_).take(bytes);
  }
  void give_back(void* block, int64_t bytes, bool large) override {
    int64_t begin = round_up(int64_t(block), kPage), end = (int64_t(block) + bytes) / kPage * kPage;
    if (end > begin) madvise(reinterpret_cast<void*>(begin), size_t(end - begin), MADV_DONTNEED);
    bare_.among(large).put(block, bytes, true);
  }
  void poison(void* block, int64_t bytes) override { std::memset(block, 0xa5, size_t(bytes)); }
  bool joins() const override { return true; }

 private:
  FreeMemory bare_;  // addresses without memory: what was given back
  Arena small_{round_up(physical_memory(), kHugePage)}, large_{round_up(physical_memory(), kHugePage)};
};

/// Each block from the heap, where a sanitizer watches over its ends.
class PlainMemory : public MemorySource {
 public:
  void* take(int64_t bytes, int64_t held) override {
    return bytes > physical_memory() - held ? nullptr : std::aligned_alloc(kAlignment, size_t(round_up(bytes, kAlignment)));
  }
  void give_back(void* block, int64_t, bool) override { std::free(block); }
  void poison(void* block, int64_t bytes) override { std::memset(block, 0xa5, size_t(bytes)); }
};

std::unique_ptr<MemorySource> system_memory() {
  if (environment().alloc_plain) return std::make_unique<PlainMemory>();
  return std::make_unique<SystemMemory>();
}

}  // namespace

Allocator& Allocator::cpu() {
  static auto* allocator = new Allocator({}, system_memory());
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
  state_->joins = state_->source->joins();
}

void* Allocator::allocate(int64_t bytes, std::shared_ptr<MemoryPool>& pool) {
  std::lock_guard lock(state_->mutex);
  pool = state_->pool;
  FreeMemory& kept = pool ? pool->kept_ : state_->kept;
  MemoryStatistics& counts = state_->counts;
  int64_t size = state_->plain ? std::max<int64_t>(bytes, 1) : block_size(bytes, state_->joins);
  void* block = kept.among(FreeMemory::is_large(size)).take(size, state_->joins);
  if (!block) {
    block = state_->source->take(size, counts.held_bytes);
    if (!block) {
      trim_locked();
      block = state_->source->take(size, counts.held_bytes);
    }
    if (!block) {
      std::string where = state_->device.kind == Device::Kind::cpu ? "" : " on " + state_->device.str();
      throw MachineError(message("out of memory", where, ": wanted ", bytes >> 20, " MiB, in use ",
                                 counts.current_bytes >> 20, " MiB, held ", counts.held_bytes >> 20, " MiB", state_->source->shortage(),
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
  int64_t size = state_->plain ? std::max<int64_t>(bytes, 1) : block_size(bytes, state_->joins);
  state_->counts.current_bytes -= size;
#ifdef PLUMAGE_POISON
  state_->source->poison(block, size);
#endif
  if (state_->plain && !pool) {
    state_->source->give_back(block, size, FreeMemory::is_large(size));
    state_->counts.held_bytes -= size;
  } else {
    (pool ? pool->kept_ : state_->kept).among(FreeMemory::is_large(size)).put(block, size, state_->joins);
  }
}

void Allocator::use(std::shared_ptr<MemoryPool> pool) {
  std::lock_guard lock(state_->mutex);
  std::swap(state_->pool, pool);  // the one before ends with the argument, after the lock
}

MemoryPool::~MemoryPool() {
  std::lock_guard lock(home_.state_->mutex);
  Allocator::State& home = *home_.state_;
  kept_.drain([&](void* block, int64_t size, bool large) { home.kept.among(large).put(block, size, home.joins); });
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
  state_->kept.drain([&](void* block, int64_t size, bool large) {
    state_->source->give_back(block, size, large);
    state_->counts.held_bytes -= size;
  });
}

Storage::Storage(int64_t n, Device d) : allocator(Allocator::of(d)), data(allocator.allocate(n, pool)), bytes(n), device(d) {}

Storage::~Storage() { allocator.release(data, bytes, pool.get()); }

}  // namespace plumage
