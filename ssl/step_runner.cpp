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
  recording_.reset();
  ring_ = Ring();
  unseen_ = in_ring_ = 0;
  step_ = Step();
  measured_ = Measured();
  scratch_ = {};
  pool_.reset();
  rehearsed_ = false;
  alike_ = 0;
}

void StepRunner::run(const Views& views, double schedule, const BeforeUpdate& before_update) {
  if (may_record_ && !before_update) return run_recorded(views, schedule);
  result();
  forget();
  result_ = train_step(method_, views, step_, optimizers_, schedule, before_update);
}

const StepResult& StepRunner::result() {
  if (unseen_ > 0) look();
  return result_;
}

// Whether the views are of the last ones' kind, so that a recording can read them.
bool StepRunner::alike(const Views& views) const {
  bool same = views_.clock.defined() && views.seed == views_.seed;
  for (size_t i = 0; i < 4; ++i) {
    const Tensor &now = *tensors_of(views)[i], &held = *tensors_of(views_)[i];
    same = same && now.defined() == held.defined() && (!now.defined() || (now.shape() == held.shape() && now.dtype() == held.dtype()));
  }
  return same;
}

// Copies the views to where a recording reads them.
void StepRunner::take(const Views& views) {
  if (!alike(views)) {
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
}

void StepRunner::run_recorded(const Views& views, double schedule) {
  if (unseen_ == kLook) look();
  int64_t phase = method_.phase();
  bool same = alike(views) && phase == phase_;
  if (!same) {
    result();
    forget();
  }
  phase_ = phase;
  take(views);
  if (++alike_ == 1) {  // makes what is made once: plans, constants
    result_ = train_step(method_, views_, step_, optimizers_, schedule);
    return;
  }
  if (!rehearsed_) return rehearse(schedule);
  optimizers_.set_schedule(schedule);
  if (!recording_) record();
  accelerator::replay(Context::of(method_.encoder().device()), recording_.get());
  ++replayed_;
  ++in_ring_;
  ++unseen_;
}

// A step as it will be recorded, in the recording's memory.
void StepRunner::rehearse(double schedule) {
  Context& context = Context::of(method_.encoder().device());
  Allocator& allocator = Allocator::of(context.device());
  step_ = Step();
  measured_ = Measured();
  if (!pool_) pool_ = std::make_shared<MemoryPool>(allocator);
  PoolScope scope(context, pool_, scratch_);
  int64_t before = allocator.statistics().system_calls;
  optimizers_.set_schedule(schedule);
  measured_ = differentiate(method_, views_, step_, optimizers_);
  result_ = judge(measured_, views_, step_, &optimizers_);
  update(method_, step_, optimizers_);
  rehearsed_ = allocator.statistics().system_calls == before;
}

void StepRunner::record() {
  Device device = method_.encoder().device();
  Context& context = Context::of(device);
  int64_t numbers = measured_.numbers.count();
  ring_ = {Tensor::zeros({kLook, numbers}, DType::f64, device), Tensor::zeros({1}, DType::i64, device),
           Tensor::full({1}, 1, DType::i64, device)};
  step_ = Step();  // the rehearsal's memory is the recording's
  measured_ = Measured();
  PoolScope scope(context, pool_, scratch_);
  auto first = [&] {
    measured_ = differentiate(method_, views_, step_, optimizers_);
    ops::check_finite(measured_.numbers, ring_.healthy);
    ops::put_rows(ring_.rows, measured_.numbers.reshape({1, numbers}), ring_.next);
    ops::advance(ring_.next, 1, kLook);
  };
  recording_ = accelerator::record(context, first, static_cast<const int64_t*>(ring_.healthy.raw()), [&] { update(method_, step_, optimizers_); });
}

// Reads the numbers of all steps since the last look, oldest first, until one is bad.
void StepRunner::look() {
  Tensor rows = ring_.rows.to(Device{});
  for (; unseen_ > 0; --unseen_) {
    Measured measured = measured_;
    measured.numbers = rows.slice((in_ring_ - unseen_) % kLook, 1).reshape({-1});
    Views views = views_;
    views.step -= unseen_ - 1;
    try {
      result_ = judge(measured, views, step_, nullptr);
    } catch (const MachineError&) {
      bool last = unseen_ == 1;
      forget();
      // Once more by itself, where gradients have names; the views of earlier steps are gone.
      if (last) judge(differentiate(method_, views_, step_, optimizers_), views_, step_, &optimizers_);
      throw;
    }
  }
}

}  // namespace plumage
