// Where the time goes: seconds and calls by op, measured around every kernel while a profile is on; and the floor, what the
// machine's rates allow.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tensor/backend/kernels.h"

namespace plumage {

/// What runs on a device beside the ops of ops.def: tensor/picture_views.h, and copies on it, to it and from it.
enum class OtherWork : uint8_t { make_views, copy };

struct OpTime {
  std::string_view op;  ///< or "make_views", "copy"
  double seconds = 0;
  int64_t calls = 0;
  double flops = 0, bytes = 0;
  double floor_seconds = 0;  ///< sum over the calls of the longer of flops and bytes at the rates given
};

/// What a machine does in a second at best; as measured, by a large product and a large copy.
struct MachineRates {
  double flops = 0, bytes = 0;
};

/// Starts counting from zero; costs two clock reads an op. A device marks its queue before and after each op instead and is
/// not waited for, so that its times are its own.
void profile_start(MachineRates rates = {});
/// Stops; the ops that ran, slowest first.
std::vector<OpTime> profile_stop();

/// Multiply-adds count as two. Convolutions and matrix products report theirs while a profile is on.
void profile_count(double flops);
double profile_flops();  ///< since profile_start

/// Around every dispatch and all other work of a device: notes the op in its context, and while a profile or PLUMAGE_TRACE is on times the kernel; for a
/// trace a device's is waited for, so that the time is its own (not while a step is captured: that one is not timed).
class OpTimer {
 public:
  OpTimer(Context& context, Op op, const Shape& shape, DType dtype);
  OpTimer(Context& context, OtherWork work, const Shape& shape, DType dtype);
  /// The kernel's arguments: its tensors are read or written once at least.
  template <class... Arguments>
  void moves(const Arguments&... arguments) {
    if (on_) (add_bytes(arguments), ...);
  }
  /// Bytes that no tensor among the arguments stands for.
  void moves_bytes(double bytes) { bytes_ += bytes; }
  ~OpTimer() noexcept(false);  // what a device reports while it is waited for
  OpTimer(const OpTimer&) = delete;
  OpTimer& operator=(const OpTimer&) = delete;

 private:
  OpTimer(Context& context, size_t row, const Shape& shape, DType dtype);
  template <class Argument>
  void add_bytes(const Argument& argument) {
    if constexpr (requires { argument.data, argument.shape, argument.dtype; })
      if (argument.data) bytes_ += double(argument.count() * size_of(argument.dtype));
  }

  Context& context_;
  size_t row_;
  bool on_, marked_;
  int unwinding_;
  double start_ = 0, flops_ = 0, bytes_ = 0;
  std::shared_ptr<void> mark_;
  Shape shape_;
  DType dtype_;
};

}  // namespace plumage
