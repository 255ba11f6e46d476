// The two noises that make v_p from v (paper, eq. 5 and 6). Constants for every gradient. Next: ssl/pairs.h.
#pragma once
#include "ssl/feature_bank.h"
#include "ssl/saliency.h"

namespace plumage {

/// `isotropic` is the control: the same noise at the same rms, spread evenly over the dimensions of each image.
enum class GradcamNoise { on, off, isotropic };

struct PerturbOptions {
  double epsilon_g = 0.1;                 ///< paper, eq. 5
  double epsilon_var = 0.05;              ///< paper, eq. 6
  bool epsilon_is_variance = false;       ///< N(0, e): is e the standard deviation (said twice in the text) or the variance
  bool feature_units = true;              ///< epsilons count in rms standard deviations of v over the bank, else absolute
  GradcamNoise gradcam = GradcamNoise::on;
  bool lowvar = true;                     ///< eq. 6 at all
  VarianceCriterion criterion = VarianceCriterion::quantile;
  double kappa = 0.02;                    ///< s_i < kappa is perturbed; `quantile` criterion: not used
  double quantile = 0.2;                  ///< share of dimensions perturbed by the `quantile` criterion
  bool minmax_selected = false;           ///< s_bar over the selected dimensions only, instead of all (literal)
  bool clamp = false;                     ///< v_p = relu(v + noise)
};

/// Standard deviations [B, n] of eq. 5's noise, in units of `unit` (rank 0; undefined: 1). eta_bar: [B, n]
Tensor gradcam_noise_std(const Tensor& eta_bar, const PerturbOptions& options, const Tensor& unit = {});

struct LowVariance {
  Tensor s_bar;     ///< [n], min-max of s (eq. 4 applied to s)
  Tensor selected;  ///< [n], 1 where the dimension is perturbed
  Tensor std;       ///< [n], standard deviation of eq. 6's noise, 0 where not selected
};
LowVariance low_variance(const Tensor& s, const PerturbOptions& options, const Tensor& unit = {});

}  // namespace plumage
