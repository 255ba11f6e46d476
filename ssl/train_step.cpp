#include "ssl/train_step.h"

#include <cmath>

#include "autograd/tape.h"

namespace plumage {

namespace {

// The first parameter whose gradient is not finite.
std::string broken_parameter(const Optimizers& optimizers) {
  for (const Optimizer* optimizer : {&optimizers.encoder, &optimizers.decoder})
    for (const auto& [name, parameter] : optimizer->named_parameters())
      if (parameter.grad().defined() && !std::isfinite(ops::sum(ops::unary(UnaryFn::square, parameter.grad())).item())) return name;
  return "all parameters together";
}

}  // namespace

Measured differentiate(Method& method, const Views& views, Step& step, Optimizers& optimizers) {
  Measured measured;
  std::vector<Tensor> numbers;  // f64 [1] each
  auto measure = [&](const Tensor& one) { numbers.push_back(ops::cast(one.reshape({1}), DType::f64)); };
  optimizers.encoder.clear_gradients();
  optimizers.decoder.clear_gradients();
  method.forward(views, step, [&](const std::vector<Term>& terms) {
    Var total;
    for (const Term& term : terms) {
      measured.terms.emplace_back(term.name, term.weight);
      measure(term.loss.value());
      if (term.weight == 0) continue;
      Var weighed = scale(term.loss, term.weight);
      total = total.defined() ? add(total, weighed) : weighed;
    }
    if (total.defined()) backward(total);
  });
  Tensor squares;
  for (const Optimizer* optimizer : {&optimizers.encoder, &optimizers.decoder})
    if (Tensor part = optimizer->squared_gradient_norm(); part.defined()) squares = squares.defined() ? ops::add(squares, part) : part;
  measure(squares.defined() ? squares : Tensor::zeros({1}, DType::f64, numbers[0].device()));
  for (const auto& [name, value] : step.gauge_values) {
    measured.gauges.push_back(name);
    measure(value);
  }
  measured.numbers = ops::concat(numbers, 0);
  return measured;
}

StepResult judge(const Measured& measured, const Views& views, Step& step, const Optimizers* gradients) {
  StepResult result;
  std::vector<double> numbers = measured.numbers.to_vector();
  const double* next = numbers.data();
  for (const auto& [name, weight] : measured.terms) {
    double value = *next++;
    if (!std::isfinite(value))
      throw MachineError(message("step ", views.step, ": the loss term ", name, " is ", std::isnan(value) ? std::abs(value) : value,  // not "-nan"
                                 "; try a smaller optim.lr"));
    step.terms[name] = value;
    result.loss += weight * value;
  }
  result.gradient_norm = std::sqrt(*next++);
  if (!std::isfinite(result.gradient_norm))
    throw MachineError(message("step ", views.step, ": the gradient", gradients ? " of " + broken_parameter(*gradients) : "",
                               " is not finite; try a smaller optim.lr"));
  for (const std::string& name : measured.gauges) step.gauges[name] = *next++;
  return result;
}

void update(Method& method, Step& step, Optimizers& optimizers) {
  optimizers.encoder.update();
  optimizers.decoder.update();
  method.after_step(step);
}

StepResult train_step(Method& method, const Views& views, Step& step, Optimizers& optimizers, double schedule,
                      const BeforeUpdate& before_update) {
  optimizers.set_schedule(schedule);
  Measured measured = differentiate(method, views, step, optimizers);
  StepResult result = judge(measured, views, step, &optimizers);
  if (before_update) before_update(step);
  update(method, step, optimizers);
  return result;
}

}  // namespace plumage
