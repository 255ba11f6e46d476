// Mean and variance of channels from sums over chunks of rows. For batch_norm.cpp and the convolutions that leave such sums.
#pragma once
#include "tensor/backend/cpu/parallel.h"

namespace plumage::cpu {

/// Of each chunk of rows of each group, three rows of `padded` floats: a value near the chunk's mean, the sum of the
/// differences from it, the sum of their squares; one number a channel.
struct MomentSums {
  int64_t groups, channels, padded;
  Chunks chunks;  ///< of a group's rows
  float* memory = nullptr;

  int64_t floats() const { return groups * chunks.number * 3 * padded; }
  float* of(int64_t group, int64_t chunk) const { return memory + (group * chunks.number + chunk) * 3 * padded; }
};

/// mean, variance [groups, channels], biased, from the sums of all chunks.
void combine(Context& context, const MomentSums& sums, Out mean, Out variance);

}  // namespace plumage::cpu
