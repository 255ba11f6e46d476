// The clock of the benchmarks, the device that they run on, and the two rates of the machine that times are compared with in
// the same run.
#pragma once
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "tensor/accelerator.h"
#include "tensor/compute_type.h"
#include "tensor/context.h"
#include "tensor/ops.h"

namespace plumage::bench {

inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

inline double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.empty() ? 0 : v[v.size() / 2];
}

/// main() of a benchmark: an error is one line and its exit code.
inline int run_bench(int argc, char** argv, int (*run)(int, char**)) {
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    std::fprintf(stderr, "plumage: %s\n", error.what());
    return error.exit_code();
  }
}

inline bool is_cpu(Device device) { return device.kind == Device::Kind::cpu; }

/// "cpu" or "cuda:N". Throws InputError for other words, DeviceError where there is no such device.
inline Device device_of(const std::string& word) {
  if (word == "cpu") return {};
  Device device{Device::Kind::cuda, -1};
  if (word.starts_with("cuda:")) std::from_chars(word.data() + 5, word.data() + word.size(), device.index);
  if (device.index < 0 || device.str() != word) throw InputError("--device " + word + ": wanted cpu or cuda:N");
  accelerator::require(device);
  return device;
}

/// The value of --compute. Throws InputError for other words.
inline ComputeType compute_type_of(const std::string& word) {
  std::optional<ComputeType> type = find_compute_type(word);
  if (!type) throw InputError("--compute " + word + ": wanted auto, f32, tf32 or bf16");
  return *type;
}

/// Seconds of one call, its work on the device done; `calls` of them are waited for together.
template <class F>
double time_calls(F&& f, int64_t calls, Device device) {
  Context& context = Context::of(device);
  context.synchronize();
  double start = now();
  for (int64_t i = 0; i < calls; ++i) f();
  context.synchronize();
  return (now() - start) / double(calls);
}

/// Median seconds of one call, after one that does not count. Of a device as many calls as take 10 ms, at most 20, are
/// waited for together: their launches hide behind their work, as in a step.
template <class F>
double seconds_of(F&& f, int repetitions = 5, Device device = {}) {
  f();
  int64_t calls = is_cpu(device) ? 1 : std::clamp<int64_t>(int64_t(10e-3 / time_calls(f, 1, device)), 1, 20);
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) times.push_back(time_calls(f, calls, device));
  return median(times);
}

inline Tensor random(const Shape& shape, DType dtype = DType::f32, Device device = {}) {
  static uint64_t step = 0;
  return ops::normal(shape, {1, Purpose::test, ++step}, 0, 1, dtype, device);
}

/// GFLOP/s of a product of two square matrices: of 2048 columns on the CPU, 8192 on a device, which smaller ones do not fill.
inline double matmul_gflops(DType dtype = DType::f32, Device device = {}) {
  int64_t n = is_cpu(device) ? 2048 : accelerator::simulated() ? 64 : 8192;
  Tensor a = random({n, n}, dtype, device), b = random({n, n}, dtype, device);
  return 2e-9 * double(n) * double(n) * double(n) / seconds_of([&] { ops::matmul(a, b); }, 5, device);
}

/// GB/s read and written by copying 64 MB, on a device 1 GB: more than its cache.
inline double copy_gbs(Device device = {}) {
  int64_t n = is_cpu(device) ? 16 << 20 : accelerator::simulated() ? 1 << 14 : 256 << 20;
  Tensor x = Tensor::zeros({n}, DType::f32, device), y = Tensor::zeros({n}, DType::f32, device);
  return 2 * double(x.bytes()) * 1e-9 / seconds_of([&] { y.copy_from(x); }, 5, device);
}

}  // namespace plumage::bench
