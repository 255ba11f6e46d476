// tensor/backend/cuda/device_code.h by itself: sums of a block one after the other, as kernels take them whose rows are more than
// their blocks.
#include "tensor/backend/cuda/device_code.h"

#include <doctest/doctest.h>

#include "tests/cuda_sim/tests/planted.h"

namespace {

using plumage::cuda::block_reduce;
using plumage::cuda::Plus;

struct Last {
  __device__ double operator()(double, double b) const { return b; }
};

/// y[round][thread]: as every thread sees it. The sum of 1 + thread + round, and the value of the last thread.
__global__ void reduce_rounds(int rounds, double* sums, double* last) {
  int stride = int(blockDim.x), own = int(threadIdx.x);
  for (int round = 0; round < rounds; ++round) sums[round * stride + own] = block_reduce(double(1 + own) + round, Plus{});
  for (int round = 0; round < rounds; ++round) last[round * stride + own] = block_reduce(double(round * stride + own), Last{});
}

}  // namespace

TEST_CASE("a block's sums one after the other do not disturb each other, and the lower thread's value comes first") {
  constexpr int kRounds = 4;
  for (unsigned threads : {32u, 64u, 256u, 1024u})
    for (uint64_t seed : kSeeds) {
      Seeded seeded(seed);
      OnDevice<double> sums(kRounds * threads), last(kRounds * threads);
      REQUIRE(start(reduce_rounds, 1, threads, 0, nullptr, kRounds, sums.data, last.data) == cudaSuccess);
      std::vector<double> wanted_sums, wanted_last;
      for (int round = 0; round < kRounds; ++round) {
        wanted_sums.insert(wanted_sums.end(), threads, threads * (threads + 1.0) / 2 + double(round) * threads);
        wanted_last.insert(wanted_last.end(), threads, (round + 1.0) * threads - 1);
      }
      CHECK(sums.host() == wanted_sums);
      CHECK(last.host() == wanted_last);
    }
}
