// Where the time goes: seconds and calls by op, measured around every kernel while a profile is on.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tensor/backend/kernels.h"

namespace plumage {

struct OpTime {
  std::string_view op;
  double seconds = 0;
  int64_t calls = 0;
};

/// Starts counting from zero; costs two clock reads an op.
void profile_start();
/// Stops; the ops that ran, slowest first.
std::vector<OpTime> profile_stop();

/// Multiply-adds count as two. Convolutions and matrix products report theirs while a profile is on.
void profile_count(double flops);
double profile_flops();  ///< since profile_start

/// Around every dispatch: notes the op in its context, and while a profile or PLUMAGE_TRACE is on times the kernel; a
/// device's is waited for, so that the time is its own (not while a step is captured: that one is not timed).
class OpTimer {
 public:
  OpTimer(Context& context, Op op, const Shape& shape, DType dtype);
  ~OpTimer() noexcept(false);  // what a device reports while it is waited for
  OpTimer(const OpTimer&) = delete;
  OpTimer& operator=(const OpTimer&) = delete;

 private:
  Context& context_;
  Op op_;
  bool on_;
  int unwinding_;
  double start_ = 0;
  Shape shape_;
  DType dtype_;
};

}  // namespace plumage
