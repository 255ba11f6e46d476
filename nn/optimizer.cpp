// One step of SGD or Adam over a list of parameters: one op call. Next: ssl/ after_step.
#include "nn/optimizer.h"

#include "tensor/ops.h"

namespace plumage {

Optimizer::Optimizer(const OptimizerOptions& options) : options_(options) {
  const OptimizerOptions& o = options;
  if (o.kind != "sgd" && o.kind != "adam" && o.kind != "adamw")
    throw InputError("optimiser '" + o.kind + "' is unknown: wanted sgd, adam or adamw");
  auto check = [](const char* name, double value, bool ok, const char* wanted) {
    if (!ok) throw InputError(message("optimiser: ", name, " is ", value, ": wanted ", wanted));
  };
  check("lr", o.lr, o.lr >= 0 && std::isfinite(o.lr), "0 or more");
  check("weight_decay", o.weight_decay, o.weight_decay >= 0 && std::isfinite(o.weight_decay), "0 or more");
  check("momentum", o.momentum, o.momentum >= 0 && o.momentum < 1, "0 to below 1");
  check("beta1", o.beta1, o.beta1 >= 0 && o.beta1 < 1, "0 to below 1");
  check("beta2", o.beta2, o.beta2 >= 0 && o.beta2 < 1, "0 to below 1");
  check("epsilon", o.epsilon, o.epsilon >= 0 && std::isfinite(o.epsilon), "0 or more");
  if (o.kind == "sgd" && o.nesterov && o.momentum == 0)
    throw InputError("optimiser: nesterov needs a momentum above 0");
  step_count_ = Tensor::zeros({1}, DType::i64);
  schedule_ = Tensor::full({1}, 1, DType::f64);
}

void Optimizer::add(const std::string& prefix, Module& module, double lr_scale, bool constant_lr) {
  module.visit(prefix, [&](const std::string& name, Var& value, Role role) {
    if (role != Role::buffer && value.needs_grad()) add_parameter(name, value, role, lr_scale, constant_lr);
  });
}

void Optimizer::add_norms(const std::string& prefix, Module& module) {
  module.visit(prefix, [&](const std::string& name, Var& value, Role role) {
    if (role == Role::norm && value.needs_grad()) add_parameter(name, value, role, 1, false);
  });
}

void Optimizer::add_parameter(const std::string& name, const Var& value, Role role, double lr_scale,
                              bool constant_lr) {
  bool sgd = options_.kind == "sgd";
  if (Device device = value.value().device(); parameters_.empty()) {
    step_count_ = step_count_.to(device);
    schedule_ = schedule_.to(device);
  }
  for (const auto& [known, unused] : parameters_)
    if (known == name) throw InputError("optimiser: parameter " + name + " was added twice");
  // A momentum that starts at zero becomes the first gradient at the first step, as PyTorch's (dampening 0).
  auto zeros = [&] { return Tensor::zeros(value.shape(), value.dtype(), value.value().device()); };
  Slot slot;
  if (!sgd || options_.momentum > 0) slot.first = zeros();
  if (!sgd) slot.second = zeros();
  slot.weight_decay = role == Role::weight || options_.decay_norm ? options_.weight_decay : 0;
  slot.lr_scale = lr_scale;
  slot.constant_lr = constant_lr;
  parameters_.emplace_back(name, value);
  slots_.push_back(slot);
}

void Optimizer::step(double schedule) {
  set_schedule(schedule);
  update();
}

void Optimizer::set_schedule(double schedule) { ops::fill(schedule_, schedule); }

void Optimizer::update() {
  std::vector<ops::SgdParameter> sgd;
  std::vector<ops::AdamParameter> adam;
  for (size_t i = 0; i < slots_.size(); ++i) {
    Var& parameter = parameters_[i].second;
    Slot& s = slots_[i];
    if (!parameter.grad().defined()) continue;
    if (options_.kind == "sgd")
      sgd.push_back({parameter.value(), parameter.grad(), s.first, s.weight_decay, s.lr_scale, s.constant_lr});
    else
      adam.push_back({parameter.value(), parameter.grad(), s.first, s.second, s.weight_decay, s.lr_scale, s.constant_lr});
  }
  if (sgd.empty() && adam.empty()) return;
  ops::advance(step_count_, 1);
  if (!sgd.empty())
    ops::sgd(sgd, {options_.lr, options_.momentum, options_.nesterov}, schedule_);
  else
    ops::adam(adam, {options_.lr, options_.beta1, options_.beta2, options_.epsilon, 0, options_.kind == "adamw"}, schedule_,
              step_count_);
  clear_gradients();
}

void Optimizer::clear_gradients() {
  for (auto& [name, parameter] : parameters_) parameter.clear_grad();
}

Tensor Optimizer::squared_gradient_norm() const {
  std::vector<Tensor> gradients;
  for (const auto& [name, parameter] : parameters_)
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  return gradients.empty() ? Tensor() : ops::squared_norm(gradients);
}

double Optimizer::gradient_norm() const {
  Tensor squares = squared_gradient_norm();
  return squares.defined() ? std::sqrt(squares.item()) : 0;
}

void Optimizer::visit_state(const std::function<void(const std::string& name, Tensor& value)>& f) {
  bool sgd = options_.kind == "sgd";
  for (size_t i = 0; i < slots_.size(); ++i) {
    const std::string& name = parameters_[i].first;
    if (slots_[i].first.defined()) f((sgd ? "sgd.momentum/" : "adam.first/") + name, slots_[i].first);
    if (slots_[i].second.defined()) f("adam.second/" + name, slots_[i].second);
  }
  f("step", step_count_);
}

}  // namespace plumage
