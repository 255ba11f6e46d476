// Rows of the pointwise ops.
#include <cmath>

#include "tests/op_cases/op_case.h"

namespace plumage::op_cases {
namespace {

struct UnaryCase {
  UnaryFn fn;
  const char* name;
  Domain domain;
  double (*f)(double);
};

double relu_of(double x) { return std::isnan(x) ? x : std::fmax(x, 0.0); }
double sigmoid_of(double x) { return std::isnan(x) ? x : 0.5 + 0.5 * std::tanh(0.5 * x); }

constexpr long double kLog2E = 1.442695040888963407359924681L;

const UnaryCase kUnary[] = {
    {UnaryFn::relu, "relu", Domain::away_from_zero, relu_of},
    {UnaryFn::neg, "neg", Domain::normal, [](double x) { return 0 - x; }},
    {UnaryFn::exp, "exp", Domain::normal,
     [](double x) { return double(std::exp2(static_cast<long double>(x) * kLog2E)); }},
    {UnaryFn::log, "log", Domain::positive, [](double x) { return std::log2(x) * 0.6931471805599453; }},
    {UnaryFn::sqrt, "sqrt", Domain::positive,
     [](double x) { return x < 0 ? std::nan("") : std::pow(x, 0.5); }},
    {UnaryFn::square, "square", Domain::normal, [](double x) { return std::pow(x, 2); }},
    {UnaryFn::abs, "abs", Domain::away_from_zero, [](double x) { return x < 0 ? 0 - x : x; }},
    {UnaryFn::sigmoid, "sigmoid", Domain::normal, sigmoid_of},
    {UnaryFn::tanh, "tanh", Domain::normal,
     [](double x) { return 1 - 2 / (std::pow(2.718281828459045235, 2 * x) + 1); }},
};

Row unary_row(const UnaryCase& c, const Shape& shape, Domain domain) {
  bool special = domain == Domain::specials;
  return {.name = message("unary ", c.name, " ", shape, special ? " specials" : ""),
          .op = Op::unary,
          .inputs = {{shape, domain}},
          .apply = [fn = c.fn](const std::vector<Var>& x) { return std::vector{unary(fn, x[0])}; },
          .formula =
              [f = c.f](const std::vector<Values>& x) {
                Values y(x[0].shape);
                for (int64_t i = 0; i < y.count(); ++i) y[i] = f(x[0][i]);
                return std::vector{y};
              },
          .gradient = special ? Gradient::none : Gradient::checked,
          .specials = special,
          .empty = shape.count() == 0};
}

struct BinaryCase {
  const char* name;
  Op op;
  Domain domain;
  Var (*apply)(const Var&, const Var&);
  double (*f)(double, double);
  Gradient gradient;
};

Var less_of(const Var& a, const Var& b) { return Var(ops::binary(BinaryFn::less, a.value(), b.value())); }
Var mask_of(const Var& a, const Var& b) {
  return Var(ops::binary(BinaryFn::relu_mask, a.value(), b.value()));
}
bool either_nan(double a, double b) { return std::isnan(a) || std::isnan(b); }

const BinaryCase kBinary[] = {
    {"add", Op::binary, Domain::normal, add, [](double a, double b) { return a + b; }, Gradient::checked},
    {"sub", Op::binary, Domain::normal, sub, [](double a, double b) { return a + (0 - b); },
     Gradient::checked},
    {"mul", Op::binary, Domain::normal, mul, [](double a, double b) { return b * a; }, Gradient::checked},
    {"div", Op::binary, Domain::positive, div, [](double a, double b) { return a / b; }, Gradient::checked},
    {"maximum", Op::binary, Domain::normal, maximum,
     [](double a, double b) { return either_nan(a, b) ? a + b : std::fmax(a, b); }, Gradient::checked},
    {"minimum", Op::binary, Domain::normal, minimum,
     [](double a, double b) { return either_nan(a, b) ? a + b : std::fmin(a, b); }, Gradient::checked},
    {"less", Op::binary, Domain::normal, less_of, [](double a, double b) { return double(b > a); },
     Gradient::none},
    {"relu_mask", Op::binary, Domain::normal, mask_of, [](double a, double b) { return b > 0 ? a : 0.0; },
     Gradient::none},
};

/// Element i of `shape` seen in a tensor of shape `small` that stretches to it.
int64_t stretched(int64_t i, const Shape& shape, const Shape& small) {
  int64_t at = 0, step = 1;
  for (int d = 1; d <= shape.rank(); ++d) {
    int64_t here = i % shape[-d];
    i /= shape[-d];
    if (d > small.rank()) continue;
    if (small[-d] > 1) at += here * step;
    step *= small[-d];
  }
  return at;
}

Row binary_row(const BinaryCase& c, const Shape& a, const Shape& b, Domain domain) {
  Shape y_shape = broadcast(a, b, "row");
  bool special = domain == Domain::specials;
  return {.name = message("binary ", c.name, " ", a, " ", b,
                          special                  ? " specials"
                          : domain == Domain::ties ? " ties"
                                                   : ""),
          .op = c.op,
          .inputs = {{a, domain}, {b, domain}},
          .apply = [f = c.apply](const std::vector<Var>& x) { return std::vector{f(x[0], x[1])}; },
          .formula =
              [f = c.f, y_shape](const std::vector<Values>& x) {
                Values y(y_shape);
                for (int64_t i = 0; i < y.count(); ++i)
                  y[i] = f(x[0][stretched(i, y_shape, x[0].shape)], x[1][stretched(i, y_shape, x[1].shape)]);
                return std::vector{y};
              },
          .gradient = special                  ? Gradient::none
                      : domain == Domain::ties ? Gradient::compared
                                               : c.gradient,
          .specials = special,
          .empty = y_shape.count() == 0};
}

Row affine_row(const Shape& shape) {
  return {.name = message("affine ", shape),
          .op = Op::affine,
          .inputs = {{shape}},
          .apply = [](const std::vector<Var>& x) { return std::vector{affine(x[0], -2.5, 0.75)}; },
          .formula =
              [](const std::vector<Values>& x) {
                Values y = x[0];
                for (double& v : y.data) v = 0.75 - v * 2.5;
                return std::vector{y};
              },
          .empty = shape.count() == 0};
}

Row accumulate_row(const Shape& shape) {
  return {.name = message("accumulate ", shape),
          .op = Op::accumulate,
          .inputs = {{shape}, {shape}},
          .apply =
              [](const std::vector<Var>& x) {
                Tensor y = x[1].value().clone();
                ops::accumulate(x[0].value(), y);
                ops::accumulate(x[0].value(), y);
                return std::vector{Var(y)};
              },
          .formula =
              [](const std::vector<Values>& x) {
                Values y = x[1];
                for (int64_t i = 0; i < y.count(); ++i) y[i] += 2 * x[0][i];
                return std::vector{y};
              },
          .gradient = Gradient::none,
          .empty = shape.count() == 0};
}

}  // namespace

Family pointwise_family() {
  Family family{"pointwise", {}, {}};
  for (const UnaryCase& c : kUnary) {
    for (const Shape& shape :
         {Shape{}, Shape{1}, Shape{7, 11}, Shape{2, 3, 5, 13}, Shape{31, 33}, Shape{0, 5}})
      family.rows.push_back(unary_row(c, shape, c.domain));
    family.rows.push_back(unary_row(c, {5, 65}, Domain::specials));
  }
  for (const BinaryCase& c : kBinary) {
    const std::pair<Shape, Shape> shapes[] = {
        {{1}, {1}},   {{17, 15}, {17, 15}},         {{65, 33}, {33}},        {{1, 13}, {11, 1}},
        {{}, {7, 5}}, {{2, 3, 5, 7}, {2, 1, 1, 7}}, {{3, 5, 16}, {3, 5, 1}}, {{0, 5}, {5}}};
    for (const auto& [a, b] : shapes) family.rows.push_back(binary_row(c, a, b, c.domain));
    if (c.apply != div) family.rows.push_back(binary_row(c, {13, 31}, {13, 31}, Domain::ties));
    family.rows.push_back(binary_row(c, {13, 31}, {13, 31}, Domain::specials));
  }
  for (const Shape& shape : {Shape{}, Shape{63}, Shape{5, 1000}, Shape{0}}) {
    family.rows.push_back(affine_row(shape));
    family.rows.push_back(accumulate_row(shape));
  }
  Tensor a = Tensor::zeros({2, 3}), b = Tensor::zeros({2, 4}), i = Tensor::zeros({2, 3}, DType::i64);
  Tensor d = Tensor::zeros({2, 3}, DType::f64);
  family.errors = {
      {"unary of integers", {"unary", "x", "i64"}, [=] { ops::unary(UnaryFn::exp, i); }},
      {"unary of nothing", {"unary", "x", "undefined"}, [] { ops::unary(UnaryFn::exp, {}); }},
      {"unary_bwd shapes",
       {"unary_bwd", "dy", "[2, 3]", "[2, 4]"},
       [=] { ops::unary_bwd(UnaryFn::exp, a, b); }},
      {"binary shapes", {"binary", "[2, 3]", "[2, 4]"}, [=] { ops::add(a, b); }},
      {"binary types", {"binary", "b", "f32", "f64"}, [=] { ops::add(a, d); }},
      {"affine of integers", {"affine", "x", "i64"}, [=] { ops::affine(i, 1, 0); }},
      {"accumulate shapes",
       {"accumulate", "[2, 3]", "[2, 4]"},
       [=] {
         Tensor y = b;
         ops::accumulate(a, y);
       }},
  };
  return family;
}

}  // namespace plumage::op_cases
