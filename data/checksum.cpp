// Sixteen lanes of multiply and mix side by side, folded at the end.
#include "data/checksum.h"

#include <bit>
#include <cstring>

namespace plumage {
namespace {

constexpr int kLanes = 8, kVectors = 2;  // a 64-bit product takes up to fifteen cycles; two vectors share the wait
constexpr uint64_t kOdd = 0x9E3779B97F4A7C15u, kOdder = 0xC2B2AE3D27D4EB4Fu;
constexpr size_t kBlock = size_t(kLanes) * kVectors * sizeof(uint64_t);

typedef uint64_t Lanes __attribute__((vector_size(kLanes * sizeof(uint64_t))));

template <class T>
void stir(T& state, const T& word) {
  T mixed = (state ^ word) * kOdd;
  state = mixed << 29 | mixed >> 35;
}

}  // namespace

uint64_t checksum(std::span<const uint8_t> bytes, uint64_t seed) {
  Lanes lanes[kVectors];
  for (int i = 0; i < kLanes * kVectors; ++i) lanes[i / kLanes][i % kLanes] = seed + kOdder * uint64_t(i + 1);
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= kBlock; left -= kBlock, at += kBlock) {
    for (int v = 0; v < kVectors; ++v) {
      Lanes words;
      std::memcpy(&words, at + size_t(v) * sizeof words, sizeof words);
      stir(lanes[v], words);
    }
  }
  uint64_t rest[kLanes * kVectors] = {};
  if (left > 0) std::memcpy(rest, at, left);
  uint64_t sum = bytes.size();
  for (int i = 0; i < kLanes * kVectors; ++i) {
    uint64_t lane = lanes[i / kLanes][i % kLanes];
    stir(lane, rest[i]);
    stir(sum, lane);
  }
  sum = (sum ^ sum >> 32) * kOdder;
  return sum ^ sum >> 29;
}

}  // namespace plumage
