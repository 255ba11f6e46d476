// Step after step: as they come, or, on a GPU, recorded once and run again as two graphs, between which the numbers are
// looked at. Next in the walk: nn/optimizer.h.
#pragma once
#include "ssl/train_step.h"
#include "tensor/allocator.h"
#include "tensor/context.h"

namespace plumage {

class StepRunner {
 public:
  /// record: on a CUDA device, steps that are alike are recorded and replayed. The numbers are the same either way.
  StepRunner(Method& method, Optimizers& optimizers, bool record);
  ~StepRunner();
  /// Does what train_step does, and throws what it throws. A step with `before_update` is not replayed.
  StepResult run(const Views& views, double schedule, const BeforeUpdate& before_update = {});
  /// The quantities of the last step; on a GPU the next one may write over them.
  const Step& step() const { return step_; }
  int64_t replayed() const { return replayed_; }  ///< steps that ran from a recording

 private:
  StepResult run_recorded(const Views& views, double schedule);
  bool take(const Views& views);
  void record();
  void forget();

  Method& method_;
  Optimizers& optimizers_;
  bool may_record_;
  Views views_;  // in memory that stays; what a recording reads
  Step step_;
  Measured measured_;
  std::shared_ptr<MemoryPool> pool_;
  Context::Scratch scratch_;
  std::shared_ptr<void> differentiation_, update_;
  bool rehearsed_ = false;  // a step ran on the pool and took no new memory: it has all that there will ever be
  int64_t phase_ = -1, alike_ = 0, replayed_ = 0;
};

}  // namespace plumage
