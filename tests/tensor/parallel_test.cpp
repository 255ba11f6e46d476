// How kernels share their work among threads.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "tensor/backend/cpu/parallel.h"
#include "tests/threads_scope.h"

using namespace plumage;
using test::ThreadsScope;

TEST_CASE("parallel: every element once, in parts of whole units") {
  ThreadsScope threads(3);
  for (int64_t count : {0, 1, 5, 100, 4099})
    for (int64_t grain : {1, 7, 300})
      for (int64_t align : {1, 16})
        for (int64_t units : {1, 8}) {
          INFO("count ", count, " grain ", grain, " align ", align, " units ", units);
          std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
          std::atomic<int> calls = 0, broken = 0;
          cpu::parallel(Context::cpu(), count, grain, [&](int64_t begin, int64_t end) {
            ++calls;
            if (begin >= end || begin % align || (end % align && end != count)) ++broken;
            for (int64_t i = begin; i < end; ++i) ++seen[size_t(i)];
          }, align, units);
          CHECK(broken == 0);
          CHECK(calls <= 3 * units);
          bool once = true;
          for (auto& n : seen) once &= n == 1;
          CHECK(once);
        }
}

TEST_CASE("parallel: parts grow smaller towards the end of a share") {
  auto begins = [](int64_t units) {
    std::vector<int64_t> all;
    for (int64_t part = 0; all.empty() || all.back() < units; ++part) all.push_back(cpu::begin_of_part(part, units));
    return all;
  };
  CHECK(begins(32) == std::vector<int64_t>{0, 4, 8, 12, 16, 20, 24, 26, 28, 29, 30, 31, 32});
  CHECK(begins(7) == std::vector<int64_t>{0, 2, 3, 4, 5, 6, 7});
  CHECK(begins(1) == std::vector<int64_t>{0, 1});
  CHECK(cpu::begin_of_part(100, 32) == 32);
}

TEST_CASE("parallel: who is done takes what a late thread has not begun") {
  ThreadsScope threads(2);
  constexpr int kCount = 64;
  std::atomic<int> done = 0;
  auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  bool others_did_the_rest = false;
  cpu::parallel(Context::cpu(), kCount, 1, [&](int64_t begin, int64_t end) {
    const int own = int(end - begin);
    if (begin == 0) {  // the first part ends when all others have
      while (done < kCount - own && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
      others_did_the_rest = done == kCount - own;
    }
    done += own;
  });
  CHECK(others_did_the_rest);
  CHECK(done == kCount);
}
