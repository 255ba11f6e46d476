// One arena a block; arrays are cut from it as threads first name them.
#include "tests/cuda_sim/shared_memory.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "cuda_runtime.h"
#include "tests/cuda_sim/fail.h"
#include "tests/cuda_sim/fiber.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace cuda_sim {
namespace {

constexpr size_t kRedZone = 128;  // also the largest alignment
constexpr size_t kArenaBytes = 2 * (kSharedBytesOptin + kRedZone);
constexpr unsigned char kPoison = 0xff, kRed = 0xa5;

struct Array {
  const void* site;  // null: dynamic
  size_t offset, bytes;
};

struct Free {
  void operator()(char* memory) const { std::free(memory); }
};

struct Arena {
  std::unique_ptr<char, Free> memory;
  std::vector<Array> arrays;
  size_t used = 0, static_bytes = 0;
  std::vector<std::unique_ptr<char, Free>> kept;
};

Arena& arena() {
  static auto* instance = new Arena;  // never freed: kernels that wait in a stream run as late as at exit
  return *instance;
}

void set_red(char* from, size_t bytes) {
  std::memset(from, kRed, bytes);
#ifdef __SANITIZE_ADDRESS__
  __asan_poison_memory_region(from, bytes);
#endif
}

void set_usable([[maybe_unused]] char* from, [[maybe_unused]] size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(from, bytes);
#endif
}

// [red zone] array [red zone]: one zone serves two neighbours.
char* cut(Arena& a, const void* site, size_t bytes) {
  size_t offset = a.used, padded = (bytes + kRedZone - 1) / kRedZone * kRedZone;
  if (offset + padded + kRedZone > kArenaBytes) fail("too many arrays of shared memory for the simulator");
  char* start = a.memory.get() + offset;
  set_usable(start, padded + kRedZone);
  std::memset(start, kPoison, bytes);
  set_red(start + bytes, padded - bytes + kRedZone);
  a.arrays.push_back({site, offset, bytes});
  a.used += padded + kRedZone;
  return start;
}

}  // namespace

void fresh_shared_memory(size_t dynamic_bytes) {
  Arena& a = arena();
  if (a.memory && kRaceDetector) {
    // Blocks are unordered, so one's memory must not be another's: keep it until the launch is over.
    a.kept.push_back(std::move(a.memory));
  }
  if (!a.memory) a.memory.reset(static_cast<char*>(std::aligned_alloc(kRedZone, kArenaBytes)));
  set_usable(a.memory.get(), kArenaBytes);
  set_red(a.memory.get(), kRedZone);
#ifdef __SANITIZE_ADDRESS__
  __asan_poison_memory_region(a.memory.get(), kArenaBytes);
#endif
  a.used = kRedZone;
  a.arrays.clear();
  a.static_bytes = 0;
  if (dynamic_bytes) cut(a, nullptr, dynamic_bytes);
}

void check_shared_memory() {
  Arena& a = arena();
  for (const Array& array : a.arrays) {
    char* end = a.memory.get() + array.offset + array.bytes;
    size_t zone = (array.bytes + kRedZone - 1) / kRedZone * kRedZone - array.bytes + kRedZone;
    set_usable(end, zone);
    for (size_t i = 0; i < zone; ++i)
      if (static_cast<unsigned char>(end[i]) != kRed)
        fail("a thread has written %zu bytes past the end of %zu bytes of %s shared memory", i, array.bytes,
             array.site ? "static" : "dynamic");
    set_red(end, zone);
  }
}

void free_shared_memory() { arena().kept.clear(); }

void* shared_site(const void* site, size_t bytes, size_t alignment) {
  Unwatched unwatched;
  Arena& a = arena();
  if (alignment > kRedZone) fail("shared memory aligned to %zu: at most %zu here", alignment, kRedZone);
  for (const Array& array : a.arrays)
    if (array.site == site) return a.memory.get() + array.offset;
  a.static_bytes += bytes;
  if (a.static_bytes > kSharedBytes)
    fail("%zu bytes of static shared memory: a block has %zu", a.static_bytes, kSharedBytes);
  return cut(a, site, bytes);
}

void* dynamic_shared(size_t) {
  Arena& a = arena();
  if (a.arrays.empty() || a.arrays[0].site)
    fail("the launch gave no dynamic shared memory, the kernel uses some");
  return a.memory.get() + a.arrays[0].offset;
}

}  // namespace cuda_sim
