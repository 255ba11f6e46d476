// A function under gradcheck, with the inputs it is checked at: its values, its gradients, how its outputs
// change.
#pragma once
#include <string>
#include <vector>

#include "autograd/gradcheck.h"

namespace plumage {

using Tensors = std::vector<Tensor>;

class CheckedFunction {
 public:
  /// Copies the inputs. Throws DTypeError unless they are f64.
  CheckedFunction(const Function& f, const Tensors& inputs, uint64_t seed);

  const Tensors& inputs() const { return inputs_; }
  /// What is wrong with the inputs or with the outputs at them (not finite, no elements), or an empty string.
  const std::string& unsound() const { return unsound_; }
  /// The float outputs at the inputs; an index or a count has no gradient.
  const Tensors& base() const { return base_; }
  /// What steps and directions of input i are relative to: 1 + rms.
  double unit(size_t i) const { return units_[i]; }

  std::vector<Var> leaves() const;                         ///< the inputs, copied, wanting gradients
  std::vector<Var> call(const std::vector<Var>& x) const;  ///< f's float outputs
  Tensors values_at(const Tensors& at) const;

  /// d(sum of cotangent * y)/dx in one walk, as a loss would use the graph. An undefined cotangent is zero.
  static Tensors pull_back(const std::vector<Var>& x, const std::vector<Var>& y, const Tensors& cotangents,
                           bool consume = true);
  Tensors gradients(const Tensors& cotangents,
                    bool consume = true) const;  ///< of a fresh call, by every input

  Tensors random_cotangents(uint64_t trial) const;
  Tensors random_direction(uint64_t trial) const;           ///< through all inputs, each scaled by its unit
  Tensors unit_direction(size_t i, int64_t element) const;  ///< one element of input i

  /// Changes of all output elements from the inputs to inputs + t * direction; an undefined direction does
  /// not move.
  std::vector<double> change(const Tensors& direction, double t) const;
  double weighed_change(const Tensors& cotangents, const Tensors& direction, double t) const;
  /// Sum of |cotangent * output|, which rounding goes by. More cotangents than outputs: of repeated calls.
  double size_of_sum(const Tensors& cotangents) const;

 private:
  std::string find_unsound() const;
  const Function& f_;
  uint64_t seed_;
  Tensors inputs_, base_;
  std::vector<double> units_;
  std::string unsound_;
};

double dot(const Tensor& a, const Tensor& b);
double norm(const Tensor& x);
Tensors copies(const Tensors& list);
std::string element_name(const Shape& shape, int64_t element);  ///< "element [1, 2]"
/// "analytic 0.5, numeric 0.25", with nine digits.
std::string number_pair(const char* a_name, double a, const char* b_name, double b);

/// The properties that need no differences; an empty string, or in words what does not hold
/// (gradcheck_properties.cpp).
std::string broken_property(const CheckedFunction& f);

}  // namespace plumage
