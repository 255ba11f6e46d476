// Rows of constants, random numbers and casts.
#include <cmath>

#include "tests/op_cases/op_case.h"

namespace plumage::op_cases {
namespace {

const PhiloxKey kKey{20261201, Purpose::test, 7};

Row fill_row(const Shape& shape, double value) {
  return {.name = message("fill ", shape, " ", value),
          .op = Op::fill,
          .inputs = {{shape}},
          .apply =
              [value](const std::vector<Var>& x) {
                Tensor y = x[0].value().clone();
                ops::fill(y, value);
                return std::vector{Var(y)};
              },
          .formula = [value](const std::vector<Values>& x) { return std::vector{Values(x[0].shape, value)}; },
          .tolerance = Tolerance::exact,
          .gradient = Gradient::none,
          .empty = shape.count() == 0};
}

Row fill_integer_row(DType type) {
  return {.name = message("fill ", name_of(type), " [5, 13]"),
          .op = Op::fill,
          .inputs = {},
          .apply =
              [type](const std::vector<Var>&) {
                return std::vector{Var(Tensor::full({5, 13}, 201.9, type))};
              },
          .formula =
              [](const std::vector<Values>&) {
                return std::vector{Values({5, 13}, 201)};
              },
          .tolerance = Tolerance::exact,
          .gradient = Gradient::none,
          .types = {DType::f64, DType::f32}};
}

// Words of the generator, four numbers each, written apart from philox.h's own way of picking them.
double uniform_number(int64_t i) {
  return std::floor(philox(kKey, uint64_t(i) >> 2)[size_t(i & 3)] / 256.0) / 16777216.0;
}
double normal_number(int64_t i) {
  auto w = philox(kKey, uint64_t(i) >> 2);
  double a = w[size_t(i & 2)] / 256, b = w[size_t(i & 2) + 1] / 256;
  double radius = std::sqrt(-2 * std::log((std::floor(a) + 1) / 16777216.0));
  double turn = std::floor(b) / 16777216.0 * 2 * std::acos(-1.0);
  return i & 1 ? radius * std::sin(turn) : radius * std::cos(turn);
}

/// The type of the draw is the type of an input that is not read otherwise.
Row random_row(Op op, const Shape& shape) {
  bool is_uniform = op == Op::uniform;
  return {.name = message(is_uniform ? "uniform " : "normal ", shape),
          .op = op,
          .inputs = {{Shape{1}}},
          .apply =
              [=](const std::vector<Var>& x) {
                return std::vector{Var(is_uniform ? ops::uniform(shape, kKey, -1, 3, x[0].dtype())
                                                  : ops::normal(shape, kKey, 0.5, 2, x[0].dtype()))};
              },
          .formula =
              [=](const std::vector<Values>&) {
                Values y(shape);
                for (int64_t i = 0; i < y.count(); ++i)
                  y[i] = is_uniform ? 4 * uniform_number(i) - 1 : 2 * normal_number(i) + 0.5;
                return std::vector{y};
              },
          .tolerance = is_uniform ? Tolerance::exact : Tolerance::pointwise,
          .gradient = Gradient::none,
          .empty = shape.count() == 0};
}

/// The clock is added to the key's step when the kernel runs.
Row clocked_row() {
  return {.name = "normal with a clock",
          .op = Op::normal,
          .inputs = {{Shape{1}}},
          .apply =
              [](const std::vector<Var>& x) {
                PhiloxKey earlier = kKey;
                earlier.step = 2;  // and 5 on the clock
                Tensor clock = Tensor::from(std::vector<int64_t>{5}, {1});
                return std::vector{Var(ops::normal({67}, earlier, 0, 1, x[0].dtype(), {}, clock))};
              },
          .formula =
              [](const std::vector<Values>&) {
                Values y({67});
                for (int64_t i = 0; i < y.count(); ++i) y[i] = normal_number(i);
                return std::vector{y};
              },
          .gradient = Gradient::none};
}

Row cast_row(DType to, const Shape& shape) {
  // Integers only of what lies in their range: u8 of |x| * 40
  bool integer = !is_float(to);
  return {.name = message("cast to ", name_of(to), " ", shape),
          .op = Op::cast,
          .inputs = {{shape, integer ? Domain::positive : Domain::normal}},
          .apply =
              [=](const std::vector<Var>& x) {
                if (!integer)
                  return std::vector{cast(cast(x[0], to == DType::f64 ? DType::f32 : DType::f64), to)};
                Tensor y = ops::cast(x[0].value(), to);
                return std::vector{Var(y), Var(ops::cast(y, DType::f64)),
                                   Var(ops::cast(ops::cast(y, DType::u8), DType::i64))};
              },
          .formula =
              [=](const std::vector<Values>& x) {
                Values y = x[0];
                if (!integer) {
                  if (to == DType::f64)
                    for (double& v : y.data) v = double(float(v));
                  return std::vector{y};
                }
                for (double& v : y.data) v = std::floor(v);
                return std::vector{y, y, y};
              },
          .tolerance = Tolerance::exact,
          .gradient = integer ? Gradient::none : Gradient::compared,
          .types = {DType::f32, DType::bf16},
          .empty = shape.count() == 0};
}

}  // namespace

Family fill_family() {
  Family family{"fill", {}, {}};
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{7, 13}, Shape{65}, Shape{0}})
    family.rows.push_back(fill_row(shape, -0.3751));
  family.rows.push_back(fill_row({5}, std::nan("")));
  family.rows.back().specials = true;
  for (DType type : {DType::i64, DType::i32, DType::u8}) family.rows.push_back(fill_integer_row(type));
  for (Op op : {Op::uniform, Op::normal})
    for (const Shape& shape : {Shape{1}, Shape{5, 13}, Shape{1023}, Shape{0, 3}})
      family.rows.push_back(random_row(op, shape));
  family.rows.push_back(clocked_row());
  for (DType to : {DType::f64, DType::f32, DType::bf16, DType::i64, DType::i32, DType::u8})
    for (const Shape& shape : {Shape{1}, Shape{7, 11}, Shape{257}, Shape{0}})
      family.rows.push_back(cast_row(to, shape));
  family.errors = {
      {"normal with a clock of floats",
       {"normal", "clock", "i64", "f32"},
       [] { ops::normal({3}, kKey, 0, 1, DType::f32, {}, Tensor::zeros({1})); }},
      {"uniform of integers", {"uniform", "i32"}, [] { ops::uniform({3}, kKey, 0, 1, DType::i32); }},
      {"normal of integers", {"normal", "u8"}, [] { ops::normal({3}, kKey, 0, 1, DType::u8); }},
      {"cast of nothing", {"cast", "x"}, [] { ops::cast({}, DType::f32); }},
      {"fill of nothing",
       {"fill", "y"},
       [] {
         Tensor y;
         ops::fill(y, 1);
       }},
  };
  return family;
}

}  // namespace plumage::op_cases
