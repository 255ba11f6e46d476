// Limited-memory BFGS (Nocedal 1980; Nocedal and Wright, Numerical Optimization, alg. 7.4 and 7.5) for smooth
// functions of many numbers. Next in the walk: eval/linear_probe.cpp, which minimises softmax regression by
// it.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace plumage {

/// Value at x; writes the gradient, of x's size.
using Objective = std::function<double(std::span<const double> x, std::span<double> gradient)>;

struct LbfgsOptions {
  int64_t history = 10;  ///< pairs of steps and gradient changes kept
  int64_t max_iterations = 200;
  double tolerance = 1e-5;  ///< stop when the largest |gradient| is at most this
  double noise = 0;  ///< relative error of the value, when it comes from f32: smaller rises are no rises
};

struct LbfgsResult {
  double value = 0;
  double gradient_max = 0;
  int64_t iterations = 0;
  int64_t evaluations = 0;
  bool converged = false;  ///< false: out of iterations, or the arithmetic allows no further descent
};

/// Moves x to a minimum. Throws MachineError if the value at the start is not finite.
LbfgsResult minimize_lbfgs(const Objective& f, std::vector<double>& x, const LbfgsOptions& options = {});

}  // namespace plumage
