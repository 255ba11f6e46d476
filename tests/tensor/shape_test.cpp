#include "tensor/shape.h"

#include <doctest/doctest.h>

#include <limits>

#include "tensor/ops.h"

using namespace plumage;

TEST_CASE("shape: sizes, rank, count, text") {
  Shape s{2, 3, 5};
  CHECK(s.rank() == 3);
  CHECK(s.count() == 30);
  CHECK(s[0] == 2);
  CHECK(s[-1] == 5);
  CHECK(s.str() == "[2, 3, 5]");
  CHECK(Shape{}.rank() == 0);
  CHECK(Shape{}.count() == 1);
  CHECK(Shape{}.str() == "[]");
  CHECK(Shape{4, 0, 7}.count() == 0);
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK_FALSE(Shape{2, 3} == Shape{3, 2});
  CHECK_FALSE(Shape{2, 3} == Shape{2, 3, 1});
}

TEST_CASE("shape: refuses what cannot be") {
  constexpr int64_t most = std::numeric_limits<int64_t>::max();
  CHECK_THROWS_WITH_AS((Shape{2, -1}), "a size cannot be negative, got -1", ShapeError);
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1, 1}), ShapeError);
  CHECK_THROWS_AS((Shape{most}), ShapeError);
  CHECK_THROWS_AS((Shape{int64_t(1) << 31, int64_t(1) << 31}), ShapeError);
  CHECK_THROWS_AS((Shape{3}[1]), ShapeError);
  CHECK_THROWS_AS((Shape{3}[-2]), ShapeError);
  Shape s{2, 3};
  CHECK_THROWS_AS(s.set(2, 1), ShapeError);
  CHECK_THROWS_AS(s.set(0, most / 3), ShapeError);
  CHECK_THROWS_AS(s.set(0, -4), ShapeError);
}

TEST_CASE("shape: broadcast aligns right and stretches 1") {
  CHECK(broadcast({2, 3}, {3}, "t") == Shape{2, 3});
  CHECK(broadcast({2, 1, 5}, {7, 1}, "t") == Shape{2, 7, 5});
  CHECK(broadcast({}, {4}, "t") == Shape{4});
  CHECK(broadcast({0, 5}, {1, 5}, "t") == Shape{0, 5});
  CHECK_THROWS_WITH_AS(broadcast({2, 3}, {4}, "add"), "add: shapes [2, 3] and [4] do not broadcast",
                       ShapeError);
  CHECK_THROWS_AS(broadcast({0, 5}, {2, 5}, "add"), ShapeError);
}

TEST_CASE("a size of a billion is refused in one line, or never asked for") {
  Tensor x = Tensor::zeros({1, 4, 4, 1});
  CHECK_THROWS_AS(ops::upsample(x, std::numeric_limits<int>::max()), Error);
  CHECK_THROWS_AS(Tensor::empty({1000000000, 1000000000}), Error);
  CHECK_THROWS_AS(Tensor::empty({int64_t(1) << 57}), MachineError);  // 2^59 bytes: a shape, but no memory
  CHECK_THROWS_AS(
      ops::scatter_add_rows(Tensor::zeros({1, 3}), Tensor::zeros({1}, DType::i64), int64_t(1) << 55), Error);
}
