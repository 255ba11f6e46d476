#include "tensor/tensor.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tensor/context.h"
#include "tensor/ops.h"

using namespace plumage;

TEST_CASE("tensor: made from values, read back in their type") {
  Tensor t = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  CHECK(t.defined());
  CHECK(t.dtype() == DType::f32);
  CHECK(t.count() == 6);
  CHECK(t.bytes() == 24);
  CHECK(t.to_vector() == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK_THROWS_AS(t.data<double>(), DTypeError);
  CHECK_THROWS_AS(t.item(), ShapeError);
  CHECK_THROWS_WITH_AS(Tensor::from(std::vector<float>{1, 2}, {3}), "Tensor::from: 2 values for shape [3]",
                       ShapeError);
  CHECK(Tensor::scalar(2.5).item() == 2.5);
  CHECK(Tensor::scalar(7, DType::i64).item() == 7);
  CHECK(Tensor::zeros({0, 3}).to_vector().empty());
  CHECK_FALSE(Tensor().defined());
  CHECK(Tensor().count() == 0);
}

TEST_CASE("tensor: reshape and slice are views, clone is not") {
  Tensor t = Tensor::from(std::vector<int32_t>{0, 1, 2, 3, 4, 5}, {3, 2});
  Tensor wide = t.reshape({2, -1});
  CHECK(wide.shape() == Shape{2, 3});
  CHECK(wide.same_memory(t));
  Tensor rows = t.slice(1, 2);
  CHECK(rows.shape() == Shape{2, 2});
  CHECK(rows.to_vector() == std::vector<double>{2, 3, 4, 5});
  Tensor copy = t.clone();
  rows.data<int32_t>()[0] = 99;
  CHECK(t.to_vector()[2] == 99);
  CHECK(copy.to_vector()[2] == 2);
  CHECK_FALSE(t.is_unique());
  CHECK(copy.is_unique());
  CHECK(t.slice(3, 0).count() == 0);
  CHECK(t.slice(1, 2).slice(1, 1).to_vector() == std::vector<double>{4, 5});
  CHECK(Tensor::zeros({0, 3}).reshape({0, 7}).shape() == Shape{0, 7});
}

TEST_CASE("tensor: views outside the memory are refused") {
  Tensor t = Tensor::zeros({3, 2});
  constexpr int64_t most = std::numeric_limits<int64_t>::max();
  CHECK_THROWS_AS(t.slice(2, 2), ShapeError);
  CHECK_THROWS_AS(t.slice(-1, 1), ShapeError);
  CHECK_THROWS_AS(t.slice(1, -1), ShapeError);
  CHECK_THROWS_AS(t.slice(most, 1), ShapeError);
  CHECK_THROWS_AS(t.slice(1, most), ShapeError);
  CHECK_THROWS_AS(Tensor::scalar(1).slice(0, 1), ShapeError);
  CHECK_THROWS_AS(t.reshape({4, 2}), ShapeError);
  CHECK_THROWS_AS(t.reshape({4, -1}), ShapeError);
  CHECK_THROWS_AS(t.reshape({-1, -1}), ShapeError);
  CHECK_THROWS_AS(t.reshape({int64_t(1) << 62, 4, -1}), ShapeError);
  CHECK_THROWS_AS(t.copy_from(Tensor::zeros({2, 3})), ShapeError);
  CHECK_THROWS_AS(t.copy_from(Tensor::zeros({3, 2}, DType::f64)), ShapeError);
  CHECK_THROWS_AS(Tensor::empty({2}, DType::f32, Device{Device::Kind::cuda, 99}), DeviceError);
}

TEST_CASE("tensor: a view keeps its memory alive") {
  Tensor view;
  {
    Tensor t = Tensor::full({4, 3}, 5);
    view = t.slice(2, 1);
  }
  Tensor other = Tensor::full({4, 3}, 6);
  CHECK(view.to_vector() == std::vector<double>{5, 5, 5});
}

TEST_CASE("expect_shape names what was wanted and what came") {
  Tensor t = Tensor::zeros({2, 3});
  expect_shape(t, {2, -1}, "logits");
  CHECK_THROWS_WITH_AS(expect_shape(t, {-1, 4}, "logits"), "logits: wanted shape [*, 4], got [2, 3]",
                       ShapeError);
  CHECK_THROWS_AS(expect_shape(Tensor(), {1}, "logits"), ShapeError);
}

TEST_CASE("bf16 rounds to nearest even and keeps NaN, infinity and sign") {
  CHECK(bf16(1.0f).bits == 0x3f80);
  CHECK(bf16(std::bit_cast<float>(0x3f808000u)).bits == 0x3f80);  // halfway: to even, down
  CHECK(bf16(std::bit_cast<float>(0x3f818000u)).bits == 0x3f82);  // halfway: to even, up
  CHECK(bf16(std::bit_cast<float>(0x3f808001u)).bits == 0x3f81);
  CHECK(bf16(-0.0f).bits == 0x8000);
  CHECK(bf16(std::numeric_limits<float>::max()).bits == 0x7f80);  // rounds to infinity
  CHECK(bf16(std::numeric_limits<float>::infinity()).bits == 0x7f80);
  CHECK(std::isnan(float(bf16(std::nanf("")))));
  CHECK(
      std::isnan(float(bf16(std::bit_cast<float>(0x7f800001u)))));  // its payload lies in the lower half only
  CHECK(float(bf16(std::bit_cast<float>(0x00010000u))) == std::bit_cast<float>(0x00010000u));  // subnormal
}

TEST_CASE("a double becomes bf16 in one rounding, not two") {
  // Just above halfway between 1 and the next bf16; a float in between would round it to halfway, and then
  // down.
  double v = 1.00390625 + 1e-12;
  BackendScope scope(Backend::ref);
  CHECK(ops::cast(Tensor::scalar(v, DType::f64), DType::bf16).item() == 1.0078125);
}

TEST_CASE("cast truncates towards zero and stops at the ends of an integer type") {
  Tensor x =
      Tensor::from(std::vector<double>{-1.9, 1.9, 300, -300, 1e30, -1e30, std::nan(""), INFINITY}, {8});
  CHECK(ops::cast(x, DType::u8).to_vector() == std::vector<double>{0, 1, 255, 0, 255, 0, 0, 255});
  std::vector<double> i32 = ops::cast(x, DType::i32).to_vector();
  CHECK(i32 == std::vector<double>{-1, 1, 300, -300, 2147483647.0, -2147483648.0, 0, 2147483647.0});
  Tensor big = Tensor::from(std::vector<int64_t>{(int64_t(1) << 53) + 1, -5}, {2});
  CHECK(ops::cast(big, DType::i64).data<int64_t>()[0] == (int64_t(1) << 53) + 1);
  CHECK(ops::cast(big, DType::u8).to_vector() == std::vector<double>{1, 251});
}
