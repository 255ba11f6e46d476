// Where gradients go, and the gradient of the whole loss (eq. 8) by differences through a tiny encoder and decoder.
//
// What the method holds constant (keys, stopped targets, noise, detached images) moves with the parameters, so the
// loss of a step cannot be differenced as it is. The same loss is written down here a second time, from the equations,
// with those constants given; gradcheck checks that one, and the method must have its value and its gradients.
#include "autograd/gradcheck.h"
#include "tests/ssl/expected_values.h"
#include "tests/ssl/tiny_methods.h"

using namespace plumage;
using namespace plumage::test;

namespace {

constexpr double kTau = 0.2;

/// Gradient of one term alone by every parameter, and its value.
std::pair<double, std::map<std::string, Tensor>> gradient_of_term(Method& method, const std::string& wanted) {
  std::pair<double, std::map<std::string, Tensor>> out;
  Step step;
  std::vector<std::string> names;
  std::vector<Var> leaves;
  for (auto& [name, value] : method.parameters())
    if (value.needs_grad()) {
      names.push_back(name);
      leaves.push_back(value);
    }
  method.forward(tiny_views(1), step, [&](const std::vector<Term>& terms) {
    for (const Term& term : terms) {
      if (term.name != wanted) continue;
      out.first = term.loss.item();
      auto list = gradient(term.loss, leaves);
      for (size_t i = 0; i < names.size(); ++i) out.second[names[i]] = list[i];
    }
  });
  return out;
}

double norm_of(const std::map<std::string, Tensor>& gradients, const std::string& prefix) {
  double sum = 0;
  for (auto& [name, g] : gradients)
    if (name.starts_with(prefix))
      for (double x : g.to_vector()) sum += x * x;
  return std::sqrt(sum);
}

void check_equal(const std::map<std::string, Tensor>& got, const std::map<std::string, Tensor>& wanted, const std::string& prefix,
                 double tolerance) {
  int compared = 0;
  for (auto& [name, g] : wanted) {
    if (!name.starts_with(prefix)) continue;
    CAPTURE(name);
    REQUIRE(got.count(name) == 1);
    check_close(got.at(name), g.to_vector(), tolerance);
    ++compared;
  }
  CHECK(compared > 0);
}

std::unique_ptr<DiscriminativePairs> trained_pairs(Base base, SynthGrad grad) {
  PairsOptions options = tiny_options();
  options.alpha = 0.7;
  options.nu = 0.4;
  options.synth_grad = grad;
  auto method = tiny_pairs(base, options);
  auto optimizers = tiny_optimizers(*method);
  Step step;
  train_step(*method, tiny_views(0), step, optimizers, 1);  // key encoder and encoder part
  return method;
}

/// Eq. 8 from the equations. What `at` holds (and z1, SimSiam's stopped target) is constant.
class WholeLoss {
 public:
  WholeLoss(DiscriminativePairs& method, Base base, SynthGrad grad) : method_(method), kind_(base), grad_(grad) {
    at_ = differentiate(method, views_).step;
    NoGrad off;
    z1_ = z(views_.x1).value();
  }

  Var operator()() const {
    Var v = method_.base().embed(Var(views_.x), pass_);
    Var x_hat = method_.decoder().forward(v, pass_);
    Var difference = sub(x_hat, Var(views_.x));
    Var L_R = scale(sum(mul(difference, difference)), 1.0 / double(kBatch * kPixels * kPixels * 3));
    Var noise(ops::add(at_.noise_g, at_.noise_var)), constant_v(at_.v);
    Var a = x_hat, b(at_.x_hat_p);
    if (grad_ == SynthGrad::detach) a = Var(at_.x_hat);
    if (grad_ == SynthGrad::decoder) {
      a = method_.decoder().forward(constant_v, pass_);
      b = method_.decoder().forward(add(constant_v, noise), pass_);
    }
    if (grad_ == SynthGrad::full) b = method_.decoder().forward(add(v, noise), pass_);
    Var all = concat({unit_z(a), unit_z(b)}, 0), partners = concat({unit_z(b), unit_z(a)}, 0);
    Var similar = exp(scale(matmul(all, all, false, true), 1 / kTau));
    Var denominator = sum_last(mul(similar, Var(others())));
    Var L_Cp = mean(sub(log(denominator), scale(sum_last(mul(all, partners)), 1 / kTau)));
    return add(base_loss(), add(scale(L_R, 0.7), scale(L_Cp, 0.4)));
  }

 private:
  Var z(const Tensor& image) const { return method_.base().project(method_.base().embed(Var(image), pass_), pass_); }
  Var unit_z(const Var& image) const {
    Var raw = method_.base().project(method_.base().embed(image, pass_), pass_);
    return div(raw, reshape(sqrt(sum_last(mul(raw, raw))), {kBatch, 1}));
  }
  Var base_loss() const {
    if (kind_ == Base::simsiam) {
      BaseMethod& base = method_.base();
      return scale(add(mean(base.predict_contrast(z(views_.x1), at_.key, pass_)), mean(base.predict_contrast(z(views_.x2), z1_, pass_))), 0.5);
    }
    Var q = unit_z(Var(views_.x1));
    Var positive = scale(sum_last(mul(q, Var(at_.key))), 1 / kTau);
    Var negatives = scale(matmul(q, Var(at_.queue), false, true), 1 / kTau);
    return mean(sub(log(add(sum_last(exp(negatives)), exp(positive))), positive));
  }
  /// 1 for every image but itself and its partner.
  Tensor others() const {
    std::vector<double> mask(size_t(4 * kBatch * kBatch), 1.0);
    for (int64_t i = 0; i < 2 * kBatch; ++i)
      for (int64_t j = 0; j < 2 * kBatch; ++j)
        if (i % kBatch == j % kBatch) mask[size_t(i * 2 * kBatch + j)] = 0;
    return Tensor::from(mask, {2 * kBatch, 2 * kBatch});
  }

  DiscriminativePairs& method_;
  Base kind_;
  SynthGrad grad_;
  Views views_ = tiny_views(1);
  Pass pass_ = Pass::batch_only();
  Step at_;
  Tensor z1_;
};

}  // namespace

TEST_CASE("no gradient reaches keys, the key encoder, the queue or the bank") {
  for (Base base : {Base::moco, Base::simsiam})
    for (SynthGrad grad : {SynthGrad::detach, SynthGrad::decoder, SynthGrad::full}) {
      auto method = trained_pairs(base, grad);
      auto gradients = differentiate(*method, tiny_views(1)).gradients;
      int encoder = 0, decoder = 0;
      for (auto& [name, g] : gradients) {
        CHECK_MESSAGE((name.starts_with("encoder.") || name.starts_with("head.") || name.starts_with("projector.") ||
                       name.starts_with("predictor.") || name.starts_with("decoder.")), name);
        encoder += name.starts_with("encoder.");
        decoder += name.starts_with("decoder.");
      }
      CHECK(encoder == 60);
      CHECK(decoder == 2 + 2 * 3 + 2);
      auto optimizers = tiny_optimizers(*method);
      for (auto& [name, value] : optimizers.encoder.named_parameters()) CHECK_FALSE(name.starts_with("key_"));
      for (auto& [name, value] : optimizers.decoder.named_parameters()) CHECK(name.starts_with("decoder."));
    }
}

TEST_CASE("synth.grad: detach trains the encoder on images as data; decoder adds h; full adds the way through v") {
  for (Base base : {Base::moco, Base::simsiam}) {
    auto [loss_d, detach] = gradient_of_term(*trained_pairs(base, SynthGrad::detach), "L_Cp");
    auto [loss_h, decoder] = gradient_of_term(*trained_pairs(base, SynthGrad::decoder), "L_Cp");
    // Each has made one step of training of its own, so compare at the same weights.
    auto of = [&](SynthGrad grad) {
      PairsOptions options = tiny_options();
      options.synth_grad = grad;
      return gradient_of_term(*tiny_pairs(base, options), "L_Cp");
    };
    std::tie(loss_d, detach) = of(SynthGrad::detach);
    std::tie(loss_h, decoder) = of(SynthGrad::decoder);
    auto [loss_f, full] = of(SynthGrad::full);
    CHECK(loss_h == doctest::Approx(loss_d).epsilon(1e-12));
    CHECK(loss_f == doctest::Approx(loss_d).epsilon(1e-12));
    CHECK(norm_of(detach, "encoder.") > 1e-6);
    CHECK(norm_of(detach, "decoder.") == 0);
    CHECK(norm_of(decoder, "decoder.") > 1e-6);
    check_equal(decoder, detach, "encoder.", 1e-10);
    check_equal(full, decoder, "decoder.", 1e-10);
    std::map<std::string, Tensor> extra;
    for (auto& [name, g] : full) extra[name] = ops::sub(g, detach.at(name));
    CHECK(norm_of(extra, "encoder.") > 1e-6);
  }
}

TEST_CASE("L_R reaches encoder and decoder, L_C the encoder alone") {
  for (Base base : {Base::moco, Base::simsiam}) {
    auto reconstruction = gradient_of_term(*tiny_pairs(base), "L_R").second;
    CHECK(norm_of(reconstruction, "encoder.") > 1e-6);
    CHECK(norm_of(reconstruction, "decoder.") > 1e-6);
    CHECK(norm_of(reconstruction, "head.") + norm_of(reconstruction, "projector.") == 0);
    auto contrast = gradient_of_term(*tiny_pairs(base), "L_C").second;
    CHECK(norm_of(contrast, "encoder.") > 1e-6);
    CHECK(norm_of(contrast, "decoder.") == 0);
  }
}

TEST_CASE("term by term or through the sum of eq. 8: the same gradient") {
  for (Base base : {Base::moco, Base::simsiam})
    for (SynthGrad grad : {SynthGrad::detach, SynthGrad::decoder, SynthGrad::full}) {
      auto method = trained_pairs(base, grad);
      Differentiated by_term = differentiate(*method, tiny_views(1)), jointly = differentiate(*method, tiny_views(1), true);
      CHECK(by_term.emitted == (grad == SynthGrad::detach ? 3 : 2));
      CHECK(by_term.gradients.size() == jointly.gradients.size());
      check_equal(by_term.gradients, jointly.gradients, "", 1e-11);
    }
}

TEST_CASE("saliency leaves no gradient behind and does not depend on whether one is recorded") {
  auto method = tiny_pairs(Base::moco);
  Step step, quiet;
  method->forward(tiny_views(), step, [](const std::vector<Term>&) {});
  CHECK(gradients_of(*method).empty());
  // eta is the gradient of each image's own loss: of image 0 alone it is the same row.
  Var v(step.v, true);
  Var loss = slice(method->base().contrast(method->base().project(v, Pass::batch_only()), step), 0, 1);
  std::vector<double> g = gradient(sum(loss), {v})[0].to_vector(), eta = step.eta.to_vector();
  for (int64_t i = 0; i < method->encoder().feature_count(); ++i)
    CHECK_FALSE(!(std::abs(eta[size_t(i)] - std::max(0.0, g[size_t(i)] * step.v.to_vector()[size_t(i)])) <= 1e-12));
}

TEST_CASE("the gradient of the whole loss (eq. 8) is right, by differences [slow]") {
  for (Base base : {Base::moco, Base::moco_norm, Base::simsiam})
    for (SynthGrad grad : {SynthGrad::detach, SynthGrad::decoder, SynthGrad::full}) {
      if (base == Base::moco_norm && grad != SynthGrad::full) continue;
      CAPTURE(int(base));
      CAPTURE(int(grad));
      auto method = trained_pairs(base, grad);
      WholeLoss loss(*method, base, grad);
      Differentiated got = differentiate(*method, tiny_views(1));
      Var at = loss();
      CHECK(got.terms.at("L_C") + 0.7 * got.terms.at("L_R") + 0.4 * got.terms.at("L_Cp") == doctest::Approx(at.item()).epsilon(1e-12));
      method->clear_gradients();
      backward(at);
      auto wanted = gradients_of(*method);
      method->clear_gradients();
      CHECK(got.gradients.size() == wanted.size());
      check_equal(got.gradients, wanted, "", 1e-9);

      std::vector<std::string> names = {"encoder.conv1.weight", "encoder.layer2.0.downsample.0.weight", "encoder.layer4.1.bn2.bias",
                                        base == Base::simsiam ? "projector.3.weight" : "head.0.weight", "decoder.fc.weight",
                                        "decoder.stage1.bn.weight"};
      std::vector<Tensor> values;
      for (const std::string& name : names)
        for (auto& [own, value] : method->parameters())
          if (own == name) values.push_back(value.value().clone());
      REQUIRE(values.size() == names.size());
      auto f = [&](const std::vector<Var>& x) {
        method->visit("", [&](const std::string& name, Var& value, Role) {
          for (size_t i = 0; i < names.size(); ++i)
            if (names[i] == name) value = x[i];
        });
        return std::vector{loss()};
      };
      GradcheckOptions options;
      options.directions = 1;
      GradcheckReport report = gradcheck(f, values, options);
      CHECK_MESSAGE(report.ok, report.failure);
      CHECK(report.compared >= 4);  // a ReLU's kink may take a direction out
    }
}
