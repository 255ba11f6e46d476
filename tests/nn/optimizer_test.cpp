// Optimisers and schedules against PyTorch's traces.
#include "nn/optimizer.h"

#include "autograd/functions.h"
#include "autograd/tape.h"
#include "nn/layers.h"
#include "nn/schedule.h"
#include "tests/nn/peers.h"

using namespace plumage;
using namespace plumage::test;

namespace {

/// Parameters param0, param1, .. of a file.
struct Parameters : Module {
  std::vector<Var> list;
  explicit Parameters(const Values& values) {
    for (int i = 0; values.has(message("param", i)); ++i)
      list.emplace_back(values.file_layout(message("param", i)).clone(), true);
  }
  void visit(const std::string& prefix, const Visitor& f) override {
    for (size_t i = 0; i < list.size(); ++i) f(join_name(prefix, message("param", i)), list[i], Role::weight);
  }
};

struct Kind {
  std::string name;
  OptimizerOptions options;
};
const std::vector<Kind> kKinds = {
    {"sgd_lr0.1", {.kind = "sgd", .lr = 0.1, .momentum = 0, .weight_decay = 0}},
    {"sgd_lr0.03_m0.9_wd1e-4", {.kind = "sgd", .lr = 0.03, .momentum = 0.9, .weight_decay = 1e-4}},
    {"sgd_nesterov_lr0.05_m0.8_wd5e-4",
     {.kind = "sgd", .lr = 0.05, .momentum = 0.8, .weight_decay = 5e-4, .nesterov = true}},
    {"adam_lr1e-3", {.kind = "adam", .lr = 1e-3, .weight_decay = 0}},
    {"adam_lr2e-3_b0.5_0.99_wd1e-2",
     {.kind = "adam", .lr = 2e-3, .weight_decay = 1e-2, .beta1 = 0.5, .beta2 = 0.99}},
    {"adamw_lr1e-3_wd0.05", {.kind = "adamw", .lr = 1e-3, .weight_decay = 0.05}}};

/// Gives v the gradient g.
void set_gradient(const Var& v, const Tensor& g) { backward(v, g); }

Var parameter(std::vector<double> values) {
  return Var(Tensor::from<double>(values, {int64_t(values.size())}), true);
}

}  // namespace

TEST_CASE("SGD, Adam and AdamW take PyTorch's steps") {
  for (const Values& values : committed_and_peers("optimisers.safetensors"))
    for (const Kind& kind : kKinds) {
      CAPTURE(kind.name);
      Parameters parameters(values);
      REQUIRE(parameters.list.size() >= 2);
      Optimizer optimizer(kind.options);
      optimizer.add("", parameters);
      for (int step = 1; step <= 5; ++step) {
        for (size_t i = 0; i < parameters.list.size(); ++i)
          set_gradient(parameters.list[i], values.file_layout(message("grad", i, ".step", step)));
        optimizer.step();
        for (size_t i = 0; i < parameters.list.size(); ++i) {
          CAPTURE(step);
          CHECK_CLOSE(parameters.list[i].value(),
                      values.file_layout(message(kind.name, ".param", i, ".step", step)), 1e-13);
          CHECK(!parameters.list[i].grad().defined());
        }
      }
    }
}

TEST_CASE("the cosine schedule is PyTorch's, by epoch and by step") {
  Tensor small = committed("optimisers.safetensors")("cosine_lr_0.03_20");
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    double wanted = small.to_vector()[size_t(epoch)] / 0.03;
    CHECK(!!(std::abs(schedule_factor({}, epoch, 1, 20) - wanted) <= 1e-12));
    CHECK(!!(std::abs(schedule_factor({.by_epoch = true}, 7 * epoch + 6, 7, 20) - wanted) <= 1e-12));
  }
  for (const Values& values : peers("optimisers.safetensors")) {
    auto rates = values("cosine_lr_0.03_200").to_vector();
    for (size_t epoch = 0; epoch < rates.size(); ++epoch)
      CHECK(!!(std::abs(0.03 * schedule_factor({}, int64_t(epoch), 1, 200) - rates[epoch]) <= 1e-14));
  }
}

TEST_CASE("schedules: warm-up, milestones, ends, errors") {
  CHECK(schedule_factor({.kind = "constant"}, 99, 10, 10) == 1);
  CHECK(schedule_factor({.kind = "constant", .warmup_epochs = 2}, 5, 10, 10) == doctest::Approx(0.25));
  CHECK(schedule_factor({.kind = "constant", .warmup_epochs = 2}, 20, 10, 10) == 1);
  ScheduleOptions steps{.kind = "step", .milestones = {60, 80}};
  CHECK(schedule_factor(steps, 599, 10, 100) == 1);
  CHECK(schedule_factor(steps, 600, 10, 100) == doctest::Approx(0.1));
  CHECK(schedule_factor(steps, 999, 10, 100) == doctest::Approx(0.01));
  CHECK(schedule_factor({}, 5, 1, 10) == doctest::Approx(0.5));                    // half way
  CHECK(schedule_factor({}, 500, 1, 10) == doctest::Approx(0));                    // past the end
  CHECK(schedule_factor({.warmup_epochs = 2}, 6, 1, 10) == doctest::Approx(0.5));  // cosine over what is left
  CHECK_THROWS_WITH_AS(schedule_factor({.kind = "linear"}, 0, 1, 1),
                       "schedule 'linear' is unknown: wanted cosine, step or constant", InputError);
  CHECK_THROWS_AS(schedule_factor({}, 0, 0, 1), InputError);
  CHECK_THROWS_AS(schedule_factor({.warmup_epochs = -1}, 0, 1, 1), InputError);
}

TEST_CASE("a parameter without a gradient stays as it is, and so does its momentum") {
  Parameters parameters{Values{}};
  parameters.list = {parameter({1}), parameter({1})};
  Optimizer optimizer({.lr = 0.1, .momentum = 0.5, .weight_decay = 0});
  optimizer.add("", parameters);
  Tensor one = Tensor::from<double>(std::vector<double>{1}, {1});
  set_gradient(parameters.list[0], one);
  set_gradient(parameters.list[1], one);
  optimizer.step();  // both: 0.9
  set_gradient(parameters.list[0], one);
  optimizer.step();  // first: momentum 1.5, 0.75
  CHECK(parameters.list[0].item() == doctest::Approx(0.75));
  CHECK(parameters.list[1].item() == doctest::Approx(0.9));
  set_gradient(parameters.list[1], one);
  optimizer.step();  // second: momentum 1.5
  CHECK(parameters.list[1].item() == doctest::Approx(0.75));
}

TEST_CASE("schedule, rate scale, constant groups and decay of norm parameters") {
  Init init{.dtype = DType::f64};
  Linear linear(2, 1, init), constant(2, 1, init);
  BatchNorm2d norm(2, init);
  auto one_step = [&](bool decay_norm) {
    for (Linear* l : {&linear, &constant}) {
      ops::fill(l->weight.value(), 1);
      ops::fill(l->bias.value(), 1);
    }
    ops::fill(norm.weight.value(), 1);
    Optimizer optimizer({.lr = 0.1, .momentum = 0, .weight_decay = 0.5, .decay_norm = decay_norm});
    optimizer.add("a", linear, 2);
    optimizer.add("b", constant, 1, true);
    optimizer.add("n", norm);
    for (auto& [name, value] : optimizer.named_parameters())
      set_gradient(value, Tensor::zeros(value.shape(), DType::f64));
    optimizer.step(0.25);
  };
  one_step(true);  // p -= lr * scale * schedule * decay * p
  CHECK(linear.weight.value().to_vector()[0] == doctest::Approx(1 - 0.1 * 2 * 0.25 * 0.5));
  CHECK(linear.bias.item() == doctest::Approx(1 - 0.1 * 2 * 0.25 * 0.5));
  CHECK(constant.weight.value().to_vector()[0] == doctest::Approx(1 - 0.1 * 0.5));
  CHECK(norm.weight.value().to_vector()[0] == doctest::Approx(1 - 0.1 * 0.25 * 0.5));
  one_step(false);
  CHECK(linear.weight.value().to_vector()[0] == doctest::Approx(1 - 0.1 * 2 * 0.25 * 0.5));
  CHECK(linear.bias.item() == 1);
  CHECK(norm.weight.value().to_vector()[0] == 1);
}

TEST_CASE("the gradients' norm, and what is no optimiser") {
  Parameters parameters{Values{}};
  parameters.list = {parameter({0, 0}), parameter({0}), parameter({0})};
  Optimizer optimizer({});
  optimizer.add("p", parameters);
  CHECK(optimizer.gradient_norm() == 0);
  set_gradient(parameters.list[0], Tensor::from<double>(std::vector<double>{2, 3}, {2}));
  set_gradient(parameters.list[1], Tensor::from<double>(std::vector<double>{6}, {1}));
  CHECK(optimizer.gradient_norm() == doctest::Approx(7));
  optimizer.clear_gradients();
  CHECK(optimizer.gradient_norm() == 0);
  CHECK_THROWS_WITH_AS(optimizer.add("p", parameters), "optimiser: parameter p.param0 was added twice",
                       InputError);
  CHECK_THROWS_AS(Optimizer({.kind = "lars"}), InputError);
  CHECK_THROWS_AS(Optimizer({.lr = -1}), InputError);
  CHECK_THROWS_AS(Optimizer({.lr = NAN}), InputError);
  CHECK_THROWS_AS(Optimizer({.weight_decay = -1}), InputError);
}

TEST_CASE("an optimiser goes on from its saved state as if it had not stopped") {
  for (std::string kind : {"sgd", "adam"}) {
    CAPTURE(kind);
    auto run = [&](bool interrupt) {
      Parameters parameters{Values{}};
      parameters.list = {parameter({1, 2})};
      auto optimizer = std::make_unique<Optimizer>(OptimizerOptions{.kind = kind});
      optimizer->add("p", parameters);
      for (int step = 0; step < 4; ++step) {
        set_gradient(parameters.list[0], Tensor::from<double>(std::vector<double>{step + 0.5, -1}, {2}));
        optimizer->step();
        if (!interrupt || step != 1) continue;
        std::map<std::string, Tensor> saved;
        optimizer->visit_state([&](const std::string& name, Tensor& value) { saved[name] = value.clone(); });
        CHECK(saved.contains("step"));
        CHECK(saved.contains(kind == "sgd" ? "sgd.momentum/p.param0" : "adam.second/p.param0"));
        optimizer = std::make_unique<Optimizer>(OptimizerOptions{.kind = kind});
        optimizer->add("p", parameters);
        optimizer->visit_state(
            [&](const std::string& name, Tensor& value) { value.copy_from(saved.at(name)); });
      }
      return parameters.list[0].value().to_vector();
    };
    CHECK(run(true) == run(false));
  }
}
