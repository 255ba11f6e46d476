// Stands between ops.cpp and the kernels: every output lies in a buffer with sentinel words before and behind
// it; every input is compared with what it was before the call. On a device, all that a kernel is given lies
// in such buffers there, so that rows whose tensors are on the CPU run on any device.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "tensor/context.h"

namespace plumage::op_cases {

/// Whose kernels compute, and how their memory lies.
enum class Target : uint8_t {
  ref,
  fast,              ///< outputs aligned to no more than their element
  device,            ///< all aligned to 64 bytes: kernels take their widest accesses
  device_unaligned,  ///< all aligned to no more than their element
};

/// True if there is a CUDA device, real or simulated.
bool has_device();

/// While one lives, all ops on CPU tensors go through guards to the target's kernels.
class GuardedKernels {
 public:
  explicit GuardedKernels(Target target);
  ~GuardedKernels();
  GuardedKernels(const GuardedKernels&) = delete;
  GuardedKernels& operator=(const GuardedKernels&) = delete;

  const std::set<Op>& called() const { return called_; }
  /// One line for each call that wrote where it must not.
  const std::vector<std::string>& violations() const { return violations_; }

  Device device() const;
  /// Bytes that a buffer of elements of this size is moved off its alignment.
  int64_t shift(int64_t element_bytes) const { return target_ == Target::device ? 0 : element_bytes; }
  void note_call(Op op) { called_.insert(op); }
  void note_violation(std::string line) { violations_.push_back(std::move(line)); }

 private:
  Target target_;
  BackendScope scope_;
  std::set<Op> called_;
  std::vector<std::string> violations_;
};

}  // namespace plumage::op_cases
