#include "ssl/step_runner.h"

#include "tensor/accelerator.h"

namespace plumage {

namespace {

std::array<const Tensor*, 4> tensors_of(const Views& v) { return {&v.x, &v.x1, &v.x2, &v.labels}; }

// All memory comes from the pool in this scope, scratch memory too.
struct PoolScope {
  Context& context;
  Context::Scratch& scratch;
  PoolScope(Context& c, std::shared_ptr<MemoryPool> pool, Context::Scratch& own) : context(c), scratch(own) {
    Allocator::of(context.device()).use(std::move(pool));
    context.swap_scratch(scratch);
  }
  ~PoolScope() {
    context.swap_scratch(scratch);
    Allocator::of(context.device()).use(nullptr);
  }
};

}  // namespace

StepRunner::StepRunner(Method& method, Optimizers& optimizers, bool record)
    : method_(method), optimizers_(optimizers),
      may_record_(record && method.encoder().device().kind == Device::Kind::cuda) {}

StepRunner::~StepRunner() { forget(); }

// A recording's memory goes back with its tensors; gradients may be among them.
void StepRunner::forget() {
  differentiation_.reset();
  update_.reset();
  step_ = Step();
  measured_ = Measured();
  scratch_ = {};
  pool_.reset();
  rehearsed_ = false;
  alike_ = 0;
}

StepResult StepRunner::run(const Views& views, double schedule, const BeforeUpdate& before_update) {
  if (may_record_ && !before_update) return run_recorded(views, schedule);
  forget();
  return train_step(method_, views, step_, optimizers_, schedule, before_update);
}

// Copies the views to where a recording reads them. False if they are of another kind than the last ones.
bool StepRunner::take(const Views& views) {
  bool same = views_.clock.defined() && views.seed == views_.seed;
  for (size_t i = 0; i < 4; ++i) {
    const Tensor &now = *tensors_of(views)[i], &held = *tensors_of(views_)[i];
    same = same && now.defined() == held.defined() && (!now.defined() || (now.shape() == held.shape() && now.dtype() == held.dtype()));
  }
  if (!same) {
    Tensor clock = Tensor::zeros({1}, DType::i64, method_.encoder().device());
    views_ = views;
    for (Tensor* t : {&views_.x, &views_.x1, &views_.x2, &views_.labels})
      if (t->defined()) *t = t->clone();
    views_.clock = clock;
  } else {
    for (size_t i = 0; i < 4; ++i)
      if (const Tensor& now = *tensors_of(views)[i]; now.defined()) const_cast<Tensor&>(*tensors_of(views_)[i]).copy_from(now);
  }
  views_.step = views.step;
  ops::fill(views_.clock, double(views.step));
  return same;
}

StepResult StepRunner::run_recorded(const Views& views, double schedule) {
  Context& context = Context::of(method_.encoder().device());
  int64_t phase = method_.phase();
  bool same = take(views) && phase == phase_;
  phase_ = phase;
  if (!same) forget();
  if (++alike_ == 1) return train_step(method_, views_, step_, optimizers_, schedule);  // makes what is made once: plans, constants
  if (!rehearsed_) {
    step_ = Step();
    Allocator& allocator = Allocator::of(context.device());
    if (!pool_) pool_ = std::make_shared<MemoryPool>(allocator);
    PoolScope scope(context, pool_, scratch_);
    int64_t before = allocator.statistics().system_calls;
    StepResult result = train_step(method_, views_, step_, optimizers_, schedule);
    rehearsed_ = allocator.statistics().system_calls == before;
    return result;
  }
  optimizers_.set_schedule(schedule);
  if (!update_) record();
  accelerator::replay(context, differentiation_.get());
  StepResult result;
  try {
    result = judge(measured_, views_, step_, optimizers_);
  } catch (const MachineError&) {  // once more by itself, where gradients have names
    forget();
    judge(differentiate(method_, views_, step_, optimizers_), views_, step_, optimizers_);
    throw;
  }
  accelerator::replay(context, update_.get());
  ++replayed_;
  return result;
}

void StepRunner::record() {
  Context& context = Context::of(method_.encoder().device());
  step_ = Step();  // the rehearsal's memory is the recording's
  measured_ = Measured();
  PoolScope scope(context, pool_, scratch_);
  differentiation_ = accelerator::record(context, [&] { measured_ = differentiate(method_, views_, step_, optimizers_); });
  update_ = accelerator::record(context, [&] { update(method_, step_, optimizers_); });
}

}  // namespace plumage
