// Rows of the optimisers and the moving average: three steps over a list of two parameters.
#include <cmath>

#include "tests/op_cases/op_case.h"

namespace plumage::op_cases {
namespace {

constexpr int kSteps = 3;
const std::vector<DType> kTypes = {DType::f64, DType::f32};

/// Parameter and gradient of two sizes; the gradient of step s is gradient * (1 - s / 2).
std::vector<Input> two_parameters(const Shape& a, const Shape& b) {
  return {{a, Domain::normal}, {a, Domain::normal}, {b, Domain::normal}, {b, Domain::normal}};
}

Row sgd_row(const std::string& name, double momentum, bool nesterov, double weight_decay) {
  return {.name = "sgd " + name,
          .op = Op::sgd,
          .inputs = two_parameters({13, 5}, {65}),
          .apply =
              [=](const std::vector<Var>& x) {
                std::vector<ops::SgdParameter> list;
                for (size_t k : {0u, 2u})
                  list.push_back({x[k].value().clone(),
                                  {},
                                  Tensor::full(x[k].shape(), 99, x[k].dtype()),
                                  k ? 0 : weight_decay,
                                  k ? 0.5 : 1.0});
                for (int s = 0; s < kSteps; ++s) {
                  for (size_t k : {0u, 1u}) list[k].gradient = ops::scale(x[2 * k + 1].value(), 1 - 0.5 * s);
                  ops::sgd(list, {0.1, momentum, nesterov, s == 0});
                }
                return std::vector{Var(list[0].parameter), Var(list[1].parameter)};
              },
          .formula =
              [=](const std::vector<Values>& x) {
                std::vector<Values> out;
                for (size_t k : {0u, 2u}) {
                  Values p = x[k];
                  for (int64_t i = 0; i < p.count(); ++i) {
                    double velocity = 0;  // a first step from rest: velocity = gradient
                    for (int s = 0; s < kSteps; ++s) {
                      double g = x[k + 1][i] * (1 - 0.5 * s) + (k ? 0 : weight_decay) * p[i];
                      velocity = momentum * velocity + g;
                      p[i] -= (k ? 0.05 : 0.1) * (nesterov ? momentum * velocity + g : velocity);
                    }
                  }
                  out.push_back(p);
                }
                return out;
              },
          .gradient = Gradient::none,
          .types = kTypes};
}

Row adam_row(const std::string& name, double weight_decay, bool decoupled) {
  return {.name = "adam " + name,
          .op = Op::adam,
          .inputs = two_parameters({7, 11}, {33}),
          .apply =
              [=](const std::vector<Var>& x) {
                std::vector<ops::AdamParameter> list;
                for (size_t k : {0u, 2u})
                  list.push_back({x[k].value().clone(),
                                  {},
                                  Tensor::zeros(x[k].shape(), x[k].dtype()),
                                  Tensor::zeros(x[k].shape(), x[k].dtype()),
                                  weight_decay,
                                  k ? 0.5 : 1.0});
                for (int s = 0; s < kSteps; ++s) {
                  for (size_t k : {0u, 1u}) list[k].gradient = ops::scale(x[2 * k + 1].value(), 1 - 0.5 * s);
                  ops::adam(list, {0.01, 0.8, 0.95, 1e-6, s + 1, decoupled});
                }
                return std::vector{Var(list[0].parameter), Var(list[1].parameter), Var(list[1].second)};
              },
          .formula =
              [=](const std::vector<Values>& x) {
                std::vector<Values> out;
                for (size_t k : {0u, 2u}) {
                  Values p = x[k], second(p.shape);
                  double lr = k ? 0.005 : 0.01;
                  for (int64_t i = 0; i < p.count(); ++i) {
                    double m = 0;
                    for (int s = 1; s <= kSteps; ++s) {
                      double g = x[k + 1][i] * (1.5 - 0.5 * s);
                      if (decoupled)
                        p[i] *= 1 - lr * weight_decay;
                      else
                        g += weight_decay * p[i];
                      m = 0.8 * m + 0.2 * g;
                      second[i] = 0.95 * second[i] + 0.05 * g * g;
                      double mhat = m / (1 - std::pow(0.8, s)), vhat = second[i] / (1 - std::pow(0.95, s));
                      p[i] -= lr * mhat / (std::sqrt(vhat) + 1e-6);
                    }
                  }
                  out.push_back(p);
                  if (k) out.push_back(second);
                }
                return out;
              },
          .tolerance = Tolerance::sum,
          .gradient = Gradient::none,
          .types = kTypes};
}

Row ema_row(double momentum) {
  return {.name = message("ema ", momentum),
          .op = Op::ema,
          .inputs = two_parameters({17, 3}, {1}),
          .apply =
              [=](const std::vector<Var>& x) {
                std::vector<ops::EmaParameter> list = {{x[0].value().clone(), x[1].value()},
                                                       {x[2].value().clone(), x[3].value()}};
                for (int s = 0; s < kSteps; ++s) ops::ema(list, momentum);
                return std::vector{Var(list[0].target), Var(list[1].target)};
              },
          .formula =
              [=](const std::vector<Values>& x) {
                std::vector<Values> out = {x[0], x[2]};
                double kept = std::pow(momentum, kSteps);
                for (size_t k : {0u, 1u})
                  for (int64_t i = 0; i < out[k].count(); ++i)
                    out[k][i] = kept * out[k][i] + (1 - kept) * x[2 * k + 1][i];
                return out;
              },
          .gradient = Gradient::none,
          .types = kTypes};
}

}  // namespace

Family update_family() {
  Family family{"update", {}, {}};
  family.rows = {sgd_row("plain", 0, false, 0),
                 sgd_row("weight decay", 0, false, 0.3),
                 sgd_row("momentum", 0.9, false, 0.01),
                 sgd_row("nesterov", 0.8, true, 0.01),
                 adam_row("plain", 0, false),
                 adam_row("weight decay", 0.1, false),
                 adam_row("decoupled weight decay", 0.1, true),
                 ema_row(0.99),
                 ema_row(0),
                 ema_row(1)};
  Tensor p = Tensor::zeros({3}), q = Tensor::zeros({4}), h = Tensor::zeros({3}, DType::bf16),
         d = Tensor::zeros({3}, DType::f64);
  auto sgd = [](Tensor parameter, Tensor gradient, Tensor momentum, SgdStep step) {
    std::vector<ops::SgdParameter> list = {{parameter, gradient, momentum}};
    ops::sgd(list, step);
  };
  family.errors = {
      {"sgd shapes",
       {"sgd", "gradient", "[3]", "[4]"},
       [=] {
         sgd(p, q, p, {0.1, 0.9});
       }},
      {"sgd types",
       {"sgd", "gradient", "f32", "f64"},
       [=] {
         sgd(p, d, p, {0.1, 0.9});
       }},
      {"sgd of bf16",
       {"sgd", "bf16"},
       [=] {
         sgd(h, h, h, {0.1, 0.9});
       }},
      {"sgd without momentum's memory",
       {"sgd", "momentum"},
       [=] {
         sgd(p, p.clone(), {}, {0.1, 0.9});
       }},
      {"sgd without a gradient",
       {"sgd", "gradient", "undefined"},
       [=] {
         sgd(p, {}, p, {0.1, 0.9});
       }},
      {"adam shapes",
       {"adam", "second", "[3]", "[4]"},
       [=] {
         ops::adam(std::vector<ops::AdamParameter>{{p, p.clone(), p.clone(), q}}, {0.1});
       }},
      {"ema shapes",
       {"ema", "source", "[3]", "[4]"},
       [=] {
         ops::ema(std::vector<ops::EmaParameter>{{p, q}}, 0.9);
       }},
  };
  return family;
}

}  // namespace plumage::op_cases
