#include "tensor/profile.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <iostream>
#include <iterator>
#include <utility>

#include "tensor/accelerator.h"
#include "tensor/context.h"
#include "tensor/env.h"

namespace plumage {

namespace {

constexpr std::string_view kOtherWork[] = {"make_views", "copy"};
constexpr size_t kOps = 0
#define OP(name, arguments, keeps) +1
#include "tensor/ops.def"
#undef OP
    ;

bool profiling = false;
MachineRates machine;
double counted_flops = 0, next_flops = 0;
std::array<OpTime, kOps + std::size(kOtherWork)> times;  // rows: the ops, then other work

std::string_view name_of_row(size_t row) { return row < kOps ? op_list()[row].name : kOtherWork[row - kOps]; }

// A row's work on a device, which may not have come to it yet.
struct Span {
  size_t row;
  std::shared_ptr<void> from, to;
};
std::vector<Span> spans;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

void profile_start(MachineRates rates) {
  for (size_t i = 0; i < times.size(); ++i) times[i] = {.op = name_of_row(i)};
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
  for (const Span& span : spans) times[span.row].seconds += accelerator::seconds_between(span.from, span.to);
  spans.clear();
  std::vector<OpTime> ran;
  for (const OpTime& t : times) if (t.calls > 0) ran.push_back(t);
  std::sort(ran.begin(), ran.end(), [](const OpTime& a, const OpTime& b) { return a.seconds > b.seconds; });
  return ran;
}

OpTimer::OpTimer(Context& context, Op op, const Shape& shape, DType dtype) : OpTimer(context, size_t(op), shape, dtype) {
  if (context.device().kind != Device::Kind::cpu) context.remember(op);
}

OpTimer::OpTimer(Context& context, OtherWork work, const Shape& shape, DType dtype)
    : OpTimer(context, kOps + size_t(work), shape, dtype) {}

OpTimer::OpTimer(Context& context, size_t row, const Shape& shape, DType dtype)
    : context_(context), row_(row), on_((profiling || environment().trace) && !context.capturing),
      marked_(on_ && !environment().trace && context.device().kind != Device::Kind::cpu),
      unwinding_(std::uncaught_exceptions()), shape_(shape), dtype_(dtype) {
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
  OpTime& t = times[row_];
  if (profiling) {
    ++t.calls;
    t.flops += flops_;
    t.bytes += bytes_;
    if (machine.flops > 0 && machine.bytes > 0) t.floor_seconds += std::max(flops_ / machine.flops, bytes_ / machine.bytes);
  }
  if (marked_) {
    spans.push_back({row_, mark_, accelerator::mark(context_)});
    return;
  }
  context_.synchronize();
  double seconds = now() - start_;
  if (profiling) t.seconds += seconds;
  if (environment().trace)
    std::cerr << "op " << name_of_row(row_) << ' ' << name_of(dtype_) << ' ' << shape_ << ' ' << seconds * 1e3
              << " ms\n";
}

}  // namespace plumage
