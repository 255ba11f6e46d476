// Four lanes of multiply and mix over 32 bytes at a time, folded at the end: as fast as memory.
#include "data/checksum.h"

#include <bit>
#include <cstring>

namespace plumage {
namespace {

constexpr uint64_t kOdd[4] = {0x9E3779B97F4A7C15u, 0xC2B2AE3D27D4EB4Fu, 0x165667B19E3779F9u, 0xD6E8FEB86659FD93u};

uint64_t stir(uint64_t state, uint64_t word, uint64_t odd) { return std::rotl((state ^ word) * odd, 29); }

uint64_t word_at(const uint8_t* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

}  // namespace

uint64_t checksum(std::span<const uint8_t> bytes, uint64_t seed) {
  constexpr size_t kStep = 32;
  uint64_t lanes[4] = {seed + kOdd[0], seed + kOdd[1], seed + kOdd[2], seed + kOdd[3]};
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= kStep; left -= kStep, at += kStep) {
    for (int i = 0; i < 4; ++i) lanes[i] = stir(lanes[i], word_at(at + 8 * i), kOdd[i]);
  }
  uint8_t last[kStep] = {};
  if (left > 0) std::memcpy(last, at, left);
  uint64_t sum = bytes.size();
  for (int i = 0; i < 4; ++i) sum = stir(sum, stir(lanes[i], word_at(last + 8 * i), kOdd[i]), kOdd[3 - i]);
  sum = (sum ^ sum >> 32) * kOdd[0];
  return sum ^ sum >> 29;
}

}  // namespace plumage
