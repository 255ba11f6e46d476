// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a random number is a
// pure function of (seed, purpose, step, index). No generator has a position, so every device, thread count and
// resumed run draws the same numbers.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>

#include "tensor/host_device.h"

namespace plumage {

/// What a number is drawn for. Numbers of different purposes are independent.
enum class Purpose : uint32_t {
  test = 0, init = 1, shuffle = 2, augment = 3, noise_gradcam = 4, noise_variance = 5, queue = 6,
  synthetic = 7, split = 8, gradcheck = 9, probe = 10,
};

struct PhiloxKey {
  uint64_t seed = 0;
  Purpose purpose = Purpose::test;
  uint64_t step = 0;  ///< step, epoch or any number that tells draws of one purpose apart (48 bits are used)
};

/// Four random words for (key, index).
PLUMAGE_HOST_DEVICE inline std::array<uint32_t, 4> philox(const PhiloxKey& key, uint64_t index) {
  uint32_t c0 = uint32_t(index), c1 = uint32_t(index >> 32), c2 = uint32_t(key.step),
           c3 = (uint32_t(key.step >> 32) & 0xffffu) | (uint32_t(key.purpose) << 16);
  uint32_t k0 = uint32_t(key.seed), k1 = uint32_t(key.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = uint64_t(0xD2511F53u) * c0, p1 = uint64_t(0xCD9E8D57u) * c2;
    uint32_t n0 = uint32_t(p1 >> 32) ^ c1 ^ k0, n2 = uint32_t(p0 >> 32) ^ c3 ^ k1;
    c1 = uint32_t(p1);
    c3 = uint32_t(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

/// In [0, 1), 24 bits.
PLUMAGE_HOST_DEVICE inline double uniform01(uint32_t word) { return double(word >> 8) * 0x1p-24; }

/// Element `index` of a sequence of uniform numbers in [0, 1).
PLUMAGE_HOST_DEVICE inline double philox_uniform(const PhiloxKey& key, uint64_t index) {
  return uniform01(philox(key, index / 4)[index % 4]);
}

/// `low + (high - low) * uniform01(word)`, rounded once, so that it has the same bits on every machine.
PLUMAGE_HOST_DEVICE inline double uniform_between(uint32_t word, double low, double high) {
  return std::fma(high - low, uniform01(word), low);
}

/// Two standard normal numbers (Box-Muller in double).
PLUMAGE_HOST_DEVICE inline std::array<double, 2> normal_pair(uint32_t first, uint32_t second) {
  double u = (double(first >> 8) + 1) * 0x1p-24;  // (0, 1]
  double radius = std::sqrt(-2 * std::log(u)), angle = 6.283185307179586 * uniform01(second);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

/// Element `index` of a sequence of standard normal numbers.
PLUMAGE_HOST_DEVICE inline double philox_normal(const PhiloxKey& key, uint64_t index) {
  auto words = philox(key, index / 4);
  uint32_t pair = uint32_t(index % 4) & 2u;
  return normal_pair(words[pair], words[pair + 1])[index % 2];
}

/// Draws in sequence from one key, for host code that needs a handful of numbers (augmentation, shuffles).
class PhiloxStream {
 public:
  explicit PhiloxStream(PhiloxKey key, uint64_t first = 0) : key_(key), next_(first) {}
  double uniform() { return philox_uniform(key_, next_++); }                        ///< [0, 1)
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  int64_t integer(int64_t n) { return int64_t(uniform() * double(n)); }             ///< 0 .. n-1, n < 2^24
  bool chance(double p) { return uniform() < p; }
  double normal() { return philox_normal(key_, 2 * (normals_++) + (uint64_t(1) << 40)); }

 private:
  PhiloxKey key_;
  uint64_t next_;
  uint64_t normals_ = 0;
};

}  // namespace plumage
