#include "tests/cuda_sim/memory.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "tests/cuda_sim/block.h"
#include "tests/cuda_sim/device.h"
#include "tests/cuda_sim/fail.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace cuda_sim {
namespace {

constexpr size_t kPage = 4096, kAlignment = 256, kArenaBytes = size_t{1} << 36;
constexpr unsigned char kPoison = 0xff, kRed = 0xa5;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

struct Allocation {
  char* pages;  // what mprotect is told
  size_t page_bytes;
  char* end;             // of the user's bytes; from here to the end of the pages: red
  bool touched = false;  // since the device began to run: readable and writable
};

struct Memory {
  char* arena = nullptr;  // reserved addresses; only allocations have memory behind them
  size_t cursor = 0;
  std::map<char*, Allocation> device;  // by the user's pointer
  std::map<char*, size_t> pinned;
  int open = 0;
  bool host_function = false;
};

Memory& memory() {
  static auto* instance = new Memory;
  return *instance;
}

std::pair<char* const, Allocation>* allocation_at(const void* pointer) {
  auto* at = static_cast<char*>(const_cast<void*>(pointer));
  auto it = memory().device.upper_bound(at);
  if (it == memory().device.begin()) return nullptr;
  --it;
  return at < it->second.end || at == it->first ? &*it : nullptr;
}

struct sigaction handler_before {};

void protect(const Allocation& a, int protection) { mprotect(a.pages, a.page_bytes, protection); }

// While the device runs, an allocation opens when it is first touched: there may be hundreds, of which a
// kernel sees three. Else the host touched device memory, or a kernel something that is not its own: one
// line, then abort.
void on_segv(int, siginfo_t* info, void*) {
  auto* at = static_cast<char*>(info->si_addr);
  Memory& m = memory();
  if (m.arena && at >= m.arena && at < m.arena + kArenaBytes) {
    auto* hit = allocation_at(at);
    if (hit && m.open && !m.host_function && !hit->second.touched) {
      protect(hit->second, PROT_READ | PROT_WRITE);
      hit->second.touched = true;
      return;
    }
    if (hit)
      fail(
          "the host touches device memory: byte %zd of an allocation of %zd bytes; copy it first "
          "(cudaMemcpyAsync, then wait)",
          at - hit->first, hit->second.end - hit->first);
    auto it = m.device.upper_bound(at);
    if (it == m.device.begin())
      fail("touches device memory at %p, which is not allocated", static_cast<void*>(at));
    --it;
    fail(
        "touches device memory at %p, which is not allocated; the nearest allocation before it, of %zd "
        "bytes, ends %zd bytes before",
        static_cast<void*>(at), it->second.end - it->first, at - it->second.end);
  }
  if (stack_overflowed(at)) fail("the thread's stack overflowed");
  if (std::string place = current_place(); !place.empty())
    fail("touches %p, which is nobody's memory", static_cast<void*>(at));
  sigaction(SIGSEGV, &handler_before, nullptr);  // not ours: let it happen again, to whom it concerns
}

// A stack for the handler, since a kernel's may be what has run out.
void give_handler_a_stack() {
  static thread_local char stack[64 * 1024];
  static thread_local bool given = false;
  if (std::exchange(given, true)) return;
  stack_t alternate{};
  sigaltstack(nullptr, &alternate);
  if (!(alternate.ss_flags & SS_DISABLE)) return;
  alternate = {};
  alternate.ss_sp = stack;
  alternate.ss_size = sizeof stack;
  sigaltstack(&alternate, nullptr);
}

// Again and again, since test frameworks and sanitizers put theirs in its place.
void watch_faults() {
  give_handler_a_stack();
  struct sigaction now {};
  sigaction(SIGSEGV, nullptr, &now);
  if (now.sa_sigaction == on_segv) return;
  handler_before = now;
  struct sigaction action {};
  action.sa_sigaction = on_segv;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
}

char* pages_end(const Allocation& a) { return a.pages + a.page_bytes; }

// A range of reserved addresses, with a page to spare on either side, that no allocation uses.
char* find_room(Memory& m, size_t bytes) {
  if (!m.arena) {
    void* arena = mmap(nullptr, kArenaBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED) fail("no addresses for the memory of the simulated device");
    m.arena = static_cast<char*>(arena);
  }
  // Addresses are used again as late as can be, so that a pointer that outlived its memory is caught.
  for (int lap = 0; lap < 2; ++lap, m.cursor = 0) {
    while (m.cursor + bytes + 2 * kPage <= kArenaBytes) {
      char* start = m.arena + m.cursor + kPage;
      auto next = m.device.lower_bound(start);
      const Allocation* in_the_way = nullptr;
      if (next != m.device.begin() && pages_end(std::prev(next)->second) > start - kPage)
        in_the_way = &std::prev(next)->second;
      else if (next != m.device.end() && next->second.pages < start + bytes + kPage)
        in_the_way = &next->second;
      if (!in_the_way) return start;
      m.cursor = static_cast<size_t>(pages_end(*in_the_way) - m.arena);
    }
  }
  return nullptr;
}

// Fresh memory is NaN without being written: it shows pages of one file full of it, until somebody writes his
// own. So large allocations of which little is used cost little, also each time they are opened and closed.
void map_poison(char* pages, size_t bytes) {
  constexpr size_t kFileBytes = size_t{4} << 20;
  static const int file = [] {
    int fd = memfd_create("poison", MFD_CLOEXEC);
    std::string content(kFileBytes, static_cast<char>(kPoison));
    return fd >= 0 && write(fd, content.data(), kFileBytes) == static_cast<ssize_t>(kFileBytes) ? fd : -1;
  }();
  for (size_t done = 0; done < bytes; done += kFileBytes) {
    size_t part = bytes - done < kFileBytes ? bytes - done : kFileBytes;
    constexpr int kFlags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;
    if (file < 0 || mmap(pages + done, part, PROT_READ | PROT_WRITE, kFlags, file, 0) == MAP_FAILED) {
      mprotect(pages + done, part, PROT_READ | PROT_WRITE);
      std::memset(pages + done, kPoison, part);
    }
  }
}

void check_red_zone(const Allocation& a, const char* start) {
  for (const char* p = a.end; p < pages_end(a); ++p)
    if (static_cast<unsigned char>(*p) != kRed)
      fail("somebody wrote %zd bytes past the end of an allocation of %zd bytes of device memory", p - a.end,
           a.end - start);
}

}  // namespace

Where where(const void* pointer) {
  auto* at = static_cast<char*>(const_cast<void*>(pointer));
  Memory& m = memory();
  if (m.arena && at >= m.arena && at < m.arena + kArenaBytes) return Where::device;
  auto it = m.pinned.upper_bound(at);
  if (it != m.pinned.begin() && at < std::prev(it)->first + std::prev(it)->second) return Where::pinned;
  return Where::pageable;
}

bool in_one_allocation(const void* pointer, size_t bytes) {
  const auto* hit = allocation_at(pointer);
  return hit && static_cast<const char*>(pointer) + bytes <= hit->second.end;
}

void* allocate_device(size_t bytes) {
  Memory& m = memory();
  if (count().live_bytes + bytes > memory_limit()) return nullptr;
  size_t page_bytes = round_up(round_up(bytes, kAlignment), kPage);
  char* pages = find_room(m, page_bytes);
  if (!pages) return nullptr;
  watch_faults();
  // The user's bytes end at the end of a page, as nearly as the alignment lets them: past it nothing can be
  // touched.
  char* start = pages + page_bytes - round_up(bytes, kAlignment);
  Allocation allocation{pages, page_bytes, start + bytes};
  map_poison(pages, page_bytes);
  std::memset(allocation.end, kRed, static_cast<size_t>(pages + page_bytes - allocation.end));
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(pages, page_bytes);
  ASAN_POISON_MEMORY_REGION(pages, static_cast<size_t>(start - pages));
  ASAN_POISON_MEMORY_REGION(allocation.end, static_cast<size_t>(pages + page_bytes - allocation.end));
#endif
  protect(allocation, PROT_NONE);
  m.cursor = static_cast<size_t>(pages + page_bytes - m.arena);
  m.device.emplace(start, allocation);
  count().mallocs++;
  count().live_allocations++;
  count().live_bytes += bytes;
  if (count().live_bytes > count().peak_bytes) count().peak_bytes = count().live_bytes;
  return start;
}

bool free_device(void* pointer) {
  Memory& m = memory();
  auto it = m.device.find(static_cast<char*>(pointer));
  if (it == m.device.end()) return false;
  Allocation allocation = it->second;
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(allocation.pages, allocation.page_bytes);
#endif
  protect(allocation, PROT_READ | PROT_WRITE);
  check_red_zone(allocation, it->first);
  mmap(allocation.pages, allocation.page_bytes, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  count().live_allocations--;
  count().live_bytes -= static_cast<size_t>(allocation.end - it->first);
  m.device.erase(it);
  return true;
}

void* allocate_pinned(size_t bytes) {
  void* pointer = std::aligned_alloc(kPage, round_up(bytes, kPage));
  if (pointer) memory().pinned.emplace(static_cast<char*>(pointer), bytes);
  return pointer;
}

bool free_pinned(void* pointer) {
  if (memory().pinned.erase(static_cast<char*>(pointer)) == 0) return false;
  std::free(pointer);
  return true;
}

static void close_device() {
  for (auto& [start, allocation] : memory().device)
    if (std::exchange(allocation.touched, false)) protect(allocation, PROT_NONE);
}

DeviceRuns::DeviceRuns() {
  if (memory().open++ == 0) watch_faults();
}
DeviceRuns::~DeviceRuns() {
  if (--memory().open == 0) close_device();
}
HostRuns::HostRuns() {
  memory().host_function = true;
  close_device();
}
HostRuns::~HostRuns() { memory().host_function = false; }

int report_memory() {
  int lines = 0;
  if (count().live_allocations) {
    std::fprintf(stderr, "cuda_sim: at exit: %zu device allocations of %zu bytes in all were not freed\n",
                 static_cast<size_t>(count().live_allocations), static_cast<size_t>(count().live_bytes));
    ++lines;
  }
  if (!memory().pinned.empty()) {
    std::fprintf(stderr, "cuda_sim: at exit: %zu pinned allocations were not freed\n",
                 memory().pinned.size());
    ++lines;
  }
  return lines;
}

}  // namespace cuda_sim
