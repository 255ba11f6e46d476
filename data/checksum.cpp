// Lanes of multiply and mix side by side, folded at the end. Sixteen, as compilers make one vector of several and its
// 64-bit product takes fifteen cycles: four lanes wait for it three times as long as they work.
#include "data/checksum.h"

#include <bit>
#include <cstring>

namespace plumage {
namespace {

constexpr int kLanes = 16;
constexpr uint64_t kOdd = 0x9E3779B97F4A7C15u, kOdder = 0xC2B2AE3D27D4EB4Fu;

uint64_t stir(uint64_t state, uint64_t word) { return std::rotl((state ^ word) * kOdd, 29); }

}  // namespace

uint64_t checksum(std::span<const uint8_t> bytes, uint64_t seed) {
  uint64_t lanes[kLanes], words[kLanes];
  for (int i = 0; i < kLanes; ++i) lanes[i] = seed + kOdder * uint64_t(i + 1);
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= sizeof words; left -= sizeof words, at += sizeof words) {
    std::memcpy(words, at, sizeof words);
    for (int i = 0; i < kLanes; ++i) lanes[i] = stir(lanes[i], words[i]);
  }
  std::memset(words, 0, sizeof words);
  if (left > 0) std::memcpy(words, at, left);
  uint64_t sum = bytes.size();
  for (int i = 0; i < kLanes; ++i) sum = stir(sum, stir(lanes[i], words[i]));
  sum = (sum ^ sum >> 32) * kOdder;
  return sum ^ sum >> 29;
}

}  // namespace plumage
