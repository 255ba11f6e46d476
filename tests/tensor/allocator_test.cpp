#include "tensor/allocator.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tensor/context.h"
#include "tensor/env.h"

using namespace plumage;

namespace {
MemoryStatistics now() { return Allocator::cpu().statistics(); }

bool keeps_nothing() {
  if (environment().alloc_plain) MESSAGE("skipped: PLUMAGE_ALLOC=plain keeps nothing");
  return environment().alloc_plain;
}
}  // namespace

TEST_CASE("allocator: what is given back is used again") {
  if (keeps_nothing()) return;
  Allocator::cpu().trim();
  { Tensor warm = Tensor::empty({1000, 1000}); }
  int64_t calls = now().system_calls;
  const void* first;
  {
    Tensor a = Tensor::empty({1000, 1000});
    first = a.raw();
  }
  Tensor b = Tensor::empty({1000, 1000});
  CHECK(b.raw() == first);
  CHECK(now().system_calls == calls);
}

TEST_CASE("allocator: memory of two serves one of their size, and the other way round") {
  if (keeps_nothing()) return;
  Allocator::cpu().trim();
  const int64_t n = int64_t(8) << 20;
  const void* first;
  {
    Tensor a = Tensor::empty({n}, DType::u8), b = Tensor::empty({n}, DType::u8);
    first = std::min(a.raw(), b.raw());
  }
  int64_t calls = now().system_calls;
  {
    Tensor both = Tensor::full({2 * n}, 1, DType::u8);
    CHECK(both.raw() == first);
  }
  Tensor a = Tensor::empty({n}, DType::u8), b = Tensor::empty({n}, DType::u8);
  CHECK(now().system_calls == calls);
}

TEST_CASE("allocator: what was given back to the system can be taken again") {
  if (keeps_nothing()) return;
  Allocator::cpu().trim();
  int64_t held = now().held_bytes, n = int64_t(4) << 20;
  const void* first = nullptr;
  for (int i = 0; i < 3; ++i) {
    int64_t calls = now().system_calls;
    {
      Tensor a = Tensor::full({n}, i + 1, DType::u8);
      if (i == 0) first = a.raw();
      CHECK(a.raw() == first);
      CHECK(now().system_calls == calls + 1);
      CHECK(now().held_bytes == held + n);
      CHECK(a.span<uint8_t>()[size_t(n - 1)] == i + 1);
    }
    Allocator::cpu().trim();
    CHECK(now().held_bytes == held);
  }
}

TEST_CASE("allocator: counts what is in use, the peak, and what is held") {
  Allocator::cpu().trim();
  Allocator::cpu().reset_peak();
  MemoryStatistics before = now();
  CHECK(before.peak_bytes == before.current_bytes);
  CHECK(before.held_bytes == before.current_bytes);
  {
    Tensor a = Tensor::empty({1 << 20}), b = Tensor::empty({1 << 20});
    CHECK(now().current_bytes - before.current_bytes >= 8 << 20);
    CHECK(now().current_bytes - before.current_bytes <= 10 << 20);
  }
  CHECK(now().current_bytes == before.current_bytes);
  CHECK(now().peak_bytes - before.current_bytes >= 8 << 20);
  Allocator::cpu().trim();
  CHECK(now().held_bytes == before.held_bytes);
}

TEST_CASE("allocator: blocks are aligned to 64 bytes and do not overlap") {
  std::vector<Tensor> tensors;
  for (int64_t n : {0, 1, 3, 64, 255, 257, 1000, 4097, 1 << 16, (2 << 20) + 1})
    for (int i = 0; i < 3; ++i) {
      tensors.push_back(Tensor::full({n}, double(tensors.size()), DType::u8));
      CHECK(reinterpret_cast<uintptr_t>(tensors.back().raw()) % 64 == 0);
    }
  for (size_t i = 0; i < tensors.size(); ++i) {
    int64_t wrong = 0;
    for (uint8_t v : tensors[i].span<uint8_t>()) wrong += v != i;
    CHECK(wrong == 0);
  }
}

TEST_CASE("allocator: many threads at once") {
  int64_t before = now().current_bytes;
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t, &wrong] {
      for (int i = 0; i < 200; ++i) {
        Tensor a = Tensor::empty({1 + (i * 37 + t * 11) % 5000}, DType::u8);
        uint8_t* p = a.data<uint8_t>();
        for (int64_t k = 0; k < a.count(); ++k) p[k] = uint8_t(t);
        std::this_thread::yield();
        for (int64_t k = 0; k < a.count(); ++k) wrong[size_t(t)] += p[k] != uint8_t(t);
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>{0, 0, 0, 0});
  CHECK(now().current_bytes == before);
}

TEST_CASE("allocator: more than there is throws MachineError and loses nothing") {
  int64_t before = now().current_bytes;
  CHECK_THROWS_AS(Tensor::empty({int64_t(1) << 50}), MachineError);
  CHECK_THROWS_AS(Tensor::empty({int64_t(sysconf(_SC_PHYS_PAGES)) + 1, sysconf(_SC_PAGESIZE)}, DType::u8),
                  MachineError);
  CHECK(now().current_bytes == before);
  CHECK(Tensor::full({3}, 1).to_vector() == std::vector<double>{1, 1, 1});
}

TEST_CASE("context: scratch memory grows, keeps its slots apart, and threads must be at least 1") {
  Context& context = Context::cpu();
  char* a = static_cast<char*>(context.scratch(1000, 0));
  char* b = static_cast<char*>(context.scratch(1000, 1));
  CHECK((b >= a + 1000 || a >= b + 1000));
  CHECK(reinterpret_cast<uintptr_t>(a) % 64 == 0);
  CHECK(context.scratch(10, 0) == a);
  CHECK_THROWS_AS(context.set_threads(0), InputError);
  CHECK_THROWS_AS(Context::of(Device{Device::Kind::cuda, 99}), DeviceError);
}

namespace {
int64_t physical_memory() { return int64_t(sysconf(_SC_PHYS_PAGES)) * int64_t(sysconf(_SC_PAGESIZE)); }
}  // namespace

TEST_CASE("allocator: an eighth of the machine's memory") {
  Tensor a = Tensor::empty({physical_memory() / 8}, DType::u8);
  CHECK(a.defined());
}

TEST_CASE("allocator: a limit on addresses, little above the machine's memory, leaves them to the tensors") {
  if (keeps_nothing()) return;
  std::string limit = "ulimit -v " + std::to_string((physical_memory() + physical_memory() / 16) >> 10);
  std::string test = std::filesystem::read_symlink("/proc/self/exe");
  // Where a lower limit holds already there is nothing to see.
  std::string command = "(" + limit + ") 2> /dev/null || exit 0; " + limit + "; '" + test + "' -tc='allocator: an eighth*' > /dev/null";
  CHECK(std::system(command.c_str()) == 0);
}
