#include "tensor/profile.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <iostream>
#include <utility>

#include "tensor/accelerator.h"
#include "tensor/context.h"
#include "tensor/env.h"

namespace plumage {

namespace {

constexpr size_t kOps = 0
#define OP(name, arguments, keeps) +1
#include "tensor/ops.def"
#undef OP
    ;

bool profiling = false;
MachineRates machine;
double counted_flops = 0, next_flops = 0;
std::array<OpTime, kOps> times;

// An op on a device, which may not have come to it yet.
struct Span {
  Op op;
  std::shared_ptr<void> from, to;
};
std::vector<Span> spans;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

void profile_start(MachineRates rates) {
  for (size_t i = 0; i < kOps; ++i) times[i] = {.op = op_list()[i].name};
  spans.clear();
  machine = rates;
  counted_flops = next_flops = 0;
  profiling = true;
}

void profile_count(double flops) {
  if (!profiling) return;
  counted_flops += flops;
  next_flops += flops;
}

double profile_flops() { return counted_flops; }

std::vector<OpTime> profile_stop() {
  profiling = false;
  for (const Span& span : spans) times[size_t(span.op)].seconds += accelerator::seconds_between(span.from, span.to);
  spans.clear();
  std::vector<OpTime> ran;
  for (const OpTime& t : times) if (t.calls > 0) ran.push_back(t);
  std::sort(ran.begin(), ran.end(), [](const OpTime& a, const OpTime& b) { return a.seconds > b.seconds; });
  return ran;
}

OpTimer::OpTimer(Context& context, Op op, const Shape& shape, DType dtype)
    : context_(context), op_(op), on_((profiling || environment().trace) && !context.capturing),
      marked_(on_ && !environment().trace && context.device().kind != Device::Kind::cpu),
      unwinding_(std::uncaught_exceptions()), shape_(shape), dtype_(dtype) {
  if (context.device().kind != Device::Kind::cpu) context.remember(op);
  if (!on_) return;
  flops_ = std::exchange(next_flops, 0);
  if (marked_) {
    mark_ = accelerator::mark(context_);
    return;
  }
  context_.synchronize();
  start_ = now();
}

OpTimer::~OpTimer() noexcept(false) {
  if (!on_ || std::uncaught_exceptions() > unwinding_) return;
  OpTime& t = times[size_t(op_)];
  if (profiling) {
    ++t.calls;
    t.flops += flops_;
    t.bytes += bytes_;
    if (machine.flops > 0 && machine.bytes > 0) t.floor_seconds += std::max(flops_ / machine.flops, bytes_ / machine.bytes);
  }
  if (marked_) {
    spans.push_back({op_, mark_, accelerator::mark(context_)});
    return;
  }
  context_.synchronize();
  double seconds = now() - start_;
  if (profiling) t.seconds += seconds;
  if (environment().trace)
    std::cerr << "op " << op_list()[size_t(op_)].name << ' ' << name_of(dtype_) << ' ' << shape_ << ' ' << seconds * 1e3
              << " ms\n";
}

}  // namespace plumage
