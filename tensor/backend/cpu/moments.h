// What batch norm wants of a convolution: mean and variance of channels and the sums that its gradient begins with, from sums over chunks
// of rows. For batch_norm.cpp and the convolutions that leave such sums.
#pragma once
#include <array>

#include "tensor/backend/cpu/parallel.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu {

/// Of each chunk of rows of each group, three rows of `padded` floats: a value near the chunk's mean, the sum of the
/// differences from it, the sum of their squares; one number a channel. Or of a gradient: nothing, its sum, that of its products.
struct MomentSums {
  static constexpr int64_t kMost = 64;  ///< chunks of a group
  int64_t groups, channels, padded, number;
  std::array<int64_t, kMost> rows{};  ///< of each chunk of a group
  float* memory = nullptr;

  MomentSums(int64_t groups, int64_t channels, int64_t padded, const Chunks& chunks)
      : groups(groups), channels(channels), padded(padded), number(chunks.number) {
    for (int64_t i = 0; i < number; ++i) rows[size_t(i)] = chunks.end(i) - chunks.begin(i);
  }
  int64_t floats() const { return groups * number * 3 * padded; }
  float* of(int64_t group, int64_t chunk) const { return memory + (group * number + chunk) * 3 * padded; }
};

/// mean, variance [groups, channels], biased, from the sums of all chunks.
void combine(Context& context, const MomentSums& sums, Out mean, Out variance);
/// all [2, groups, channels]: a gradient's sums and those of its products, over all chunks.
void add_up(Context& context, const MomentSums& sums, Out all);

/// (x - mean) * scale + beta of one group's channels, `padded` floats each, to whole vectors.
struct Normalize {
  const float *mean, *scale, *beta;
  PLUMAGE_INLINE V operator()(V x, int64_t c) const { return (x - load(mean + c)) * load(scale + c) + load(beta + c); }

  static constexpr int64_t kRows = 3;
  /// `memory` takes kRows rows of `padded` floats for each group.
  static void prepare(const BatchNorm& norm, int64_t padded, float* memory);
  static Normalize of(const float* memory, int64_t padded, int64_t group) {
    const float* rows = memory + group * kRows * padded;
    return {rows, rows + padded, rows + 2 * padded};
  }
};

}  // namespace plumage::cpu
