// Rows of batch normalisation: batch and running statistics, groups, residual, ReLU.
#include <cmath>

#include "tests/op_cases/op_case.h"

namespace plumage::op_cases {
namespace {

struct Norm {
  Shape x;
  int64_t groups = 1;
  bool residual = false;
  Activation activation = Activation::none;
  Domain domain = Domain::normal;
  const char* note = "";
  double epsilon = 1e-5;
  std::string str() const {
    return message(x, groups > 1 ? message(" in ", groups, " groups") : "", residual ? " + residual" : "",
                   activation == Activation::relu ? ", relu" : "", domain == Domain::offset ? " offset" : "",
                   note);
  }
};

double activated(Activation activation, double v) { return activation == Activation::relu && v < 0 ? 0 : v; }

/// Means and mean squares in long double: variance = E[x^2] - E[x]^2.
Row batch_norm_row(const Norm& n) {
  std::vector<Input> inputs = {{n.x, n.domain},
                               {{n.x[-1]}, Domain::positive, Role::parameter},
                               {{n.x[-1]}, Domain::normal, Role::parameter}};
  if (n.residual) inputs.push_back({n.x});
  return {.name = "batch_norm " + n.str(),
          .op = Op::batch_norm_stats,
          .inputs = inputs,
          .apply =
              [=](const std::vector<Var>& x) {
                auto [y, moments] = batch_norm(x[0], x[1], x[2], n.residual ? x[3] : Var(),
                                               {n.epsilon, n.activation, n.groups});
                return std::vector{y, Var(moments.mean), Var(moments.variance)};
              },
          .formula =
              [=](const std::vector<Values>& in) {
                int64_t C = n.x[-1], rows = in[0].rows(), m = rows / n.groups;
                Values y(n.x), mean({n.groups, C}), variance({n.groups, C});
                for (int64_t g = 0; g < n.groups; ++g)
                  for (int64_t c = 0; c < C; ++c) {
                    long double sum = 0, squares = 0;
                    for (int64_t r = g * m; r < (g + 1) * m; ++r) {
                      sum += in[0][r * C + c];
                      squares += static_cast<long double>(in[0][r * C + c]) * in[0][r * C + c];
                    }
                    mean[g * C + c] = double(sum / m);
                    variance[g * C + c] = double(squares / m - sum / m * sum / m);
                    for (int64_t i = g * m * C + c; i < (g + 1) * m * C; i += C) {
                      double v =
                          (in[0][i] - mean[g * C + c]) * std::pow(variance[g * C + c] + n.epsilon, -0.5);
                      y[i] = activated(n.activation, v * in[1][c] + in[2][c] + (n.residual ? in[3][i] : 0));
                    }
                  }
                return std::vector{y, mean, variance};
              },
          .tolerance = Tolerance::sum};
}

/// Running statistics are constants of the gradient.
Row batch_norm_with_row(const Norm& n) {
  Shape channels{n.x[-1]};
  std::vector<Input> inputs = {{n.x, n.domain},
                               {channels, Domain::positive, Role::parameter},
                               {channels, Domain::normal, Role::parameter},
                               {channels, Domain::normal, Role::statistic},
                               {channels, Domain::positive, Role::statistic}};
  if (n.residual) inputs.push_back({n.x});
  return {.name = "batch_norm, running statistics " + n.str(),
          .op = Op::batch_norm_apply,
          .inputs = inputs,
          .apply =
              [=](const std::vector<Var>& x) {
                return std::vector{batch_norm_with(x[0], x[1], x[2], n.residual ? x[5] : Var(), x[3].value(),
                                                   x[4].value(), {n.epsilon, n.activation, 1})};
              },
          .formula =
              [=](const std::vector<Values>& in) {
                Values y(n.x);
                for (int64_t i = 0; i < y.count(); ++i) {
                  int64_t c = i % n.x[-1];
                  double slope = in[1][c] / std::sqrt(in[4][c] + n.epsilon);
                  y[i] = activated(n.activation, in[0][i] * slope + (in[2][c] - in[3][c] * slope) +
                                                     (n.residual ? in[5][i] : 0));
                }
                return std::vector{y};
              },
          .tolerance = Tolerance::sum,
          .empty = n.x.count() == 0};
}

}  // namespace

Family batch_norm_family() {
  Family family{"batch_norm", {}, {}};
  constexpr Activation relu = Activation::relu, none = Activation::none;
  const Norm norms[] = {{{3, 1}},
                        {{7, 13}},
                        {{2, 3, 5, 7}},
                        {{3, 5, 5, 17}, 1, false, relu},
                        {{3, 5, 5, 16}, 1, true, relu},
                        {{5, 3, 3, 32}, 1, false, relu},
                        {{2, 3, 3, 31}, 1, true, none},
                        {{31, 33}, 1, false, relu},
                        {{65, 15}, 1, true, relu},
                        {{4, 3, 5, 7}, 2, false, none},
                        {{6, 2, 3, 11}, 3, true, relu},
                        {{8, 65}, 4, false, relu},
                        {{1154, 33}, 2, false, none},  // ten pieces a group
                        {{2, 7, 7, 64}, 1, true, relu, Domain::normal, " (layer1, 28 px)"}};
  for (const Norm& n : norms) {
    family.rows.push_back(batch_norm_row(n));
    if (n.groups == 1) family.rows.push_back(batch_norm_with_row(n));
  }
  family.rows.push_back(batch_norm_row({{4, 3, 3, 5}, 1, false, none, Domain::offset}));
  family.rows.push_back(batch_norm_with_row({{0, 3, 3, 5}, 1, true, relu}));
  family.rows.push_back(with_nan(batch_norm_row({{6, 33}, 2, true, relu})));
  family.rows.push_back(with_nan(batch_norm_with_row({{6, 33}, 1, true, relu})));
  family.rows.back().gradient = Gradient::none;  // dx does not depend on x here: 0 * NaN may show or not

  Tensor x = Tensor::zeros({4, 3}), one = Tensor::zeros({3}), row = Tensor::zeros({1, 3}),
         short_row = Tensor::zeros({1, 2});
  auto with = [=](Tensor mean, Tensor variance, Tensor gamma, Tensor beta) {
    return ops::NormArguments{mean, variance, gamma, beta};
  };
  family.errors = {
      {"batch_norm groups", {"batch_norm_stats", "3 groups", "4"}, [=] { ops::batch_norm_stats(x, 3); }},
      {"batch_norm no groups", {"batch_norm_stats", "0 groups"}, [=] { ops::batch_norm_stats(x, 0); }},
      {"batch_norm of nothing",
       {"batch_norm_stats", "[0, 3]"},
       [] {
         ops::batch_norm_stats(Tensor::zeros({0, 3}));
       }},
      {"batch_norm of a vector", {"batch_norm_stats", "[3]"}, [=] { ops::batch_norm_stats(one); }},
      {"batch_norm gamma",
       {"batch_norm_apply", "gamma", "[3]", "[2]"},
       [=] { ops::batch_norm_apply(x, {}, with(row, row, Tensor::zeros({2}), one)); }},
      {"batch_norm beta type",
       {"batch_norm_apply", "beta", "f32"},
       [=] { ops::batch_norm_apply(x, {}, with(row, row, one, Tensor::zeros({3}, DType::f64))); }},
      {"batch_norm variance",
       {"batch_norm_apply", "variance", "[1, 3]", "[1, 2]"},
       [=] { ops::batch_norm_apply(x, {}, with(row, short_row, one, one)); }},
      {"batch_norm residual",
       {"batch_norm_apply", "residual", "[4, 3]", "[3]"},
       [=] { ops::batch_norm_apply(x, one, with(row, row, one, one)); }},
      {"batch_norm_bwd dy",
       {"batch_norm_bwd", "dy", "[4, 3]", "[3]"},
       [=] { ops::batch_norm_bwd(x, x, one, with(row, row, one, one), false); }},
      {"batch_norm_bwd no y",
       {"batch_norm_bwd", "y", "residual"},
       [=] {
         ops::NormArguments relu = with(row, row, one, one);
         relu.activation = Activation::relu;
         ops::batch_norm_bwd(x, {}, x, relu, true);
       }},
  };
  return family;
}

}  // namespace plumage::op_cases
