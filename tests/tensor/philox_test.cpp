#include "tensor/philox.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/ops.h"
#include "tests/threads_scope.h"

using namespace plumage;
using test::ThreadsScope;

using Words = std::array<uint32_t, 4>;

namespace {
/// The bare generator of a counter and a key: purpose and the upper step share the counter's last word.
Words block(const Words& counter, uint64_t seed) {
  uint64_t index = counter[0] | uint64_t(counter[1]) << 32, step = counter[2] | uint64_t(counter[3] & 0xffffu)
                                                                                    << 32;
  return philox({seed, Purpose(counter[3] >> 16), step}, index);
}
}  // namespace

TEST_CASE("philox4x32-10: the known answers that Random123 publishes") {
  CHECK(block({0, 0, 0, 0}, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr uint32_t ones = 0xffffffff;
  CHECK(block({ones, ones, ones, ones}, ~uint64_t(0)) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822u) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("philox: seed, purpose, step and index each make other numbers") {
  PhiloxKey key{7, Purpose::test, 3};
  Words here = philox(key, 5);
  CHECK(philox(key, 5) == here);
  CHECK(philox(key, 6) != here);
  CHECK(philox({8, Purpose::test, 3}, 5) != here);
  CHECK(philox({7, Purpose::init, 3}, 5) != here);
  CHECK(philox({7, Purpose::test, 4}, 5) != here);
  CHECK(philox({7, Purpose::test, 3 + (uint64_t(1) << 40)}, 5) != here);
  CHECK(philox({7 + (uint64_t(1) << 40), Purpose::test, 3}, 5) != here);
  CHECK(philox(key, 5 + (uint64_t(1) << 40)) != here);
}

TEST_CASE("normal: moments, tails and independence of neighbours") {
  constexpr int64_t n = 200000;
  std::vector<double> z = ops::normal({n}, {20261201, Purpose::test, 1}, 0, 1, DType::f64).to_vector();
  double mean = 0, variance = 0, skew = 0, kurtosis = 0, neighbour = 0, within1 = 0;
  for (double v : z) mean += v / n;
  for (size_t i = 0; i < z.size(); ++i) {
    double d = z[i] - mean;
    variance += d * d / n;
    skew += d * d * d / n;
    kurtosis += d * d * d * d / n;
    if (i) neighbour += d * (z[i - 1] - mean) / n;
    within1 += std::fabs(d) < 1 ? 1.0 / n : 0;
  }
  double four = 4 / std::sqrt(double(n));  // four standard errors of a mean of unit variance
  CHECK(std::fabs(mean) <= four);
  CHECK(std::fabs(variance - 1) <= four * std::sqrt(2.0));
  CHECK(std::fabs(skew) <= four * std::sqrt(15.0));
  CHECK(std::fabs(kurtosis - 3) <= four * std::sqrt(96.0));
  CHECK(std::fabs(neighbour) <= four);
  CHECK(std::fabs(within1 - 0.682689492) <= four * 0.4655);
}

TEST_CASE("uniform: in its range, evenly, and Kolmogorov-Smirnov") {
  constexpr size_t n = 100000;
  std::vector<double> u = ops::uniform({int64_t(n)}, {3, Purpose::test, 2}, -2, 6, DType::f64).to_vector();
  std::sort(u.begin(), u.end());
  CHECK(u.front() >= -2);
  CHECK(u.back() < 6);
  double worst = 0;
  for (size_t i = 0; i < n; ++i)
    worst = std::max(worst, std::fabs((u[i] + 2) / 8 - (double(i) + 0.5) / double(n)));
  CHECK(worst <= 1.95 / std::sqrt(double(n)));  // one in a thousand seeds fails
}

TEST_CASE("random tensors are the same for every thread count, and each a prefix of a longer one") {
  PhiloxKey key{11, Purpose::noise_gradcam, 9};
  for (DType type : {DType::f32, DType::bf16}) {
    ThreadsScope threads(1);
    Tensor one = ops::normal({100003}, key, 0.5, 2, type), u_one = ops::uniform({100003}, key, 0, 1, type);
    Context::cpu().set_threads(3);
    Tensor three = ops::normal({100003}, key, 0.5, 2, type),
           u_three = ops::uniform({100003}, key, 0, 1, type);
    Tensor start = ops::normal({1001}, key, 0.5, 2, type);
    CHECK(std::memcmp(one.raw(), three.raw(), size_t(one.bytes())) == 0);
    CHECK(std::memcmp(u_one.raw(), u_three.raw(), size_t(u_one.bytes())) == 0);
    CHECK(std::memcmp(one.raw(), start.raw(), size_t(start.bytes())) == 0);
  }
}

TEST_CASE("a stream draws one number after the other") {
  PhiloxStream stream({5, Purpose::augment, 1}), again({5, Purpose::augment, 1});
  for (uint64_t i = 0; i < 9; ++i) CHECK(stream.uniform() == philox_uniform({5, Purpose::augment, 1}, i));
  for (int i = 0; i < 9; ++i) again.uniform();
  CHECK(stream.normal() == again.normal());
  std::array<int, 6> seen{};
  for (int i = 0; i < 6000; ++i) ++seen[size_t(stream.integer(6))];
  for (int count : seen) CHECK(std::abs(count - 1000) <= 130);
}
