// A profile: which ops ran, for how long, and what the machine's rates would allow.
#include "tensor/profile.h"

#include <doctest/doctest.h>

#include "tensor/accelerator.h"
#include "tensor/ops.h"
#include "tensor/picture_views.h"

using namespace plumage;

namespace {

void check_profile(Device device) {
  CAPTURE(device.str());
  Tensor a = Tensor::full({4, 8}, 1, DType::f32, device), b = Tensor::full({8, 16}, 1, DType::f32, device);
  profile_start({.flops = 1000, .bytes = 1e6});
  Tensor y = ops::relu(ops::matmul(a, b));
  ops::matmul(a, b);
  std::vector<OpTime> ran = profile_stop();
  ops::relu(y);  // after the end
  REQUIRE(ran.size() == 2);
  CHECK(ran[0].seconds >= ran[1].seconds);
  const OpTime& product = ran[ran[0].op == "matmul" ? 0 : 1];
  const OpTime& relu = ran[ran[0].op == "matmul" ? 1 : 0];
  CHECK(product.op == "matmul");
  CHECK(product.calls == 2);
  CHECK(product.seconds > 0);
  CHECK(product.flops == 2 * 2 * 4 * 8 * 16);
  CHECK(profile_flops() == product.flops);
  CHECK(product.bytes == 2 * 4 * (4 * 8 + 8 * 16 + 4 * 16));
  CHECK(product.floor_seconds == doctest::Approx(product.flops / 1000));  // bound by operations
  CHECK(relu.op == "unary");
  CHECK(relu.calls == 1);
  CHECK(relu.flops == 0);
  CHECK(relu.bytes == 2 * 4 * 4 * 16);
  CHECK(relu.floor_seconds == doctest::Approx(relu.bytes / 1e6));  // by bytes
}

}  // namespace

TEST_CASE("a profile counts calls, seconds, operations and bytes of every op") { check_profile({}); }

TEST_CASE("device: a profile counts on a device too, by marks in its queue") {
  if (accelerator::count() == 0) {
    MESSAGE("skipped: " << accelerator::why_none());
    return;
  }
  check_profile({Device::Kind::cuda, 0});
}

TEST_CASE("device: a profile has the views that are made there, and copies of every kind") {
  if (accelerator::count() == 0) {
    MESSAGE("skipped: " << accelerator::why_none());
    return;
  }
  const Device device{Device::Kind::cuda, 0};
  Tensor pictures = Tensor::full({7 * 5 * 3}, 9, DType::u8, device), out = Tensor::empty({1, 4, 4, 3}, DType::f32, device);
  ViewSlot slot;
  slot.stride = 7 * 3;
  slot.across = {7, 0, 0, 7.0 / 4};
  slot.down = {5, 0, 0, 5.0 / 4};
  profile_start({.flops = 1000, .bytes = 1e6});
  make_views(pictures, std::array{slot}, {}, {}, out);
  Tensor there = out.clone(), here = there.to(Device{}), back = here.to(device);
  std::vector<OpTime> ran = profile_stop();
  REQUIRE(ran.size() == 2);
  const OpTime& views = ran[ran[0].op == "make_views" ? 0 : 1];
  const OpTime& copies = ran[ran[0].op == "make_views" ? 1 : 0];
  CHECK(views.op == "make_views");
  CHECK(views.calls == 1);
  CHECK(views.seconds > 0);
  CHECK(views.bytes == 7 * 5 * 3 + 4 * 4 * 3 * 4);
  CHECK(copies.op == "copy");
  CHECK(copies.calls == 3);
  CHECK(copies.seconds > 0);
  CHECK(copies.bytes == (2 + 1 + 1) * 4 * 4 * 3 * 4);  // only what the device reads and writes
  CHECK(copies.floor_seconds == doctest::Approx(copies.bytes / 1e6));
}
