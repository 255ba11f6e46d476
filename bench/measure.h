// The clock of the benchmarks, and the two rates of the machine that times are compared with in the same run.
#pragma once
#include <algorithm>
#include <chrono>
#include <vector>

#include "tensor/ops.h"

namespace plumage::bench {

inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

inline double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.empty() ? 0 : v[v.size() / 2];
}

/// Median seconds of one call, after one that does not count.
template <class F>
double seconds_of(F&& f, int repetitions = 5) {
  f();
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) {
    double start = now();
    f();
    times.push_back(now() - start);
  }
  return median(times);
}

inline Tensor random(const Shape& shape, DType dtype = DType::f32) {
  static uint64_t step = 0;
  return ops::normal(shape, {1, Purpose::test, ++step}, 0, 1, dtype);
}

/// GFLOP/s of a product of two 2048 x 2048 matrices.
inline double matmul_gflops(DType dtype = DType::f32) {
  Tensor a = random({2048, 2048}, dtype), b = random({2048, 2048}, dtype);
  return 2 * 2048. * 2048. * 2048. * 1e-9 / seconds_of([&] { ops::matmul(a, b); });
}

/// GB/s read and written by copying 64 MB.
inline double copy_gbs() {
  Tensor x = Tensor::zeros({16 << 20}), y = Tensor::zeros({16 << 20});
  return 2 * double(x.bytes()) * 1e-9 / seconds_of([&] { y.copy_from(x); });
}

}  // namespace plumage::bench
