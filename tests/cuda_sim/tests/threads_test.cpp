// Threads of a block: barriers, warp operations, shared memory; and what must be caught when they are used
// wrongly.
#include <doctest/doctest.h>

#include <cmath>
#include <csignal>
#include <set>

#include "tests/cuda_sim/tests/planted.h"

namespace {

#define SHARED(T, name, count)       \
  static const char name##_site = 0; \
  T* name = static_cast<T*>(cuda_sim::shared_site(&name##_site, sizeof(T) * (count), alignof(T)))

__global__ void sum_block(const float* x, float* y, int n) {
  SHARED(float, part, 32);
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) sum += x[i];
  for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(~0u, sum, by);
  unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (lane == 0) part[warp] = sum;
  __syncthreads();
  if (warp == 0) {
    sum = lane < blockDim.x / 32 ? part[lane] : 0;
    for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(~0u, sum, by);
    if (lane == 0) y[blockIdx.x] = sum;
  }
}

__global__ void reverse(const int* x, int* y, bool wait) {
  SHARED(int, tile, 256);
  unsigned i = threadIdx.x;
  tile[i] = x[i];
  if (wait) __syncthreads();
  y[i] = tile[blockDim.x - 1 - i];
}

__global__ void reverse_warp(const int* x, int* y, bool wait) {
  SHARED(int, tile, 32);
  tile[threadIdx.x] = x[threadIdx.x];
  if (wait) __syncwarp();
  y[threadIdx.x] = tile[31 - threadIdx.x];
}

// The warps' sums of a round are overwritten while a warp that is behind may still read them.
__global__ void sum_rounds(int rounds, int* y, bool wait) {
  SHARED(int, part, 32);
  int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  for (int round = 0; round < rounds; ++round) {
    int sum = round + warp, total = 0;
    for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(~0u, sum, by);
    if (wait) __syncthreads();
    if (lane == 0) part[warp] = sum;
    __syncthreads();
    for (int w = 0; w < static_cast<int>(blockDim.x / 32); ++w) total += part[w];
    y[round * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)] = total;
  }
}

__global__ void reverse_dynamic(int* y) {
  int* tile = static_cast<int*>(cuda_sim::dynamic_shared(16));
  tile[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncthreads();
  y[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

__global__ void warp_zoo(int* y) {
  int lane = static_cast<int>(threadIdx.x), *out = y + lane * 8;
  out[0] = __shfl_sync(~0u, lane, 5);
  out[1] = __shfl_up_sync(~0u, lane, 3u);
  out[2] = __shfl_down_sync(~0u, lane, 4u, 16);
  out[3] = static_cast<int>(__ballot_sync(~0u, lane % 3 == 0));
  out[4] = __any_sync(~0u, lane == 40);
  out[5] = __all_sync(~0u, lane < 32);
  out[6] = __syncthreads_count(lane < 7);
  if (lane < 16)
    out[7] = __shfl_xor_sync(0xffffu, lane, 1);
  else
    out[7] = __shfl_xor_sync(0xffff0000u, lane, 2);
}

__global__ void count_up(int* counter) { atomicAdd(counter, 1); }
__global__ void skip_barrier() {
  if (threadIdx.x < 40) __syncthreads();
}
__global__ void two_barriers() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}
__global__ void absent_lane(float* y) {
  if (threadIdx.x < 16) *y = __shfl_xor_sync(~0u, 1.0f, 16);
}
__global__ void lane_outside_mask(float* y) {
  if (threadIdx.x < 16) *y = __shfl_sync(0xffffu, 1.0f, 20);
}
__global__ void past_shared(int at) {
  SHARED(float, tile, 31);
  tile[at] = 1;
}
__global__ void read_unset_shared(float* y) {
  SHARED(float, tile, 32);
  y[threadIdx.x] = tile[threadIdx.x];
}
__global__ void tail(float* y, int n) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i <= static_cast<unsigned>(n)) y[i] = 1;  // planted: < n is right
}
int dive(int depth) {
  volatile char frame[1024];
  frame[0] = static_cast<char>(depth);
  return depth > 1000 ? 0 : dive(depth + 1) + frame[0];
}
__global__ void deep(int* y) { *y = dive(0); }

std::vector<int> ascending(int n) {
  std::vector<int> x(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) x[static_cast<size_t>(i)] = i;
  return x;
}

template <class Kernel>
std::vector<int> run_reverse(Kernel kernel, unsigned threads, bool wait) {
  OnDevice<int> x(ascending(static_cast<int>(threads))), y(threads);
  REQUIRE(start(kernel, 1, threads, 0, nullptr, x.data, y.data, wait) == cudaSuccess);
  return y.host();
}

}  // namespace

TEST_CASE("a block sums with shuffles and shared memory, the same in every order") {
  std::vector<float> x;
  for (int i = 0; i < 1000; ++i) x.push_back(static_cast<float>(i % 7) - 2.5f);
  double sum = 0;
  for (float v : x) sum += v;
  for (uint64_t seed : kSeeds) {
    Seeded seeded(seed);
    OnDevice<float> in(x), out(3);
    REQUIRE(start(sum_block, 3, 256, 0, nullptr, in.data, out.data, 1000) == cudaSuccess);
    for (float y : out.host()) CHECK(y == static_cast<float>(sum));
  }
}

TEST_CASE("planted: a missing __syncthreads shows in the result" * doctest::skip(kWatched)) {
  std::set<std::vector<int>> right, wrong;
  for (uint64_t seed : kSeeds) {
    Seeded seeded(seed);
    right.insert(run_reverse(reverse, 256, true));
    wrong.insert(run_reverse(reverse, 256, false));
  }
  CHECK(right.size() == 1);
  CHECK((*right.begin())[0] == 255);
  CHECK(wrong.size() > 5);  // nearly every order gives another result
  CHECK(!wrong.count(*right.begin()));
}

TEST_CASE("planted: a missing __syncwarp shows in the result" * doctest::skip(kWatched)) {
  std::set<std::vector<int>> right, wrong;
  for (uint64_t seed : kSeeds) {
    Seeded seeded(seed);
    right.insert(run_reverse(reverse_warp, 32, true));
    wrong.insert(run_reverse(reverse_warp, 32, false));
  }
  CHECK(right.size() == 1);
  CHECK(wrong.size() > 5);
  CHECK(!wrong.count(*right.begin()));
}

TEST_CASE("planted: a missing __syncthreads that only a warp far ahead of another needs" * doctest::skip(kWatched)) {
  constexpr unsigned kThreads = 256, kRounds = 8;
  std::set<std::vector<int>> right, wrong;
  for (bool wait : {true, false})
    for (uint64_t seed : kSeeds) {
      Seeded seeded(seed);
      OnDevice<int> y(kThreads * kRounds);
      REQUIRE(start(sum_rounds, 1, kThreads, 0, nullptr, static_cast<int>(kRounds), y.data, wait) == cudaSuccess);
      (wait ? right : wrong).insert(y.host());
    }
  CHECK(right.size() == 1);
  CHECK(wrong.size() > 5);
}

TEST_CASE("shuffles, votes and counts as the programming guide has them") {
  OnDevice<int> y(32 * 8);
  REQUIRE(start(warp_zoo, 1, 32, 0, nullptr, y.data) == cudaSuccess);
  std::vector<int> out = y.host();
  for (int lane = 0; lane < 32; ++lane) {
    const int* o = &out[static_cast<size_t>(lane) * 8];
    CHECK(o[0] == 5);
    CHECK(o[1] == (lane < 3 ? lane : lane - 3));
    CHECK(o[2] == (lane % 16 < 12 ? lane + 4 : lane));
    CHECK(static_cast<unsigned>(o[3]) == 0x49249249u);
    CHECK(o[4] == 0);
    CHECK(o[5] == 1);
    CHECK(o[6] == 7);
    CHECK(o[7] == (lane < 16 ? lane ^ 1 : lane ^ 2));
  }
}

TEST_CASE("dynamic shared memory, integer atomics, a grid of three dimensions") {
  OnDevice<int> y(100), counter(std::vector<int>{0});
  REQUIRE(start(reverse_dynamic, 1, 100, 400, nullptr, y.data) == cudaSuccess);
  REQUIRE(start(count_up, dim3(3, 4, 5), dim3(2, 3, 4), 0, nullptr, counter.data) == cudaSuccess);
  CHECK(y.host()[0] == 99);
  CHECK(counter.host()[0] == 3 * 4 * 5 * 2 * 3 * 4);
}

TEST_CASE("limits of a launch are errors of the call") {
  OnDevice<int> y(1);
  CHECK(start(count_up, 1, 1025, 0, nullptr, y.data) == cudaErrorInvalidConfiguration);
  CHECK(start(count_up, 1, dim3(1, 1, 65), 0, nullptr, y.data) == cudaErrorInvalidConfiguration);
  CHECK(start(count_up, 0, 32, 0, nullptr, y.data) == cudaErrorInvalidConfiguration);
  CHECK(start(count_up, dim3(1, 65536), 32, 0, nullptr, y.data) == cudaErrorInvalidConfiguration);
  CHECK(start(count_up, 1, 32, 49 * 1024, nullptr, y.data) == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaFuncSetAttribute(count_up, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 * 1024) ==
        cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(count_up, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 * 1024) ==
        cudaSuccess);
  CHECK(start(count_up, 1, 32, 99 * 1024, nullptr, y.data) == cudaSuccess);
  cudaGetLastError();
}

TEST_CASE("shared memory that nobody has written is NaN") {
  OnDevice<float> y(32);
  REQUIRE(start(read_unset_shared, 1, 32, 0, nullptr, y.data) == cudaSuccess);
  for (float v : y.host()) CHECK(std::isnan(v));
}

TEST_CASE("planted: barriers and warp operations that cannot complete end the run in one line") {
  auto run = [](auto kernel, unsigned threads, auto... arguments) {
    return in_child([=] {
      (void)start(kernel, 1, threads, 0, nullptr, arguments...);
      cudaDeviceSynchronize();
    });
  };
  Child child = run(skip_barrier, 64);
  CHECK(child.aborted);
  CHECK_MESSAGE(child.says("skip_barrier, block (0,0,0)"), child.said);
  CHECK(child.says("24 of 64 threads have ended without reaching it"));
  child = run(two_barriers, 64);
  CHECK(child.aborted);
  CHECK_MESSAGE(child.says("wait at different barriers"), child.said);
  OnDevice<float> y(1);
  child = run(absent_lane, 32, y.data);
  CHECK(child.aborted);
  CHECK_MESSAGE(child.says("deadlock: 16 of 32 threads have ended"), child.said);
  child = run(lane_outside_mask, 32, y.data);
  CHECK(child.aborted);
  CHECK_MESSAGE(child.says("reads lane 20, which is not in mask 0000ffff"), child.said);
}

TEST_CASE("planted: writing past an array of shared memory") {
  CHECK(in_child([] {
          (void)start(past_shared, 1, 1, 0, nullptr, 30);
          cudaDeviceSynchronize();
        }).exited_well);
  Child child = in_child([] {
    (void)start(past_shared, 1, 1, 0, nullptr, 31);
    cudaDeviceSynchronize();
  });
  CHECK(!child.exited_well);
  CHECK_MESSAGE(
      (child.says("past the end of 124 bytes of static shared memory") || child.says("use-after-poison")),
      child.said);
}

TEST_CASE("planted: off by one at a tail") {
  for (int n : {64, 1000, 4096}) {
    Child child = in_child([n] {
      OnDevice<float> y(static_cast<size_t>(n));
      (void)start(tail, static_cast<unsigned>(n / 256 + 1), 256, 0, nullptr, y.data, n);
      cudaDeviceSynchronize();
    });
    CHECK(!child.exited_well);
    bool caught = child.says("past the end of an allocation of") || child.says("which is not allocated") ||
                  child.says("use-after-poison");
    CHECK_MESSAGE(caught, child.said);
  }
}

TEST_CASE("planted: a stack that overflows") {
  Child child = in_child([] {
    OnDevice<int> y(1);
    (void)start(deep, 1, 1, 0, nullptr, y.data);
    cudaDeviceSynchronize();
  });
  CHECK(!child.exited_well);
  CHECK_MESSAGE((child.says("stack overflowed") || child.says("stack-overflow")), child.said);
}
