// Stands between ops.cpp and the kernels: every output lies in a buffer with sentinel words before and behind
// it, at an address aligned to no more than its element; every input is compared with what it was before the
// call.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "tensor/context.h"

namespace plumage::op_cases {

/// While one lives, all ops on the CPU go through guards.
class GuardedKernels {
 public:
  GuardedKernels();
  ~GuardedKernels();
  GuardedKernels(const GuardedKernels&) = delete;
  GuardedKernels& operator=(const GuardedKernels&) = delete;

  const std::set<Op>& called() const { return called_; }
  /// One line for each call that wrote where it must not.
  const std::vector<std::string>& violations() const { return violations_; }

  void note_call(Op op) { called_.insert(op); }
  void note_violation(std::string line) { violations_.push_back(std::move(line)); }

 private:
  std::set<Op> called_;
  std::vector<std::string> violations_;
};

}  // namespace plumage::op_cases
