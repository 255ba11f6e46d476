// One step of training, for any method: loss terms backward as they stand, one update, then the state.
// Next in the walk: nn/optimizer.h, then the method's after_step.
#pragma once
#include "ssl/method.h"

namespace plumage {

struct Optimizers {
  Optimizer encoder, decoder;
};

struct StepResult {
  double loss = 0;            ///< L, the weighed sum (paper, eq. 8)
  double gradient_norm = 0;   ///< L2 over all gradients, before the update
};

/// Called between backward and the update, when gradients are complete (dumps).
using BeforeUpdate = std::function<void(const Step& step)>;

/// Runs method.forward, backward, the optimisers' update and method.after_step. Throws MachineError naming the term
/// whose loss, or the parameter whose gradient, is not finite; parameters and state are then as before the step.
StepResult train_step(Method& method, const Views& views, Step& step, Optimizers& optimizers, double schedule,
                      const BeforeUpdate& before_update = {});

}  // namespace plumage
