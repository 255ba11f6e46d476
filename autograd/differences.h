// Derivatives along a line by differences, and how far each can be trusted. Used by autograd/gradcheck.cpp.
#pragma once
#include <functional>
#include <vector>

namespace plumage {

/// What differences say about one quantity q(t) at t = 0.
struct Slope {
  double value = 0;      ///< central difference with the h^2 error taken out (Richardson)
  double unsettled = 0;  ///< how much the value still moves when the step is halved
  double jump = 0;       ///< |right derivative - left derivative|: not 0 at a kink
  double noise = 0;      ///< what rounding of q can do to the value
  /// The sides disagree, or nothing settles, by more than `bound` and rounding explain. Rounding shows in the
  /// jump about three times as much as in the value.
  bool kink(double bound) const { return jump + unsettled > bound + 4 * noise; }
};

/// The changes q(t) - q(0) of all watched quantities.
using Line = std::function<std::vector<double>(double t)>;

/// Slopes at t = 0. Starts with `step`; where the result is worse than `wanted[i]`, larger steps (rounding)
/// and smaller ones (a kink nearby, strong curvature) are tried and the best is kept. `size[i]`: about |q_i|.
std::vector<Slope> slopes(const Line& line, const std::vector<double>& size,
                          const std::vector<double>& wanted, double step);

}  // namespace plumage
