// The race detector (make races): every thread of a block and every stream is a thread to
// ThreadSanitizer, ordered by barriers, warp operations and events alone. What is right is not reported, what
// is planted is.
#include <doctest/doctest.h>

#include <cstring>

#include "tests/cuda_sim/tests/planted.h"

namespace {

#define SHARED(T, name, count)       \
  static const char name##_site = 0; \
  T* name = static_cast<T*>(cuda_sim::shared_site(&name##_site, sizeof(T) * (count), alignof(T)))

enum class Sync { right, none };

__global__ void reverse_block(const int* x, int* y, Sync sync) {
  SHARED(int, tile, 64);
  tile[threadIdx.x] = x[threadIdx.x];
  if (sync == Sync::right) __syncthreads();
  y[blockIdx.x * 64 + threadIdx.x] = tile[63 - threadIdx.x];
}
__global__ void reverse_warp(const int* x, int* y, Sync sync) {
  SHARED(int, tile, 32);
  tile[threadIdx.x] = x[threadIdx.x];
  if (sync == Sync::right) __syncwarp();
  y[threadIdx.x] = tile[31 - threadIdx.x];
}
// The tile is written again while others may still read it: the second barrier of a loop is the one that is
// forgotten.
__global__ void sum_tiles(const int* x, int* y, int tiles, Sync sync) {
  SHARED(int, tile, 64);
  int sum = 0;
  for (int t = 0; t < tiles; ++t) {
    tile[threadIdx.x] = x[t * 64 + static_cast<int>(threadIdx.x)];
    __syncthreads();
    sum += tile[63 - threadIdx.x];
    if (sync == Sync::right) __syncthreads();
  }
  y[threadIdx.x] = sum;
}
__global__ void count_by(int* counter, Sync sync) {
  __syncthreads();  // of its block alone
  if (sync == Sync::right)
    atomicAdd(counter, 1);
  else if (threadIdx.x == 0)
    ++*counter;  // each block
  __syncthreads();
}
__global__ void reduce_warp(const int* x, int* y) {
  int sum = x[threadIdx.x];
  for (int by = 16; by > 0; by /= 2) sum += __shfl_down_sync(~0u, sum, static_cast<unsigned>(by));
  if (threadIdx.x == 0) *y = sum;
}
__global__ void copy(const int* x, int* y) { y[threadIdx.x] = x[threadIdx.x]; }

enum class Fault { block, warp, second_barrier, blocks, event, early_host, none };

// All of the above, with one of them wrong.
void run(Fault fault) {
  auto sync = [&](Fault here) { return fault == here ? Sync::none : Sync::right; };
  cudaStream_t a, b;
  cudaEvent_t event;
  cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  OnDevice<int> x(std::vector<int>(256, 1)), y(256), z(256), n(std::vector<int>{0});
  int* pinned = nullptr;
  cudaMallocHost(reinterpret_cast<void**>(&pinned), 256 * sizeof(int));
  std::memset(pinned, 0, 256 * sizeof(int));
  start(reverse_block, 3, 64, 0, a, x.data, y.data, sync(Fault::block));
  start(reverse_warp, 1, 32, 0, a, x.data, y.data, sync(Fault::warp));
  start(sum_tiles, 1, 64, 0, a, x.data, y.data, 4, sync(Fault::second_barrier));
  start(count_by, 8, 32, 0, a, n.data, sync(Fault::blocks));
  start(reduce_warp, 1, 32, 0, a, x.data, y.data);
  if (fault != Fault::event) {
    cudaEventRecord(event, a);
    cudaStreamWaitEvent(b, event);
  }
  start(copy, 1, 256, 0, b, y.data, z.data);
  cudaMemcpyAsync(pinned, z.data, 256 * sizeof(int), cudaMemcpyDeviceToHost, b);
  if (fault != Fault::early_host) cudaStreamSynchronize(b);
  pinned[0] += 1;
  cudaDeviceSynchronize();
  cudaFreeHost(pinned);
}

}  // namespace

// ThreadSanitizer gives up after a fork where there were threads: each run is a process of its own.
TEST_CASE("one run with a planted race" * doctest::skip()) {
  run(static_cast<Fault>(std::atoi(std::getenv("PLANTED_FAULT"))));
}

static Child run_apart(Fault fault, uint64_t seed) {
  return in_child([&] {
    setenv("PLANTED_FAULT", std::to_string(static_cast<int>(fault)).c_str(), 1);
    setenv("CUDA_SIM_SEED", std::to_string(seed).c_str(), 1);
    setenv("TSAN_OPTIONS", "symbolize=0 atexit_sleep_ms=0", 1);  // else seconds
    dup2(2, 1);
    execl("/proc/self/exe", "test_cuda_sim", "-tc=one run with a planted race", "--no-skip", "--minimal",
          nullptr);
  });
}

TEST_CASE("races: what is right is not reported, what is planted is") {
  if (!kWatched) {
    MESSAGE("skipped: this build has no race detector (make races)");
    return;
  }
  for (uint64_t seed : {0, 1, 2, 3}) {
    CAPTURE(seed);
    Child child = run_apart(Fault::none, seed);
    CHECK_MESSAGE((child.exited_well && !child.says("data race")), child.said);
  }
  for (Fault fault :
       {Fault::block, Fault::warp, Fault::second_barrier, Fault::blocks, Fault::event, Fault::early_host}) {
    CAPTURE(static_cast<int>(fault));
    Child child = run_apart(fault, 1);
    CHECK_MESSAGE((!child.exited_well && child.says("ThreadSanitizer: data race")), child.said);
  }
}
