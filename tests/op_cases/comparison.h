// How close two computations of a row must be, and the count of those that were. Next: op_runner.cpp.
#pragma once
#include <string>

#include "tests/op_cases/op_runner.h"

namespace plumage::op_cases {

bool same_bits(const Tensor& a, const Tensor& b);
Values values_of(const Tensor& t);

/// An error may be relative * |wanted| + of_rms * (root mean square of all that is wanted).
struct Limit {
  double relative, of_rms;
};
Limit limit_of(Tolerance tolerance, DType type);

/// Notes into the report what holds of a row and what does not.
class Checker {
 public:
  Checker(const Row& row, Report& report);
  void expect(bool ok, const std::string& property, const std::string& detail);
  /// got against wanted, both read as doubles. NaN equals nothing but a NaN where the row expects it.
  void compare(const std::string& property, const Tensor& got, const Values& want, Limit limit);

 private:
  const Row& row_;
  Report& report_;
  bool may_be_empty_;
};

}  // namespace plumage::op_cases
