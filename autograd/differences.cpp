#include "autograd/differences.h"

#include <cmath>
#include <limits>

namespace plumage {

namespace {

// With the step h and its half: the curvature q'' cancels in the central difference d, and in 2 gap(h/2) -
// gap(h) of the gaps between right and left difference, so that what is left of the gaps is a jump of the
// derivative.
Slope slope_from(double plus, double minus, double plus_half, double minus_half, double h, double size) {
  double d = (plus - minus) / (2 * h), d_half = (plus_half - minus_half) / h;
  double gap = (plus + minus) / h, gap_half = 2 * (plus_half + minus_half) / h;
  double noise = 64 * std::numeric_limits<double>::epsilon() * size / h;
  return {(4 * d_half - d) / 3, std::fabs(d_half - d) / 3, std::fabs(2 * gap_half - gap), noise};
}

}  // namespace

std::vector<Slope> slopes(const Line& line, const std::vector<double>& size,
                          const std::vector<double>& wanted, double step) {
  std::vector<Slope> best(size.size(), Slope{std::nan(""), 0, 0, 0});
  std::vector<double> doubt(size.size(), std::numeric_limits<double>::infinity());
  for (double factor : {1.0, 16.0, 256.0, 1.0 / 16, 1.0 / 256, 1.0 / 4096}) {
    double h = step * factor;
    std::vector<double> plus = line(h), minus = line(-h), plus_half = line(h / 2), minus_half = line(-h / 2);
    bool settled = true;
    for (size_t i = 0; i < size.size(); ++i) {
      Slope s = slope_from(plus[i], minus[i], plus_half[i], minus_half[i], h, size[i]);
      double d = s.jump + s.unsettled + s.noise;
      if (d < doubt[i]) {  // false for NaN: outside f's domain
        doubt[i] = d;
        best[i] = s;
      }
      settled = settled && doubt[i] <= wanted[i];
    }
    if (settled) break;
  }
  return best;
}

}  // namespace plumage
