// Step after step: as they come, or, on a GPU, recorded once as a graph of the whole step and run again without waiting; the
// device itself looks whether the numbers are finite. Next in the walk: nn/optimizer.h.
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
  /// Does what train_step does and throws what it throws; for a replayed step by the next result(), or by the run() that
  /// finds kLook steps without one. No step after a bad one changes anything. A step with `before_update` is not replayed.
  void run(const Views& views, double schedule, const BeforeUpdate& before_update = {});
  /// The numbers of the last step, which it waits for.
  const StepResult& result();
  /// The newest numbers that are known without waiting.
  const StepResult& seen() const { return result_; }
  /// The quantities of the last step; on a GPU the next one may write over them. `terms` and `gauges` are of the step that
  /// result() was of.
  const Step& step() const { return step_; }
  int64_t replayed() const { return replayed_; }  ///< steps that ran from a recording

  static constexpr int64_t kLook = 16;

 private:
  void run_recorded(const Views& views, double schedule);
  bool alike(const Views& views) const;
  void take(const Views& views);
  void rehearse(double schedule);
  void record();
  void look();
  void forget();

  // Numbers of the last kLook replayed steps, where the device puts them.
  struct Ring {
    Tensor rows;     // f64 [kLook, numbers of a step]
    Tensor next;     // i64 [1]: the row that the next step writes
    Tensor healthy;  // i64 [1]: 0 from the first step on that has a number which is none
  };

  Method& method_;
  Optimizers& optimizers_;
  bool may_record_;
  Views views_;  // in memory that stays; what a recording reads
  Step step_;
  StepResult result_;
  Measured measured_;
  Ring ring_;
  std::shared_ptr<MemoryPool> pool_;
  Context::Scratch scratch_;
  std::shared_ptr<void> recording_;
  bool rehearsed_ = false;  // a step ran on the pool and took no new memory: it has all that there will ever be
  int64_t phase_ = -1, alike_ = 0, replayed_ = 0;
  int64_t unseen_ = 0, in_ring_ = 0;  // replayed steps that nobody looked at; all of this recording
};

}  // namespace plumage
