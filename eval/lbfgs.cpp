// The two-loop recursion and a line search by bisection for the weak Wolfe conditions, which always ends.
// Next in the walk: eval/linear_probe.cpp.
#include "eval/lbfgs.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>

#include "tensor/errors.h"

namespace plumage {
namespace {

using Vector = std::vector<double>;

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

void add_scaled(Vector& y, double scale, const Vector& x) {
  for (size_t i = 0; i < y.size(); ++i) y[i] += scale * x[i];
}

double largest(const Vector& v) {
  double most = 0;
  for (double x : v) most = std::max(most, std::abs(x));
  return most;
}

struct Pair {
  Vector step, change;
  double rho;
};

/// -H g, with H the inverse Hessian that the pairs describe.
Vector descent_direction(const std::deque<Pair>& pairs, const Vector& gradient) {
  Vector d(gradient.size());
  add_scaled(d, -1, gradient);
  Vector alpha(pairs.size());
  for (size_t i = pairs.size(); i-- > 0;) {
    alpha[i] = pairs[i].rho * dot(pairs[i].step, d);
    add_scaled(d, -alpha[i], pairs[i].change);
  }
  if (!pairs.empty()) {
    const Pair& last = pairs.back();
    double scale = 1 / (last.rho * dot(last.change, last.change));
    for (double& x : d) x *= scale;
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    double beta = pairs[i].rho * dot(pairs[i].change, d);
    add_scaled(d, alpha[i] - beta, pairs[i].step);
  }
  return d;
}

struct Point {
  Vector x, gradient;
  double value = 0;
};

/// A point along d with enough descent and a flatter slope; false if there is none that floating point can
/// tell.
bool line_search(const Objective& f, const Point& from, const Vector& d, double length, double noise,
                 Point& to, int64_t& evaluations) {
  constexpr double kDescent = 1e-4, kCurvature = 0.9;
  constexpr int kMostTrials = 30;
  double ceiling = from.value + noise * std::abs(from.value);
  double slope = dot(from.gradient, d), low = 0, high = std::numeric_limits<double>::infinity();
  for (int trial = 0; trial < kMostTrials; ++trial) {
    to.x = from.x;
    add_scaled(to.x, length, d);
    to.value = f(to.x, to.gradient);
    ++evaluations;
    bool descends = to.value <= ceiling + kDescent * length * slope;  // false for NaN too
    if (descends && dot(to.gradient, d) >= kCurvature * slope) return true;
    (descends ? low : high) = length;
    length = std::isinf(high) ? 2 * low : (low + high) / 2;
  }
  return false;
}

}  // namespace

LbfgsResult minimize_lbfgs(const Objective& f, std::vector<double>& x, const LbfgsOptions& options) {
  Point now{x, Vector(x.size())}, next{{}, Vector(x.size())};
  LbfgsResult result;
  now.value = f(now.x, now.gradient);
  ++result.evaluations;
  if (!std::isfinite(now.value)) throw MachineError("L-BFGS: the function is not finite where it starts");
  std::deque<Pair> pairs;
  for (; largest(now.gradient) > options.tolerance && result.iterations < options.max_iterations;
       ++result.iterations) {
    Vector d = descent_direction(pairs, now.gradient);
    double length = pairs.empty() ? 1 / std::sqrt(dot(now.gradient, now.gradient)) : 1;
    if (!line_search(f, now, d, length, options.noise, next, result.evaluations)) {
      if (pairs.empty()) break;
      pairs.clear();  // stale curvature: once more along the plain gradient
      continue;
    }
    Pair pair{next.x, next.gradient, 0};
    add_scaled(pair.step, -1, now.x);
    add_scaled(pair.change, -1, now.gradient);
    pair.rho = 1 / dot(pair.step, pair.change);
    std::swap(now, next);
    if (!(pair.rho > 0) || std::isinf(pair.rho)) continue;
    pairs.push_back(std::move(pair));
    if (int64_t(pairs.size()) > options.history) pairs.pop_front();
  }
  x = std::move(now.x);
  result.value = now.value;
  result.gradient_max = largest(now.gradient);
  result.converged = result.gradient_max <= options.tolerance;
  return result;
}

}  // namespace plumage
