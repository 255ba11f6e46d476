#include "ssl/perturb.h"

#include <algorithm>
#include <cmath>

#include "tensor/ops.h"

namespace plumage {

namespace {

// epsilon * (1 - x), read as a standard deviation or as a variance, in units of `unit`.
Tensor noise_std(const Tensor& x, double epsilon, const PerturbOptions& options, const Tensor& unit) {
  Tensor amount = ops::affine(x, -epsilon, epsilon);
  if (options.epsilon_is_variance) amount = ops::unary(UnaryFn::sqrt, ops::relu(amount));
  return unit.defined() ? ops::mul(amount, unit) : amount;
}

}  // namespace

Tensor gradcam_noise_std(const Tensor& eta_bar, const PerturbOptions& options, const Tensor& unit) {
  if (options.gradcam == GradcamNoise::off) return Tensor::zeros(eta_bar.shape(), eta_bar.dtype(), eta_bar.device());
  Tensor std = noise_std(eta_bar, options.epsilon_g, options, unit);  // [B, n]
  if (options.gradcam == GradcamNoise::on) return std;
  Shape rows = std.shape();
  rows.set(-1, 1);
  Tensor mean_square = ops::scale(ops::sum_to(ops::mul(std, std), rows), 1.0 / double(std.size(-1)));  // [B, 1]
  return ops::add(Tensor::zeros(std.shape(), std.dtype(), std.device()), ops::unary(UnaryFn::sqrt, mean_square));
}

LowVariance low_variance(const Tensor& s, const PerturbOptions& options, const Tensor& unit) {
  int64_t n = s.size(0);
  LowVariance out;
  if (options.criterion == VarianceCriterion::quantile) {
    int64_t count = std::clamp<int64_t>(int64_t(std::floor(options.quantile * double(n) + 1e-9)), 0, n);
    out.selected = Tensor::zeros({n}, s.dtype(), s.device());
    if (count > 0) {
      Tensor index = ops::top_k(s, count, /*largest=*/false).second;
      out.selected = ops::put_last(Tensor::full({count}, 1, s.dtype(), s.device()), index, n);
    }
  } else {
    out.selected = ops::binary(BinaryFn::less, s, Tensor::full({1}, options.kappa, s.dtype(), s.device()));
  }
  if (options.minmax_selected) {
    // Dimensions that are not selected take the value of one that is, so that they do not move min or max.
    Tensor masked = ops::mul(s, out.selected);
    Tensor highest = ops::max_last(masked).first.reshape({1});
    out.s_bar = min_max(ops::add(masked, ops::mul(ops::affine(out.selected, -1, 1), highest)));
  } else {
    out.s_bar = min_max(s);
  }
  Tensor amount = options.lowvar ? noise_std(out.s_bar, options.epsilon_var, options, unit)
                                 : Tensor::zeros({n}, s.dtype(), s.device());
  out.std = ops::mul(amount, out.selected);
  return out;
}

}  // namespace plumage
