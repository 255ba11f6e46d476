// SGD and Adam over named parameters; all of one optimiser are updated by one kernel call. Schedules: nn/schedule.h.
#pragma once
#include <memory>

#include "nn/module.h"

namespace plumage {

struct OptimizerOptions {
  std::string kind = "sgd";   ///< sgd, adam or adamw
  double lr = 0.03, momentum = 0.9, weight_decay = 1e-4;
  bool nesterov = false;
  bool decay_norm = true;     ///< weight decay also on batch norm's and bias parameters (original MoCo)
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

class Optimizer {
 public:
  /// Throws InputError for an unknown kind or a negative rate.
  explicit Optimizer(const OptimizerOptions& options);
  /// Adds a module's learned parameters under "prefix.name". lr_scale multiplies the rate; a constant_lr group does not
  /// follow the schedule (SimSiam's predictor).
  void add(const std::string& prefix, Module& module, double lr_scale = 1, bool constant_lr = false);
  /// Adds only a module's batch-norm weights and biases (the rest is shared with a module already added).
  void add_norms(const std::string& prefix, Module& module);
  /// set_schedule and update.
  void step(double schedule = 1);
  /// Factor on the rate of the updates to come, >= 0.
  void set_schedule(double schedule);
  /// Updates every parameter that has a gradient, then clears the gradients. Rate and step count are read on the device,
  /// so that a recorded update may run again with others.
  void update();
  void clear_gradients();
  Tensor squared_gradient_norm() const;  ///< over all gradients, f64 [1]; undefined if there is none
  double gradient_norm() const;          ///< L2 over all gradients
  /// Momenta and the step count by name, for checkpoints: "sgd.momentum/NAME", "adam.first/NAME", "step".
  void visit_state(const std::function<void(const std::string& name, Tensor& value)>& f);
  const OptimizerOptions& options() const { return options_; }
  const std::vector<std::pair<std::string, Var>>& named_parameters() const { return parameters_; }

 private:
  void add_parameter(const std::string& name, const Var& value, Role role, double lr_scale, bool constant_lr);

  struct Slot { Tensor first, second; double weight_decay, lr_scale; bool constant_lr; };
  OptimizerOptions options_;
  std::vector<std::pair<std::string, Var>> parameters_;
  std::vector<Slot> slots_;
  Tensor step_count_, schedule_;  // i64 and f64, [1], beside the parameters
};

}  // namespace plumage
