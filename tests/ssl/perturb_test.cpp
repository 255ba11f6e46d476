// Equations 5 and 6: sizes of both noises under every reading of epsilon, the choice of dimensions, the controls.
#include "ssl/perturb.h"

#include "tensor/ops.h"
#include "tests/ssl/expected_values.h"

using namespace plumage;
using test::check_close, test::expected;

namespace {

PerturbOptions paper() {
  PerturbOptions o;
  o.feature_units = false;
  o.criterion = VarianceCriterion::raw;
  return o;
}

std::vector<double> times(std::vector<double> values, double factor) {
  for (double& v : values) v *= factor;
  return values;
}

}  // namespace

TEST_CASE("eq. 5, by hand: epsilon (1 - eta_bar) is a standard deviation, or a variance where asked") {
  Tensor eta_bar = Tensor::from(std::vector<double>{0, 0.25, 1}, {1, 3});
  PerturbOptions o = paper();
  o.epsilon_g = 0.04;
  check_close(gradcam_noise_std(eta_bar, o), {0.04, 0.03, 0});
  check_close(gradcam_noise_std(eta_bar, o, Tensor::scalar(2.5, DType::f64)), {0.1, 0.075, 0});  // in units of the features
  o.epsilon_is_variance = true;
  check_close(gradcam_noise_std(eta_bar, o), {0.2, std::sqrt(0.03), 0});
  check_close(gradcam_noise_std(eta_bar, o, Tensor::scalar(2.5, DType::f64)), {0.5, 2.5 * std::sqrt(0.03), 0});
}

TEST_CASE("eq. 5 on real saliencies, and the isotropic control of equal rms for each image") {
  Tensor eta_bar = expected("saliency.loss.eta_bar", {3, 10});
  PerturbOptions o = paper();
  check_close(gradcam_noise_std(eta_bar, o), expected("noise_g.std"));
  o.epsilon_is_variance = true;
  check_close(gradcam_noise_std(eta_bar, o), expected("noise_g.variance"));
  o.epsilon_is_variance = false;
  o.gradcam = GradcamNoise::isotropic;
  std::vector<double> even;
  for (double rms : expected("noise_g.isotropic")) even.insert(even.end(), 10, rms);
  check_close(gradcam_noise_std(eta_bar, o), even);
  o.gradcam = GradcamNoise::off;
  check_close(gradcam_noise_std(eta_bar, o), std::vector<double>(30, 0.0), 0);
}

TEST_CASE("eq. 6 from the text: dimensions below kappa, more noise where the variance is lower") {
  Tensor s = expected("bank.raw.s", {10});
  PerturbOptions o = paper();
  o.kappa = expected("lowvar.kappa")[0];  // equals the fifth smallest: only those strictly below are chosen
  LowVariance low = low_variance(s, o);
  check_close(low.selected, expected("lowvar.selected"), 0);
  check_close(low.s_bar, expected("lowvar.s_bar"));
  check_close(low.std, expected("lowvar.std"));
  check_close(low_variance(s, o, Tensor::scalar(3, DType::f64)).std, times(expected("lowvar.std"), 3));
  o.epsilon_is_variance = true;
  check_close(low_variance(s, o).std, expected("lowvar.std_of_variance"));
  o.epsilon_is_variance = false;
  o.minmax_selected = true;
  check_close(low_variance(s, o).std, expected("lowvar.std_over_selected"));
  o.minmax_selected = false;
  o.lowvar = false;
  check_close(low_variance(s, o).std, std::vector<double>(10, 0.0), 0);
}

TEST_CASE("lowvar.quantile chooses the share with the lowest variance") {
  Tensor s = expected("bank.raw.s", {10});
  PerturbOptions o = paper();
  o.criterion = VarianceCriterion::quantile;
  for (auto [quantile, name] : {std::pair{0.2, "quantile.0.2"}, {0.35, "quantile.0.35"}, {0.0, "quantile.0.0"}, {1.0, "quantile.1.0"}}) {
    CAPTURE(name);
    o.quantile = quantile;
    check_close(low_variance(s, o).selected, expected(name), 0);
  }
  // 0.29 * 100 is 28.999999999999996 in double.
  o.quantile = 0.29;
  double chosen = 0;
  for (double one : low_variance(ops::normal({100}, {1}, 0, 1, DType::f64), o).selected.to_vector()) chosen += one;
  CHECK(chosen == 29);
}

TEST_CASE("eq. 6 at its edges: nothing chosen, everything chosen, all variances equal") {
  PerturbOptions o = paper();
  Tensor s = Tensor::from(std::vector<double>{0.3, 0.1, 0.2}, {3});
  for (bool over_selected : {false, true}) {
    CAPTURE(over_selected);
    o.minmax_selected = over_selected;
    o.kappa = 0.1;  // not below itself
    check_close(low_variance(s, o).std, {0, 0, 0}, 0);
    o.kappa = 1;
    check_close(low_variance(s, o).std, {0, 0.05, 0.025});
    Tensor equal = Tensor::full({3}, 0.01, DType::f64);
    check_close(low_variance(equal, o).std, {0.05, 0.05, 0.05});
    check_close(low_variance(Tensor::zeros({3}, DType::f64), o).std, {0.05, 0.05, 0.05});
  }
  o.minmax_selected = true;
  o.kappa = 0.15;  // a single one: nothing to tell it from, full noise
  check_close(low_variance(s, o).std, {0, 0.05, 0});
}
