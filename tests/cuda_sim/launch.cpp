#include "tests/cuda_sim/launch.h"

#include <algorithm>
#include <map>

#include "tests/cuda_sim/block.h"
#include "tests/cuda_sim/device.h"
#include "tests/cuda_sim/order.h"
#include "tests/cuda_sim/shared_memory.h"

namespace cuda_sim {
namespace {

std::map<const void*, size_t>& shared_limits() {
  static auto& limits = *new std::map<const void*, size_t>;  // kernels that asked for more than 48 KiB
  return limits;
}

}  // namespace

cudaError_t set_shared_limit(const void* kernel, int bytes) {
  return api("cudaFuncSetAttribute", [&] {
    if (bytes < 0 || static_cast<size_t>(bytes) > kSharedBytesOptin) return cudaErrorInvalidValue;
    shared_limits()[kernel] = static_cast<size_t>(bytes);
    return cudaSuccess;
  });
}

int blocks_per_multiprocessor(int block_threads, size_t shared_bytes) {
  if (block_threads < 1 || block_threads > kMaxThreads || shared_bytes > kSharedBytesOptin) return 0;
  size_t by_shared = shared_bytes ? (kSharedBytesOptin + 1024) / (shared_bytes + 1024) : 32;
  return static_cast<int>(
      std::min({size_t{32}, size_t{2048} / static_cast<size_t>(block_threads), by_shared}));
}

cudaError_t check_launch(const Launch& launch) {
  const dim3 &g = launch.grid, &b = launch.block;
  if (!g.x || !g.y || !g.z || !b.x || !b.y || !b.z) return cudaErrorInvalidConfiguration;
  if (g.x > 2147483647u || g.y > 65535 || g.z > 65535) return cudaErrorInvalidConfiguration;
  if (b.x > 1024 || b.y > 1024 || b.z > 64) return cudaErrorInvalidConfiguration;
  if (uint64_t{b.x} * b.y * b.z > kMaxThreads) return cudaErrorInvalidConfiguration;
  auto limit = shared_limits().find(launch.kernel);
  size_t most = limit == shared_limits().end() ? kSharedBytes : std::max(kSharedBytes, limit->second);
  if (launch.shared_bytes > most) return cudaErrorInvalidValue;
  return cudaSuccess;
}

void run_launch(const Launch& launch, uint64_t seed) {
  const dim3& grid = launch.grid;
  uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  Order order(seed);
  Permutation permutation(blocks, order);
  begin_blocks(launch);
  for (uint64_t i = 0; i < blocks; ++i) {
    uint64_t at = permutation(i);
    auto x = static_cast<unsigned>(at % grid.x), y = static_cast<unsigned>(at / grid.x % grid.y);
    auto z = static_cast<unsigned>(at / grid.x / grid.y);
    run_block(launch, {x, y, z}, order);
  }
  end_blocks();
}

}  // namespace cuda_sim
