// Checks every property of a row of the op tests. Next: op_runner.cpp.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/op_cases/op_case.h"

namespace plumage::op_cases {

struct Report {
  int64_t passed = 0;
  std::vector<std::string> failures;       ///< "row: property: output, element, got, wanted"
  std::map<std::string, int64_t> skipped;  ///< reason -> how often
  std::set<Op> called;
  void add(const Report& other);
  /// "31 passed, 0 failed, 4 skipped (not differentiable: 4)"
  std::string str() const;
};

/// For every type of the row: ref = formula; fast and, where there is one, a CUDA device = ref (values, and
/// gradients under one random cotangent); the same bits twice, inputs unchanged and nothing written around
/// the outputs; in f64 gradcheck of ref and of the device.
Report check_row(const Row& row);

/// The call throws a plumage::Error of one line that holds all the words.
Report check_error(const ErrorRow& row);

/// Ops that a row calls, forward and backward.
std::set<Op> ops_of(const Row& row);

}  // namespace plumage::op_cases
