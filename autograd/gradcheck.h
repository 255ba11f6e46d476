// Compares backward with central differences in f64, for any function from Vars to Vars. Public: a program
// that links `autograd` alone can check rules of its own (docs/gradcheck.md).
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "autograd/var.h"

namespace plumage {

using Function = std::function<std::vector<Var>(const std::vector<Var>&)>;

struct GradcheckOptions {
  uint64_t seed = 0;
  double step =
      1e-5;  ///< of a direction whose elements are about 1, relative to 1 + rms(x); adapted where needed
  double tolerance =
      1e-6;  ///< |analytic - numeric| <= tolerance * size of the gradient, beyond what rounding explains
  int directions = 3;  ///< random directions for each input, each with a random cotangent
  bool joint = false;  ///< one direction moves all inputs at once: cheap for many inputs, blind to small ones
  bool full_jacobian = false;  ///< every output element by every input element, instead of random directions
  int64_t locate =
      4096;  ///< after a failure, at most so many elements are tried one by one to name the worst
};

struct GradcheckReport {
  bool ok = false;
  std::string failure;   ///< one line: input, element, analytic and numeric value, or which property failed
  int64_t compared = 0;  ///< directional derivatives, or entries of the Jacobian, compared
  int64_t kinks = 0;     ///< left out since the one-sided differences disagree: not differentiable there
  double worst =
      0;  ///< largest |analytic - numeric| relative to the size of the gradient; <= tolerance when ok

  // Where a wrong derivative was found (input is -1 when no element is to blame).
  int input = -1;
  int64_t element = -1;  ///< row-major
  double analytic = 0, numeric = 0;
};

/// Checks f at `inputs` (f64). A plain sum of the outputs would pass wrong softmax and batch-norm rules, so
/// the outputs are weighed by a random cotangent. Also checked: the same values and gradients twice, inputs,
/// outputs and cotangents unchanged, an input that is not used gets zero, one used twice gets the sum, and
/// gradients are linear in the cotangent. NaN fails, and so does having nothing to compare. A rule that
/// throws is a failure; f that throws, throws. Throws DTypeError if an input or a float output is not f64.
GradcheckReport gradcheck(const Function& f, const std::vector<Tensor>& inputs,
                          const GradcheckOptions& options = {});

}  // namespace plumage
