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

StepResult train_step(Method& method, const Views& views, Step& step, Optimizers& optimizers, double schedule,
                      const BeforeUpdate& before_update) {
  StepResult result;
  auto differentiate = [&](const std::vector<Term>& terms) {
    Var total;
    for (const Term& term : terms) {
      double value = term.loss.item();
      if (!std::isfinite(value))
        throw MachineError(message("step ", views.step, ": the loss term ", term.name, " is ", value,
                                   "; try a smaller optim.lr"));
      step.terms[term.name] = value;
      result.loss += term.weight * value;
      if (term.weight == 0) continue;
      Var weighed = scale(term.loss, term.weight);
      total = total.defined() ? add(total, weighed) : weighed;
    }
    if (total.defined()) backward(total);
  };
  optimizers.encoder.clear_gradients();
  optimizers.decoder.clear_gradients();
  method.forward(views, step, differentiate);
  result.gradient_norm = std::hypot(optimizers.encoder.gradient_norm(), optimizers.decoder.gradient_norm());
  if (!std::isfinite(result.gradient_norm))
    throw MachineError(message("step ", views.step, ": the gradient of ", broken_parameter(optimizers),
                               " is not finite; try a smaller optim.lr"));
  if (before_update) before_update(step);
  optimizers.encoder.step(schedule);
  optimizers.decoder.step(schedule);
  method.after_step(step);
  return result;
}

}  // namespace plumage
