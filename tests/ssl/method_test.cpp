// What forward and after_step may and may not change, and that pairs without weight are the base method.
#include "tensor/profile.h"
#include "tests/ssl/expected_values.h"
#include "tests/ssl/tiny_methods.h"

using namespace plumage;
using namespace plumage::test;

namespace {

std::unique_ptr<Method> method_of(Base base, bool pairs) {
  if (pairs) return tiny_pairs(base);
  return tiny_base(base);
}

bool is_running_statistic(const std::string& name) {
  return name.ends_with("running_mean") || name.ends_with("running_var");
}

int64_t calls(Method& method) {
  Step step;
  profile_start();
  method.forward(tiny_views(), step, [](const std::vector<Term>& terms) {
    for (const Term& term : terms) backward(term.loss);
  });
  int64_t total = 0;
  for (const OpTime& op : profile_stop()) total += op.calls;
  method.clear_gradients();
  return total;
}

}  // namespace

TEST_CASE("forward is pure: the state keeps every bit, and a second forward gives the same bits") {
  for (Base base : {Base::moco, Base::moco_norm, Base::simsiam})
    for (bool pairs : {false, true}) {
      auto method = method_of(base, pairs);
      auto optimizers = tiny_optimizers(*method);
      for (int64_t i = 0; i < 2; ++i) {  // a state that is not the first one
        Step step;
        train_step(*method, tiny_views(i), step, optimizers, 1);
      }
      auto before = bytes_of(*method);
      Differentiated first = differentiate(*method, tiny_views(2)), second = differentiate(*method, tiny_views(2));
      CHECK(changed(bytes_of(*method), before).empty());
      CHECK(changed(bytes_of(first.step), bytes_of(second.step)).empty());
      CHECK(first.terms == second.terms);
      CHECK(first.gradients.size() == second.gradients.size());
      for (auto& [name, g] : first.gradients) CHECK(g.to_vector() == second.gradients.at(name).to_vector());
      CHECK(bytes_of(first.step).count("v_p") == pairs);
    }
}

TEST_CASE("after_step changes running statistics, key encoder, queue and bank, and nothing else") {
  for (Base base : {Base::moco, Base::simsiam}) {
    auto method = tiny_pairs(base);
    // Moves the encoder, so that the key encoder has something to follow.
    auto optimizers = tiny_optimizers(*method);
    Step moving;
    train_step(*method, tiny_views(0), moving, optimizers, 1);
    Step step;
    auto before = bytes_of(*method);
    method->forward(tiny_views(1), step, [](const std::vector<Term>&) {});
    CHECK(changed(bytes_of(*method), before).empty());
    method->after_step(step);
    auto names = changed(bytes_of(*method), before);
    int statistics = 0, keys = 0, queue = 0, bank = 0, other = 0;
    for (const std::string& name : names) {
      if (is_running_statistic(name)) ++statistics;
      else if (name.starts_with("key_encoder.") || name.starts_with("key_head.")) ++keys;
      else if (name == "queue.keys" || name == "queue.pointer") ++queue;
      else if (name == "bank.rows" || name == "bank.next" || name == "bank.filled") ++bank;
      else ++other;
    }
    bool moco = base == Base::moco;
    // 20 norms of ResNet-18 (twice for MoCo), 2 of the decoder, 4 of SimSiam's heads; mean and variance of each.
    CHECK(statistics == 2 * (moco ? 42 : 26));
    CHECK(keys == (moco ? 64 : 0));  // 20 convolutions, gammas and betas, two linear layers with biases
    CHECK(queue == (moco ? 2 : 0));
    CHECK(bank == 3);
    CHECK(other == 0);
  }
}

TEST_CASE("after_step, number by number: momentum 0.1, EMA 0.9, keys into the queue, v into the bank") {
  auto method = tiny_pairs(Base::moco);
  auto optimizers = tiny_optimizers(*method);
  Step moving;
  train_step(*method, tiny_views(0), moving, optimizers, 1);
  std::map<std::string, std::vector<double>> before;
  for (auto& [name, value] : method->state()) before[name] = value.value().to_vector();
  Step step;
  method->forward(tiny_views(1), step, [](const std::vector<Term>&) {});
  Tensor key = step.key.clone(), v = step.v.clone();
  method->after_step(step);
  std::map<std::string, Tensor> after;
  for (auto& [name, value] : method->state()) after[name] = value.value();

  // The slow encoder: 0.9 of itself, 0.1 of the fast one.
  for (const char* name : {"encoder.conv1.weight", "encoder.layer3.0.bn2.bias", "head.0.weight", "head.2.bias"}) {
    CAPTURE(name);
    std::vector<double> wanted = before.at(std::string("key_") + name);
    for (size_t i = 0; i < wanted.size(); ++i) wanted[i] = 0.9 * wanted[i] + 0.1 * before.at(name)[i];
    check_close(after.at(std::string("key_") + name), wanted, 1e-15);
  }
  // The first step wrote rows 0..3 of the queue of 8, this one rows 4..7; keys, not queries.
  check_close(after.at("queue.keys").slice(4, 4), key.to_vector(), 0);
  check_close(after.at("queue.keys").slice(0, 4), moving.key.to_vector(), 0);
  CHECK(after.at("queue.pointer").to_vector() == std::vector<double>{0});
  check_close(after.at("bank.rows").slice(4, 4), v.to_vector(), 0);
  CHECK(after.at("bank.filled").to_vector() == std::vector<double>{8});
  CHECK(after.at("bank.next").to_vector() == std::vector<double>{8});

  // The stem's running mean saw x' and then x, with momentum 0.1 each: mean of conv1(image) over all pixels. A 3x3
  // convolution's mean needs the convolution, so it is taken from a forward; the variance is the unbiased one.
  std::vector<double> mean = before.at("encoder.bn1.running_mean"), var = before.at("encoder.bn1.running_var");
  Tensor w = Tensor::from(before.at("encoder.conv1.weight"), {2, 3, 3, 3});
  Views views = tiny_views(1);
  for (const Tensor& image : {views.x1, views.x}) {
    std::vector<double> y = ops::conv2d(image, w, 1, 1).to_vector();
    for (size_t c = 0; c < 2; ++c) {
      double sum = 0, squares = 0, n = double(y.size() / 2);
      for (size_t i = c; i < y.size(); i += 2) sum += y[i];
      for (size_t i = c; i < y.size(); i += 2) squares += (y[i] - sum / n) * (y[i] - sum / n);
      mean[c] = 0.9 * mean[c] + 0.1 * sum / n;
      var[c] = 0.9 * var[c] + 0.1 * squares / (n - 1);
    }
  }
  check_close(after.at("encoder.bn1.running_mean"), mean);
  check_close(after.at("encoder.bn1.running_var"), var);
}

TEST_CASE("bn.synth: generated images touch the running statistics only where asked") {
  auto stem_mean = [](SynthNorm norm) {
    PairsOptions options = tiny_options();
    options.synth_norm = norm;
    auto method = tiny_pairs(Base::moco, options);
    Step step;
    method->forward(tiny_views(), step, [](const std::vector<Term>&) {});
    method->after_step(step);
    for (auto& [name, value] : method->state())
      if (name == "encoder.bn1.running_mean") return value.value().to_vector();
    return std::vector<double>();
  };
  auto untouched = stem_mean(SynthNorm::batch_only);
  CHECK(stem_mean(SynthNorm::update) != untouched);
  CHECK(stem_mean(SynthNorm::separate) == untouched);
}

TEST_CASE("weights loaded into the encoder reach what the method derives from it") {
  PairsOptions options = tiny_options();
  options.synth_norm = SynthNorm::separate;
  auto method = tiny_pairs(Base::moco, options);
  Init other{77, DType::f64};
  ResNet loaded(tiny_encoder(), other);
  loaded.visit("", [](const std::string&, Var& value, Role role) {
    if (role == Role::norm || role == Role::buffer) value.value().span<double>()[0] = 0.25;
  });
  copy_state(loaded, method->encoder());
  method->encoder_changed();
  auto state = bytes_of(*method);
  CHECK(state.at("key_encoder.conv1.weight") == state.at("encoder.conv1.weight"));
  CHECK(state.at("key_encoder.bn1.running_mean") == state.at("encoder.bn1.running_mean"));
  CHECK(state.at("synthetic_encoder.bn1.weight") == state.at("encoder.bn1.weight"));
  CHECK(state.at("synthetic_encoder.bn1.running_mean") == state.at("encoder.bn1.running_mean"));
}

TEST_CASE("saliency and generated images leave the heads' running statistics to the base method's own passes") {
  for (Base base : {Base::moco_norm, Base::simsiam}) {
    auto bare = tiny_base(base);
    auto wrapped = tiny_pairs(base);
    for (Method* method : {static_cast<Method*>(bare.get()), static_cast<Method*>(wrapped.get())}) {
      Step step;
      method->forward(tiny_views(), step, [](const std::vector<Term>&) {});
      method->after_step(step);
    }
    auto want = bytes_of(*bare), got = bytes_of(*wrapped);
    int compared = 0;
    for (auto& [name, bytes] : want) {
      if (!is_running_statistic(name) || name.starts_with("encoder.")) continue;
      CHECK_MESSAGE(got.at(name) == bytes, name);
      ++compared;
    }
    CHECK(compared > 0);
  }
}

TEST_CASE("alpha = nu = 0: no extra pass, and three steps leave the base method's bits") {
  for (Base base : {Base::moco, Base::simsiam}) {
    PairsOptions options = tiny_options();
    options.alpha = options.nu = 0;
    auto bare = tiny_base(base);
    auto wrapped = tiny_pairs(base, options);
    CHECK(calls(*bare) == calls(*wrapped));
    CHECK(calls(*tiny_pairs(base)) > 2 * calls(*bare));
    auto a = tiny_optimizers(*bare), b = tiny_optimizers(*wrapped);
    for (int64_t i = 0; i < 3; ++i) {
      Step step_a, step_b;
      StepResult result_a = train_step(*bare, tiny_views(i), step_a, a, 1);
      StepResult result_b = train_step(*wrapped, tiny_views(i), step_b, b, 1);
      CHECK(result_a.loss == result_b.loss);
      CHECK(result_a.gradient_norm == result_b.gradient_norm);
    }
    auto want = bytes_of(*bare), got = bytes_of(*wrapped);
    for (auto& [name, bytes] : want) CHECK_MESSAGE(got.at(name) == bytes, name);
  }
}

TEST_CASE("alpha alone makes no synthetic pair; nu alone trains no decoder") {
  PairsOptions options = tiny_options();
  options.nu = 0;
  auto reconstruction_only = differentiate(*tiny_pairs(Base::moco, options), tiny_views());
  CHECK(reconstruction_only.terms.count("L_R") == 1);
  CHECK(reconstruction_only.terms.count("L_Cp") == 0);
  CHECK_FALSE(reconstruction_only.step.eta.defined());
  CHECK_FALSE(reconstruction_only.step.bank.defined());
  options = tiny_options();
  options.alpha = 0;
  auto pairs_only = differentiate(*tiny_pairs(Base::moco, options), tiny_views());
  for (auto& [name, g] : pairs_only.gradients)
    if (name.starts_with("decoder."))
      for (double x : g.to_vector()) CHECK(x == 0);
}

TEST_CASE("the noise is the same for a step wherever it runs, and another for the next") {
  auto method = tiny_pairs(Base::simsiam);
  auto noise = [&](int64_t step, uint64_t seed) {
    Views views = tiny_views();
    views.step = step;
    views.seed = seed;
    return differentiate(*method, views).step.noise_g.to_vector();
  };
  CHECK(noise(5, 1) == noise(5, 1));
  CHECK(noise(5, 1) != noise(6, 1));
  CHECK(noise(5, 1) != noise(5, 2));
}

TEST_CASE("of a step: v_p = v + both noises, sized by eta_bar and s_bar; unit z; x_hat and x_hat_p from the decoder") {
  PairsOptions options = tiny_options();
  options.perturb.feature_units = false;
  auto method = tiny_pairs(Base::moco, options);
  Step step = differentiate(*method, tiny_views()).step;
  const int64_t n = method->encoder().feature_count();
  CHECK(step.v.shape() == Shape{kBatch, n});
  std::vector<double> v = step.v.to_vector(), g = step.noise_g.to_vector(), var = step.noise_var.to_vector(),
                      v_p = step.v_p.to_vector(), eta_bar = step.eta_bar.to_vector(), s_bar = step.s_bar.to_vector(),
                      s = step.s.to_vector();
  std::vector<double> sorted = s;
  std::sort(sorted.begin(), sorted.end());
  int64_t chosen = 0;
  for (size_t i = 0; i < v.size(); ++i) {
    CHECK_FALSE(!(std::abs(v_p[i] - v[i] - g[i] - var[i]) <= 1e-12));
    double unit_g = philox_normal({9, Purpose::noise_gradcam, 0}, i), unit_var = philox_normal({9, Purpose::noise_variance, 0}, i);
    CHECK_FALSE(!(std::abs(g[i] - unit_g * 0.5 * (1 - eta_bar[i])) <= 1e-12));
    bool low = s[i % size_t(n)] <= sorted[size_t(n) / 2 - 1];  // quantile 0.5
    chosen += low;
    CHECK_FALSE(!(std::abs(var[i] - (low ? unit_var * 0.25 * (1 - s_bar[i % size_t(n)]) : 0)) <= 1e-12));
  }
  CHECK(chosen == kBatch * n / 2);
  CHECK(step.gauge_values.at("selected_share").item() == 0.5);
  for (const Tensor& z : {step.z, step.z_hat, step.z_hat_p, step.key}) check_close(ops::l2_normalize(z).second, std::vector<double>(kBatch, 1.0));
  NoGrad off;
  Pass pass = Pass::batch_only();
  check_close(method->decoder().forward(Var(step.v), pass).value(), step.x_hat.to_vector());
  check_close(method->decoder().forward(Var(step.v_p), pass).value(), step.x_hat_p.to_vector());
  Var z_hat = method->base().project(method->base().embed(Var(step.x_hat), pass), pass);
  // The key encoder starts as a copy of the encoder, so that x'' through the latter gives the key.
  check_close(l2_normalize(method->base().project(method->base().embed(Var(step.x2), pass), pass)).value(), step.key.to_vector());
  check_close(l2_normalize(z_hat).value(), step.z_hat.to_vector());
}

TEST_CASE("bank.min_fill: no variance noise before there are enough batches; bank.source says what is kept") {
  PairsOptions options = tiny_options();
  options.bank_min_fill = 2;
  auto method = tiny_pairs(Base::moco, options);
  auto optimizers = tiny_optimizers(*method);
  Step first, second;
  train_step(*method, tiny_views(0), first, optimizers, 1);
  CHECK(ops::sum(ops::unary(UnaryFn::abs, first.noise_var)).item() == 0);
  CHECK(first.gauges.at("selected_share") == 0);
  train_step(*method, tiny_views(1), second, optimizers, 1);
  CHECK(ops::sum(ops::unary(UnaryFn::abs, second.noise_var)).item() > 0);
  // s is taken over a bank in which this step's v stands already.
  std::vector<double> rows = ops::concat({first.v, second.v}, 0).to_vector(), variance(size_t(first.v.size(1)), 0.0);
  for (size_t j = 0, n = variance.size(); j < n; ++j) {
    double mean = 0, count = 2 * kBatch;
    for (size_t i = j; i < rows.size(); i += n) mean += rows[i] / count;
    for (size_t i = j; i < rows.size(); i += n) variance[j] += (rows[i] - mean) * (rows[i] - mean) / count;
  }
  check_close(second.s, variance);
  // MoCo's x'' goes through the key encoder only, so `views` keeps x' alone; SimSiam keeps both.
  for (auto [base, source, rows] : {std::tuple{Base::moco, BankSource::views, 1}, {Base::moco, BankSource::all, 2},
                                    {Base::simsiam, BankSource::views, 2}, {Base::simsiam, BankSource::all, 3}, {Base::simsiam, BankSource::clean, 1}}) {
    PairsOptions o = tiny_options();
    o.bank_source = source;
    CHECK(differentiate(*tiny_pairs(base, o), tiny_views()).step.bank.size(0) == rows * kBatch);
  }
}

TEST_CASE("perturb.clamp: v_p is not negative, and the decoder sees the clamped one") {
  PairsOptions options = tiny_options();
  options.perturb.clamp = true;
  options.perturb.epsilon_g = 3;
  auto method = tiny_pairs(Base::moco, options);
  Step step = differentiate(*method, tiny_views()).step;
  std::vector<double> wanted = ops::add(ops::add(step.v, step.noise_g), step.noise_var).to_vector();
  int negative = 0;
  for (double& x : wanted) {
    negative += x < 0;
    x = std::max(x, 0.0);
  }
  CHECK(negative > 0);
  check_close(step.v_p, wanted, 0);
  NoGrad off;
  check_close(method->decoder().forward(Var(step.v_p), Pass::batch_only()).value(), step.x_hat_p.to_vector());
}

TEST_CASE("options that cannot be together are refused") {
  PairsOptions options = tiny_options();
  options.synth_loss = SynthLoss::simsiam;
  CHECK_THROWS_WITH_AS(tiny_pairs(Base::moco, options),
                       "synth.loss=simsiam: MoCo v2 has no predictor; use synth.loss=infonce or method=simsiam", InputError);
  CHECK_NOTHROW(tiny_pairs(Base::simsiam, options));
  CHECK_THROWS_AS(MoCoV2(tiny_encoder(), MoCoOptions{{}, 0, 6, 0.9}, Init{}), InputError);
}

TEST_CASE("L_Cp's backward computes norms without residual again, no other term's does") {
  for (Base base : {Base::moco, Base::simsiam}) {
    std::map<std::string, int64_t> norms;
    auto method = tiny_pairs(base);
    Step step;
    method->forward(tiny_views(), step, [&](const std::vector<Term>& terms) {
      for (const Term& term : terms) {
        profile_start();
        backward(term.loss);
        int64_t& count = norms[term.name];
        for (const OpTime& op : profile_stop())
          if (op.op == "batch_norm_apply") count += op.calls;
      }
    });
    method->clear_gradients();
    CHECK(norms.size() == 3);  // L_C, L_R, L_Cp
    // ResNet-18: the stem's norm and the first of each of eight blocks (what a skip's norm gives is kept by no rule). This one is
    // so narrow that convolutions of its first blocks are computed again as well, and for them once more the norms they read.
    for (auto& [name, count] : norms) CHECK_MESSAGE(count == (name == "L_Cp" ? 9 + 7 : 0), name, " ", count);
  }
}
