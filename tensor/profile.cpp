#include "tensor/profile.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <iostream>

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
double counted_flops = 0;
std::array<OpTime, kOps> times;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

void profile_start() {
  for (size_t i = 0; i < kOps; ++i) times[i] = {op_list()[i].name, 0, 0};
  counted_flops = 0;
  profiling = true;
}

void profile_count(double flops) {
  if (profiling) counted_flops += flops;
}

double profile_flops() { return counted_flops; }

std::vector<OpTime> profile_stop() {
  profiling = false;
  std::vector<OpTime> ran;
  for (const OpTime& t : times) if (t.calls > 0) ran.push_back(t);
  std::sort(ran.begin(), ran.end(), [](const OpTime& a, const OpTime& b) { return a.seconds > b.seconds; });
  return ran;
}

OpTimer::OpTimer(Context& context, Op op, const Shape& shape, DType dtype)
    : context_(context), op_(op), on_((profiling || environment().trace) && !context.capturing),
      unwinding_(std::uncaught_exceptions()), shape_(shape), dtype_(dtype) {
  if (context.device().kind != Device::Kind::cpu) context.remember(op);
  if (!on_) return;
  context_.synchronize();
  start_ = now();
}

OpTimer::~OpTimer() noexcept(false) {
  if (!on_ || std::uncaught_exceptions() > unwinding_) return;
  context_.synchronize();
  double seconds = now() - start_;
  if (profiling) {
    times[size_t(op_)].seconds += seconds;
    ++times[size_t(op_)].calls;
  }
  if (environment().trace)
    std::cerr << "op " << op_list()[size_t(op_)].name << ' ' << name_of(dtype_) << ' ' << shape_ << ' ' << seconds * 1e3
              << " ms\n";
}

}  // namespace plumage
