// Seeded orders: of blocks, threads and streams. Seed 0 is the plain order, for stepping through in a
// debugger.
#pragma once
#include <cstdint>
#include <numeric>

namespace cuda_sim {

class Order {
 public:
  explicit Order(uint64_t seed = 0) : shuffled_(seed != 0), state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  bool shuffled() const { return shuffled_; }

  /// 0 <= result < n; always 0 in the plain order.
  uint64_t below(uint64_t n) {
    if (!shuffled_ || n < 2) return 0;
    return n >> 32 ? next() % n : (next() >> 32) * n >> 32;
  }

 private:
  uint64_t next() {  // splitmix64
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  bool shuffled_;
  uint64_t state_;
};

/// A permutation of 0..n-1 without memory: i -> (step * i + first) mod n, step and n without a common
/// divisor.
class Permutation {
 public:
  Permutation(uint64_t n, Order& order) : n_(n) {
    if (!order.shuffled() || n < 2) return;
    first_ = order.below(n);
    do step_ = 1 + order.below(n - 1);
    while (std::gcd(step_, n) != 1);
  }
  uint64_t operator()(uint64_t i) const {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(step_) * i + first_) % n_);
  }

 private:
  uint64_t n_, step_ = 1, first_ = 0;
};

}  // namespace cuda_sim
