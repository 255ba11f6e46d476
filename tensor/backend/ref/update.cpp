// Optimisers and the moving average, over whole lists of parameters, in place. PyTorch's definitions.
#include "tensor/backend/ref/elements.h"

namespace plumage::ref {

void sgd(Context&, std::span<const SgdSlot> slots, SgdStep step, In schedule) {
  for (const SgdSlot& slot : slots) {
    Reader p(slot.parameter), gradient(slot.gradient), old(slot.momentum);
    Writer new_p(slot.parameter), new_momentum(slot.momentum);
    for (int64_t i = 0; i < slot.parameter.count(); ++i) {
      double g = gradient[i] + slot.weight_decay * p[i];
      if (step.momentum != 0) {
        double m = step.first ? g : step.momentum * old[i] + g;
        new_momentum.set(i, m);
        g = step.nesterov ? g + step.momentum * m : m;
      }
      new_p.set(i, p[i] - step.lr * rate_scale(slot, schedule) * g);
    }
  }
}

void adam(Context&, std::span<const AdamSlot> slots, AdamStep step, In schedule, In count) {
  if (count.data) step.step = *count.as<int64_t>();
  double correction1 = 1 - std::pow(step.beta1, double(step.step));
  double correction2 = 1 - std::pow(step.beta2, double(step.step));
  for (const AdamSlot& slot : slots) {
    Reader parameter(slot.parameter), gradient(slot.gradient), first(slot.first), second(slot.second);
    Writer new_p(slot.parameter), new_first(slot.first), new_second(slot.second);
    double lr = step.lr * rate_scale(slot, schedule);
    for (int64_t i = 0; i < slot.parameter.count(); ++i) {
      double p = parameter[i], g = gradient[i];
      if (step.decoupled)
        p -= lr * slot.weight_decay * p;
      else
        g += slot.weight_decay * p;
      double m = step.beta1 * first[i] + (1 - step.beta1) * g;
      double v = step.beta2 * second[i] + (1 - step.beta2) * g * g;
      new_first.set(i, m);
      new_second.set(i, v);
      new_p.set(i, p - lr * (m / correction1) / (std::sqrt(v / correction2) + step.epsilon));
    }
  }
}

void ema(Context&, std::span<const EmaSlot> slots, double momentum) {
  for (const EmaSlot& slot : slots) {
    Reader target(slot.target), source(slot.source);
    Writer out(slot.target);
    for (int64_t i = 0; i < slot.target.count(); ++i)
      out.set(i, momentum * target[i] + (1 - momentum) * source[i]);
  }
}

void advance(Context&, Out counter, int64_t by, int64_t modulo) {
  int64_t& n = *counter.as<int64_t>();
  n += by;
  if (modulo > 0) n %= modulo;
}

void check_finite(Context&, In x, Out flag) {
  Reader values(x);
  for (int64_t i = 0; i < x.count(); ++i)
    if (!std::isfinite(values[i])) *flag.as<int64_t>() = 0;
}

void squared_norm(Context&, std::span<const NormSlot> slots, Out y) {
  double sum = 0;
  for (const NormSlot& slot : slots) {
    Reader x(slot.x);
    for (int64_t i = 0; i < slot.x.count(); ++i) sum += x[i] * x[i];
  }
  *y.as<double>() = sum;
}

}  // namespace plumage::ref
