// One step of training: what it updates, and that a number that is not finite stops it before anything has changed.
#include "ssl/train_step.h"

#include <limits>

#include "ssl/decoder_pretraining.h"
#include "ssl/supervised.h"
#include "tests/ssl/expected_values.h"
#include "tests/ssl/tiny_methods.h"

using namespace plumage;
using namespace plumage::test;

namespace {

/// A finite loss with an infinite gradient: sqrt at 0.
class Broken : public Method {
 public:
  Broken() : encoder_(tiny_encoder(), init_) { weight_ = Var(Tensor::zeros({3}, DType::f64), true); }
  void forward(const Views&, Step&, const Emit& emit) override { emit({{"L_C", sum(sqrt(weight_)), 1}}); }
  void after_step(Step&) override { ++after_steps; }
  void add_parameters(Optimizer& encoder, Optimizer&) override { encoder.add("", *this); }
  ResNet& encoder() override { return encoder_; }
  void visit(const std::string& prefix, const Visitor& f) override { f(join_name(prefix, "weight"), weight_, Role::weight); }
  int after_steps = 0;

 private:
  Init init_;
  ResNet encoder_;
  Var weight_;
};

std::map<std::string, std::vector<double>> states_of(Optimizers& optimizers) {
  std::map<std::string, std::vector<double>> out;
  for (auto [prefix, optimizer] : {std::pair{"encoder/", &optimizers.encoder}, {"decoder/", &optimizers.decoder}})
    optimizer->visit_state([&, p = std::string(prefix)](const std::string& name, Tensor& value) { out[p + name] = value.to_vector(); });
  return out;
}

}  // namespace

TEST_CASE("the result is eq. 8's sum and the length of the whole gradient; gradients are complete before the update") {
  PairsOptions options = tiny_options();
  options.alpha = 0.7;
  options.nu = 0.4;
  auto method = tiny_pairs(Base::moco, options);
  Differentiated wanted = differentiate(*method, tiny_views());
  auto optimizers = tiny_optimizers(*method);
  auto before = bytes_of(*method);
  Step step;
  bool called = false;
  StepResult result = train_step(*method, tiny_views(), step, optimizers, 1, [&](const Step&) {
    called = true;
    CHECK(changed(bytes_of(*method), before).empty());
    for (auto& [name, g] : gradients_of(*method)) CHECK(g.to_vector() == wanted.gradients.at(name).to_vector());
  });
  CHECK(called);
  CHECK(step.terms == wanted.terms);
  CHECK(result.loss == doctest::Approx(wanted.terms.at("L_C") + 0.7 * wanted.terms.at("L_R") + 0.4 * wanted.terms.at("L_Cp")).epsilon(1e-14));
  double squares = 0;
  for (auto& [name, g] : wanted.gradients)
    for (double x : g.to_vector()) squares += x * x;
  CHECK(result.gradient_norm == doctest::Approx(std::sqrt(squares)).epsilon(1e-12));

  // SGD's first step: w - lr (g + decay w); Adam's: w - lr sign(g), nearly.
  std::map<std::string, std::vector<double>> old;
  for (auto& [name, bytes] : before) {
    old[name].resize(bytes.size() / 8);
    std::memcpy(old[name].data(), bytes.data(), bytes.size());
  }
  for (auto& [name, value] : method->parameters()) {
    if (name.starts_with("key_")) continue;
    CAPTURE(name);
    std::vector<double> w = old.at(name), g = wanted.gradients.at(name).to_vector();
    for (size_t i = 0; i < w.size(); ++i)
      w[i] -= name.starts_with("decoder.") ? 1e-3 * g[i] / (std::abs(g[i]) + 1e-8) : 0.05 * (g[i] + 1e-4 * w[i]);
    check_close(value.value(), w, 1e-11);
    CHECK_FALSE(value.grad().defined());
  }
}

TEST_CASE("a loss term that is not finite is named, and everything is as before the step") {
  auto method = tiny_pairs(Base::moco);
  auto optimizers = tiny_optimizers(*method);
  Step step;
  train_step(*method, tiny_views(0), step, optimizers, 1);
  auto state = bytes_of(*method);
  auto momenta = states_of(optimizers);
  for (double bad : {double(NAN), std::numeric_limits<double>::infinity()})
    for (const char* term : {"L_R", "L_C"}) {
      Views views = tiny_views(1);
      Tensor& image = std::string(term) == "L_R" ? views.x : views.x1;
      image.data<double>()[5] = bad;
      Step broken;
      CHECK_THROWS_WITH_AS(train_step(*method, views, broken, optimizers, 1),
                           doctest::Contains(message("step 1: the loss term ", term, " is ").c_str()), MachineError);
      CHECK(changed(bytes_of(*method), state).empty());
      CHECK(states_of(optimizers) == momenta);
    }
  // And the step after it is what it would have been.
  auto twin = tiny_pairs(Base::moco);
  auto twin_optimizers = tiny_optimizers(*twin);
  Step a, b, c;
  train_step(*twin, tiny_views(0), a, twin_optimizers, 1);
  CHECK(train_step(*method, tiny_views(1), b, optimizers, 1).loss == train_step(*twin, tiny_views(1), c, twin_optimizers, 1).loss);
  CHECK(changed(bytes_of(*method), bytes_of(*twin)).empty());
}

TEST_CASE("a gradient that is not finite stops the step too, and names the parameter") {
  Broken method;
  auto optimizers = tiny_optimizers(method);
  Step step;
  CHECK_THROWS_WITH_AS(train_step(method, {}, step, optimizers, 1), "step 0: the gradient of weight is not finite; try a smaller optim.lr",
                       MachineError);
  CHECK(method.after_steps == 0);
  CHECK(method.state()[0].second.value().to_vector() == std::vector<double>{0, 0, 0});
}

TEST_CASE("SimSiam: the predictor's rate does not follow the schedule, the rest does") {
  for (bool fixed : {true, false}) {
    SimSiam method(tiny_encoder(), {{}, 8, 5, fixed}, Init{3, DType::f64});
    auto optimizers = tiny_optimizers(method);
    auto before = bytes_of(method);
    Step step;
    train_step(method, tiny_views(), step, optimizers, 0);  // the schedule's end: a factor of 0
    int predictor = 0, other = 0;
    for (const std::string& name : changed(bytes_of(method), before)) {
      if (name.ends_with("running_mean") || name.ends_with("running_var")) continue;
      ++(name.starts_with("predictor.") ? predictor : other);
    }
    CHECK(predictor == (fixed ? 5 : 0));  // two weights, gamma, beta, one bias
    CHECK(other == 0);
  }
}

TEST_CASE("SimSiam is symmetric in its views") {
  auto method = tiny_base(Base::simsiam);
  Views views = tiny_views(), swapped = views;
  std::swap(swapped.x1, swapped.x2);
  Differentiated a = differentiate(*method, views), b = differentiate(*method, swapped);
  CHECK(a.terms.at("L_C") == doctest::Approx(b.terms.at("L_C")).epsilon(1e-14));
  for (auto& [name, g] : a.gradients) check_close(b.gradients.at(name), g.to_vector(), 1e-11);
}

TEST_CASE("decoder pre-training: its loss falls; a frozen encoder stays as it is, else it learns along") {
  for (bool frozen : {true, false}) {
    CAPTURE(frozen);
    Init encoder_init{3, DType::f64}, decoder_init{4, DType::f64};
    auto encoder = std::make_unique<ResNet>(tiny_encoder(), encoder_init);
    DecoderOptions options{.arch = "light", .widths = {4, 4}};
    auto decoder = make_decoder(options, tiny_encoder(), encoder->feature_count(), kPixels, decoder_init);
    DecoderPretraining method(std::move(encoder), std::move(decoder), frozen);
    auto optimizers = tiny_optimizers(method);
    auto before = bytes_of(method);
    double first = 0, last = 0;
    for (int i = 0; i < 30; ++i) {
      Step step;
      last = train_step(method, tiny_views(), step, optimizers, 1).loss;
      if (i == 0) first = last;
    }
    CHECK(last < first);
    auto moved = changed(bytes_of(method), before);
    auto has = [&](const std::string& name) { return std::count(moved.begin(), moved.end(), name) == 1; };
    CHECK(has("decoder.out.weight"));
    CHECK(has("encoder.conv1.weight") == !frozen);
    CHECK(has("encoder.bn1.running_mean") == !frozen);
    if (frozen)
      for (const std::string& name : moved) CHECK_MESSAGE(name.starts_with("decoder."), name);
  }
}

TEST_CASE("supervised training learns its labels") {
  ResNetOptions options = tiny_encoder();
  options.classes = 3;
  Supervised method(options, {}, Init{3, DType::f64});
  auto optimizers = tiny_optimizers(method);
  Views views = tiny_views();
  views.labels = Tensor::from(std::vector<int64_t>{0, 1, 2, 1}, {4});
  double loss = 0;
  for (int i = 0; i < 40; ++i) {
    Step step;
    loss = train_step(method, views, step, optimizers, 1).loss;
    if (i == 0) CHECK(loss == doctest::Approx(step.terms.at("cross_entropy")));
  }
  CHECK(loss < 0.2);
}
