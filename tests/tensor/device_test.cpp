// A CUDA device, real or simulated, as tensor/ uses it: memory, copies, waiting, errors. Its kernels: tests/op_cases.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "tensor/accelerator.h"
#include "tensor/compute_type.h"
#include "tensor/context.h"
#include "tensor/env.h"
#include "tensor/ops.h"

using namespace plumage;

namespace {

constexpr Device kCpu{}, kDevice{Device::Kind::cuda, 0};

bool no_device() {
  if (accelerator::count() > 0) return false;
  MESSAGE("skipped: " << accelerator::why_none());
  return true;
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

Tensor counting(int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) values[i] = float(i % 100003);
  return Tensor::from(values, {n});
}

}  // namespace

TEST_CASE("device: which devices a list of architectures serves") {
  using accelerator::architecture_fits;
  CHECK(architecture_fits("80-real,90", 8, 0));
  CHECK(architecture_fits("80-real,90", 8, 9));    // machine code of its generation
  CHECK(architecture_fits("80-real,90", 9, 0));
  CHECK(architecture_fits("80-real,90", 12, 0));   // from PTX
  CHECK_FALSE(architecture_fits("80-real,90", 7, 5));
  CHECK_FALSE(architecture_fits("80-real", 9, 0));
  CHECK_FALSE(architecture_fits("89-real", 8, 6));
  CHECK(architecture_fits("80-virtual", 9, 0));
  CHECK_FALSE(architecture_fits("", 9, 0));
}

TEST_CASE("device: one that is not there is a line that says what to do") {
  std::string line = error_of([] { Tensor::empty({2}, DType::f32, {Device::Kind::cuda, 99}); });
  CHECK(line.find("device cuda:99: ") == 0);
  CHECK(line.find('\n') == std::string::npos);
  CHECK(error_of([] { Context::of({Device::Kind::cuda, 99}); }) == line);
  if (accelerator::count() == 0) CHECK(line.find("--device cpu") != std::string::npos);
}

TEST_CASE("device: tensors go there and come back as they were") {
  if (no_device()) return;
  for (int64_t n : {0, 1, 1000, 5 << 20}) {  // the last is more than both halves of the staging memory
    Tensor here = counting(n), there = here.to(kDevice);
    CHECK(there.device() == kDevice);
    here.clone().copy_from(Tensor::zeros({n}));
    CHECK(there.to(kCpu).to_vector() == here.to_vector());
    CHECK(there.clone().to_vector() == here.to_vector());
  }
  Tensor source = counting(100), there = source.to(kDevice);
  ops::fill(source, 7);  // the copy was of what was there before
  CHECK(there.to_vector()[99] == 99);
  there.slice(10, 2).copy_from(Tensor::full({2}, -1));
  CHECK(there.slice(9, 4).to_vector() == std::vector<double>{9, -1, -1, 12});
  CHECK(Tensor::scalar(3, DType::f64, kDevice).item() == 3);
  CHECK(there.to(kDevice).same_memory(there));
}

TEST_CASE("device: the CPU does not read what is there, and ops do not mix devices") {
  if (no_device()) return;
  Tensor there = Tensor::zeros({2, 2}, DType::f32, kDevice), here = Tensor::zeros({2, 2});
  CHECK(error_of([&] { there.span<float>(); }) == "tensor is on cuda:0, read on the CPU");
  CHECK(error_of([&] { ops::add(there, here); }) == "binary: b is on cpu, wanted cuda:0");
  CHECK(error_of([&] { ops::gather_rows(there, Tensor::zeros({1}, DType::i64)); }) == "gather_rows: index is on cpu, wanted cuda:0");
}

TEST_CASE("device: indices are checked by what is known of them") {
  if (no_device()) return;
  Tensor table = counting(12).reshape({4, 3}).to(kDevice);
  auto indices = [](const std::vector<int64_t>& values) { return Tensor::from(values, {int64_t(values.size())}).to(kDevice); };
  Tensor index = indices({3, 0});
  CHECK(index.index_limit() == 4);
  CHECK(ops::gather_rows(table, index).to_vector() == std::vector<double>{9, 10, 11, 0, 1, 2});
  CHECK(error_of([&] { ops::gather_rows(table, indices({0, 4})); }) == "gather_rows: index holds 4, wanted 0 to 3");
  CHECK(error_of([&] { ops::gather_rows(table, indices({0, -1})); }) == "gather_rows: index holds -1, wanted 0 to 3");
  index.slice(0, 1).copy_from(Tensor::from(std::vector<int64_t>{5}, {1}));  // a part: the rest counts as well
  CHECK(index.index_limit() == 6);
  CHECK(ops::max_last(table).second.index_limit() == 3);
  CHECK(Tensor::zeros({5}, DType::i64, kDevice).index_limit() == 1);
}

TEST_CASE("device: memory is kept, counted, and its end is a line with the numbers") {
  if (no_device()) return;
  Allocator& allocator = Allocator::of(kDevice);
  allocator.trim();
  { Tensor warm = Tensor::empty({1000, 1000}, DType::f32, kDevice); }
  int64_t calls = allocator.statistics().system_calls;
  { Tensor again = Tensor::empty({1000, 1000}, DType::f32, kDevice); }
  if (!environment().alloc_plain) CHECK(allocator.statistics().system_calls == calls);
  std::string line = error_of([] { Tensor::empty({int64_t(1) << 46}, DType::u8, kDevice); });
  CHECK(line.find("out of memory on cuda:0: wanted 67108864 MiB, in use ") == 0);
  CHECK(line.find(" MiB, held ") != std::string::npos);
  CHECK(line.find(" MiB, free ") != std::string::npos);
  CHECK(line.find("smaller batch") != std::string::npos);
}

TEST_CASE("device: waiting works, and the context remembers the last ops") {
  if (no_device()) return;
  Context& context = Context::of(kDevice);
  CHECK(&context == &Context::of(kDevice));
  CHECK(context.device() == kDevice);
  Tensor x = ops::relu(Tensor::full({3}, -1, DType::f32, kDevice));
  context.synchronize();
  std::string ops = context.recent_ops();
  CHECK(ops.ends_with("fill, unary"));
}

namespace {

// The device rounds inputs of products to tf32 in this scope.
struct Tf32 {
  explicit Tf32(bool on) { use_compute_type(kDevice, on ? ComputeType::tf32 : ComputeType::f32); }
  ~Tf32() { use_compute_type(kDevice, ComputeType::f32); }
};

}  // namespace

TEST_CASE("device: products and convolutions in f32 keep every bit of their inputs, in tf32 alone they need not") {
  if (no_device()) return;
  const float fine = 1.0f + 0x1p-12f;  // 1 in tf32, whose mantissa has 10 bits
  Tensor a = Tensor::full({32, 32}, fine, DType::f32, kDevice), b = ops::mul(a, Tensor::full({32, 32}, 1, DType::f32, kDevice));
  Tensor x = Tensor::full({2, 8, 8, 8}, fine, DType::f32, kDevice), w = Tensor::full({16, 1, 1, 8}, 1, DType::f32, kDevice);
  Tensor shift = Tensor::zeros({16}, DType::f32, kDevice);
  auto all = [&] {
    Tensor y = ops::conv2d(x, w, 1, 0);
    return std::vector<Tensor>{ops::matmul(a, b), y, ops::conv2d_frozen(x, w, shift, {}, 1, 0, Activation::relu),
                               ops::conv2d_dx(Tensor::full(y.shape(), fine, DType::f32, kDevice), w, x.shape(), 1, 0),
                               ops::conv2d_dw(x, Tensor::full(y.shape(), 1, DType::f32, kDevice), w.shape(), 1, 0)};
  };
  const std::vector<double> exact{32.0 * fine * fine, 8.0 * fine, 8.0 * fine, 16.0 * fine, 128.0 * fine}, rounded{32, 8, 8, 16, 128};
  for (bool tf32 : {false, true, false}) {  // back again: a plan of the one is no plan of the other
    CAPTURE(tf32);
    Tf32 scope(tf32);
    CHECK(used_compute_type(kDevice, DType::f32) == (tf32 ? ComputeType::tf32 : ComputeType::f32));
    std::vector<Tensor> got = all();
    for (size_t i = 0; i < got.size(); ++i) {
      CAPTURE(i);
      double value = got[i].to_vector()[0];
      CHECK(std::abs(value - exact[i]) <= (tf32 ? 1e-3 : 1e-6) * exact[i]);
      if (!tf32) CHECK(value != rounded[i]);
      else if (accelerator::simulated()) CHECK(value == rounded[i]);
    }
  }
}

TEST_CASE("device: the type of compute is settled by the device") {
  CHECK(use_compute_type(kCpu, ComputeType::automatic) == DType::f32);
  CHECK(use_compute_type(kCpu, ComputeType::bf16) == DType::bf16);
  CHECK(used_compute_type(kCpu, DType::bf16) == ComputeType::bf16);
  CHECK(error_of([] { use_compute_type(kCpu, ComputeType::tf32); }).find("train.compute = tf32: the CPU") == 0);
  CHECK_FALSE(find_compute_type("f16"));
  CHECK(find_compute_type("tf32") == ComputeType::tf32);
  if (no_device()) return;
  Tf32 scope(true);
  CHECK(Context::of(kDevice).tf32);
  CHECK(use_compute_type(kDevice, ComputeType::automatic) == DType::bf16);
  CHECK_FALSE(Context::of(kDevice).tf32);
}
