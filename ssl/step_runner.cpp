#include "ssl/step_runner.h"

#include "tensor/context.h"

namespace plumage {

namespace {

// A first step makes what is made once (plans, momenta, constants). A second one of the same kind runs on the memory of
// the recording and so takes all of it that there will ever be.
constexpr int64_t kPrepare = 1, kRehearse = 2;

std::array<const Tensor*, 4> tensors_of(const Views& v) { return {&v.x, &v.x1, &v.x2, &v.labels}; }

// All memory comes from the pool in this scope.
struct PoolScope {
  Allocator& allocator;
  PoolScope(Device device, std::shared_ptr<MemoryPool> pool) : allocator(Allocator::of(device)) { allocator.use(std::move(pool)); }
  ~PoolScope() { allocator.use(nullptr); }
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
  pool_.reset();
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
  ++alike_;
  if (alike_ <= kRehearse) {
    step_ = Step();
    if (alike_ == kPrepare) return train_step(method_, views_, step_, optimizers_, schedule);
    pool_ = std::make_shared<MemoryPool>(Allocator::of(context.device()));
    PoolScope scope(context.device(), pool_);
    return train_step(method_, views_, step_, optimizers_, schedule);
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
  PoolScope scope(context.device(), pool_);
  differentiation_ = accelerator::record(context, [&] { measured_ = differentiate(method_, views_, step_, optimizers_); });
  update_ = accelerator::record(context, [&] { update(method_, step_, optimizers_); });
}

}  // namespace plumage
