#include "ssl/gauges.h"

#include <algorithm>
#include <cmath>

#include "tensor/ops.h"

namespace plumage {

namespace {

// Eigenvalues of a symmetric matrix by cyclic Jacobi rotations; a: n x n, destroyed.
std::vector<double> eigenvalues(std::vector<double>& a, size_t n) {
  for (int sweep = 0; sweep < 30; ++sweep) {
    double off = 0, diagonal = 0;
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) (i == j ? diagonal : off) += a[i * n + j] * a[i * n + j];
    if (!(off > 1e-18 * (diagonal + 1e-300))) break;
    for (size_t p = 0; p + 1 < n; ++p) {
      for (size_t q = p + 1; q < n; ++q) {
        double apq = a[p * n + q];
        if (std::abs(apq) < 1e-300) continue;
        double theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
        double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        double c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (size_t k = 0; k < n; ++k) {  // columns p and q
          double kp = a[k * n + p], kq = a[k * n + q];
          a[k * n + p] = c * kp - s * kq;
          a[k * n + q] = s * kp + c * kq;
        }
        for (size_t k = 0; k < n; ++k) {  // rows p and q
          double pk = a[p * n + k], qk = a[q * n + k];
          a[p * n + k] = c * pk - s * qk;
          a[q * n + k] = s * pk + c * qk;
        }
      }
    }
  }
  std::vector<double> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = a[i * n + i];
  return values;
}

double effective_rank(const Tensor& centred) {  // [m, n] f64
  size_t m = size_t(centred.size(0));
  std::vector<double> gram = ops::matmul(centred, centred, false, true).to_vector();  // its eigenvalues are the covariance's
  double total = 0, entropy = 0;
  std::vector<double> values = eigenvalues(gram, m);
  for (double value : values) total += std::max(value, 0.0);
  if (!(total > 0)) return 0;
  for (double value : values)
    if (double p = value / total; p > 0) entropy -= p * std::log(p);
  return std::exp(entropy);
}

}  // namespace

CollapseGauges collapse_gauges(const Tensor& v) {
  if (v.rank() != 2 || v.size(0) < 2) throw ShapeError("collapse_gauges: v must be [N, n] with N >= 2, got " + v.shape().str());
  Tensor unit = ops::l2_normalize(ops::cast(v.to(Device{}), DType::f64)).first;  // [N, n]
  auto [mean, variance] = ops::batch_norm_stats(unit);
  std::vector<double> std = ops::unary(UnaryFn::sqrt, variance).to_vector();
  CollapseGauges g;
  double largest = *std::max_element(std.begin(), std.end());
  for (double s : std) {
    g.unit_std += s / double(std.size());
    g.dead_share += (s <= 1e-6 * largest) / double(std.size());
  }
  g.unit_std *= std::sqrt(double(std.size()));
  int64_t rows = std::min<int64_t>(256, v.size(0));
  std::vector<int64_t> picked;
  for (int64_t i = 0; i < rows; ++i) picked.push_back(i * v.size(0) / rows);
  Tensor sample = ops::gather_rows(unit, Tensor::from(picked, {rows}));
  Tensor centre = ops::batch_norm_stats(sample).mean;  // [1, n]
  g.effective_rank = effective_rank(ops::sub(sample, centre));
  return g;
}

std::string collapse_warning(const CollapseGauges& g) {
  if (!(g.unit_std > 0.05)) return message("collapse: features of different images are nearly the same (unit std ", g.unit_std, ", 1 is spread out)");
  if (!(g.effective_rank > 2)) return message("collapse: features vary along only ", g.effective_rank, " directions");
  return {};
}

}  // namespace plumage
