// Compares backward with central differences in f64, for any function from Vars to Vars. Public: a program that links
// `autograd` alone can check rules of its own (docs/gradcheck.md).
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "autograd/var.h"

namespace plumage {

using Function = std::function<std::vector<Var>(const std::vector<Var>&)>;

struct GradcheckOptions {
  uint64_t seed = 0;
  double step = 1e-5;         ///< of a direction whose elements are about 1, relative to 1 + rms(x)
  double tolerance = 1e-6;    ///< |analytic - numeric| <= tolerance * (1 + max(|analytic|, |numeric|))
  int directions = 3;         ///< random directions, each with a random cotangent
  bool full_jacobian = false; ///< every element of every input by itself, instead of random directions
  int64_t locate = 4096;      ///< after a failure, at most so many elements are tried one by one to name the worst
};

struct GradcheckReport {
  bool ok = false;
  std::string failure;  ///< one line: input, element, analytic and numeric value, or which property failed
  int64_t compared = 0; ///< directional derivatives (or Jacobian rows) compared
  int64_t kinks = 0;    ///< left out since the one-sided differences disagree: not differentiable there
  double worst = 0;     ///< largest |analytic - numeric| / (1 + max(|..|))
};

/// Checks f at `inputs` (f64). A plain sum of the outputs would pass wrong softmax and batch-norm rules, so the outputs
/// are weighed by a random cotangent. Also checked: the same values and gradients twice, inputs unchanged, an input
/// that is not used gets zero, one used twice gets the sum, and gradients are linear in the cotangent.
/// NaN fails, and so does having nothing to compare. Throws DTypeError if an input is not f64.
GradcheckReport gradcheck(const Function& f, const std::vector<Tensor>& inputs, const GradcheckOptions& options = {});

}  // namespace plumage
