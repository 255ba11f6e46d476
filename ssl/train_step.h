// One step of training, for any method: loss terms backward as they stand, one look at the numbers, one update, then the
// state. Next in the walk: nn/optimizer.h, then the method's after_step; ssl/step_runner.h records it for a GPU.
#pragma once
#include "ssl/method.h"

namespace plumage {

struct Optimizers {
  Optimizer encoder, decoder;
  void set_schedule(double schedule) {
    encoder.set_schedule(schedule);
    decoder.set_schedule(schedule);
  }
};

struct StepResult {
  double loss = 0;            ///< L, the weighed sum (paper, eq. 8)
  double gradient_norm = 0;   ///< L2 over all gradients, before the update
};

/// The numbers of a step, still where they were computed, in one tensor so that they are fetched at once.
struct Measured {
  std::vector<std::pair<std::string, double>> terms;  ///< name and weight
  std::vector<std::string> gauges;
  Tensor numbers;  ///< f64: the terms, the squared norm of all gradients, the gauges
};

// The three parts of a step.

/// method.forward and backward: gradients and `step` change, parameters and state do not. Waits for nothing.
Measured differentiate(Method& method, const Views& views, Step& step, Optimizers& optimizers);
/// Waits for the numbers and puts them into step.terms and step.gauges. Throws MachineError naming the term whose loss,
/// or the parameter whose gradient, is not finite; `gradients`: those that hold the step's gradients, or null if they are gone.
StepResult judge(const Measured& measured, const Views& views, Step& step, const Optimizers* gradients);
/// The optimisers' update and method.after_step. Waits for nothing.
void update(Method& method, Step& step, Optimizers& optimizers);

/// Called between backward and the update, when gradients are complete (dumps).
using BeforeUpdate = std::function<void(const Step& step)>;

/// The three in a row. Throws what judge() throws; parameters and state are then as before the step.
StepResult train_step(Method& method, const Views& views, Step& step, Optimizers& optimizers, double schedule,
                      const BeforeUpdate& before_update = {});

}  // namespace plumage
