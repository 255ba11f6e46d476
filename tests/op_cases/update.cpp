// Rows of the optimisers and the moving average: three steps over a list of two parameters.
#include <cmath>
#include <limits>

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

/// One step whose rate and number are read where they lie; the second parameter does not follow the schedule.
Row scheduled_row(bool adam) {
  return {.name = adam ? "adam by schedule and count" : "sgd by schedule",
          .op = adam ? Op::adam : Op::sgd,
          .inputs = two_parameters({13, 5}, {65}),
          .apply =
              [=](const std::vector<Var>& x) {
                Tensor schedule = Tensor::full({1}, 0.25, DType::f64), count = Tensor::full({1}, 3, DType::i64);
                auto zeros = [&](size_t k) { return Tensor::zeros(x[k].shape(), x[k].dtype()); };
                Tensor p = x[0].value().clone(), q = x[2].value().clone();
                if (adam)
                  ops::adam(std::vector<ops::AdamParameter>{{p, x[1].value(), zeros(0), zeros(0), 0, 1, false},
                                                            {q, x[3].value(), zeros(2), zeros(2), 0, 1, true}},
                            {0.1, 0.8, 0.95, 1e-6, 77}, schedule, count);
                else
                  ops::sgd(std::vector<ops::SgdParameter>{{p, x[1].value(), zeros(0), 0, 2, false},
                                                          {q, x[3].value(), zeros(2), 0, 2, true}},
                           {0.1, 0.9}, schedule);
                return std::vector{Var(p), Var(q)};
              },
          .formula =
              [=](const std::vector<Values>& x) {
                std::vector<Values> out;
                for (size_t k : {0u, 2u}) {
                  Values p = x[k];
                  double follows = k ? 1 : 0.25;
                  for (int64_t i = 0; i < p.count(); ++i) {
                    double g = x[k + 1][i], mhat = 0.2 * g / (1 - 0.512), vhat = 0.05 * g * g / (1 - 0.857375);
                    p[i] -= follows * (adam ? 0.1 * mhat / (std::sqrt(vhat) + 1e-6) : 0.2 * g);
                  }
                  out.push_back(p);
                }
                return out;
              },
          .tolerance = Tolerance::sum,
          .gradient = Gradient::none,
          .types = kTypes};
}

Row advance_row(int64_t from, int64_t by, int64_t modulo, int64_t to) {
  return {.name = message("advance ", from, " by ", by, " modulo ", modulo),
          .op = Op::advance,
          .inputs = {{{1}, Domain::normal}},  // says on which device
          .apply =
              [=](const std::vector<Var>& x) {
                Tensor counter = Tensor::full({1}, double(from), DType::i64, x[0].value().device());
                ops::advance(counter, by, modulo);
                return std::vector{Var(counter)};
              },
          .formula = [=](const std::vector<Values>&) { return std::vector{Values({1}, double(to))}; },
          .tolerance = Tolerance::exact,
          .gradient = Gradient::none,
          .types = {DType::f64, DType::f32}};
}

/// `at`: where a number that is none lies; -1: nowhere.
Row check_finite_row(int64_t count, int64_t at, double what, double from, double to) {
  return {.name = message("check_finite of ", count, ", ", what, " at ", at, ", flag ", from),
          .op = Op::check_finite,
          .inputs = {{{count}, Domain::normal}},
          .apply =
              [=](const std::vector<Var>& x) {
                const Tensor& numbers = x[0].value();
                Tensor flag = Tensor::full({1}, from, DType::i64, numbers.device()), y = numbers.clone();
                if (at >= 0) y.slice(at, 1).copy_from(Tensor::full({1}, what, y.dtype(), y.device()));
                ops::check_finite(y, flag);
                return std::vector{Var(flag)};
              },
          .formula = [=](const std::vector<Values>&) { return std::vector{Values({1}, to)}; },
          .tolerance = Tolerance::exact,
          .gradient = Gradient::none};
}

/// A parameter of this shape and some of one number, as targets and sources.
Row ema_row(double momentum, const Shape& shape = {17, 3}, int others = 1) {
  std::vector<Input> inputs = {{shape}, {shape}};
  for (int i = 0; i < others; ++i) inputs.insert(inputs.end(), 2, Input{Shape{1}, Domain::positive});
  return {.name = message("ema ", momentum, " of ", shape, " and ", others),
          .op = Op::ema,
          .inputs = inputs,
          .apply =
              [=](const std::vector<Var>& x) {
                std::vector<ops::EmaParameter> list;
                for (size_t k = 0; k < x.size(); k += 2) list.push_back({x[k].value().clone(), x[k + 1].value()});
                for (int s = 0; s < kSteps; ++s) ops::ema(list, momentum);
                std::vector<Var> targets;
                for (const auto& parameter : list) targets.emplace_back(parameter.target);
                return targets;
              },
          .formula =
              [=](const std::vector<Values>& x) {
                std::vector<Values> out;
                double kept = std::pow(momentum, kSteps);
                for (size_t k = 0; k < x.size(); k += 2) {
                  out.push_back(x[k]);
                  for (int64_t i = 0; i < x[k].count(); ++i)
                    out.back()[i] = kept * x[k][i] + (1 - kept) * x[k + 1][i];
                }
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
                 scheduled_row(false),
                 scheduled_row(true),
                 advance_row(5, 3, 0, 8),
                 advance_row(5, 3, 8, 0),
                 advance_row(7, 4, 8, 3),
                 check_finite_row(7, -1, 0, 1, 1),
                 check_finite_row(7, -1, 0, 0, 0),  // it never comes back
                 check_finite_row(7, 6, std::numeric_limits<double>::infinity(), 1, 0),
                 check_finite_row(300000, 299999, std::numeric_limits<double>::quiet_NaN(), 1, 0),
                 ema_row(0.99),
                 ema_row(0.9, {4099}),      // more than a block's
                 ema_row(0.9, {5}, 259),    // more than a table's
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
      {"sgd by a schedule of f32",
       {"sgd", "schedule", "f64", "f32"},
       [=] {
         ops::sgd(std::vector<ops::SgdParameter>{{p, p.clone(), p.clone()}}, {0.1}, Tensor::zeros({1}));
       }},
      {"advance of two",
       {"advance", "counter", "[2]"},
       [] {
         Tensor two = Tensor::zeros({2}, DType::i64);
         ops::advance(two, 1);
       }},
      {"advance backwards",
       {"advance", "-1", "negative"},
       [] {
         Tensor one = Tensor::zeros({1}, DType::i64);
         ops::advance(one, -1);
       }},
      {"check_finite into f32",
       {"check_finite", "flag", "i64", "f32"},
       [=] {
         Tensor flag = Tensor::zeros({1});
         ops::check_finite(p, flag);
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
