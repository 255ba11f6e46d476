// Copying, freezing and averaging whole modules; heads.
#include "autograd/tape.h"
#include "nn/heads.h"
#include "nn/resnet.h"
#include "tests/nn/peers.h"

using namespace plumage;
using namespace plumage::test;

namespace {

std::vector<std::string> names(Module& module) {
  std::vector<std::string> list;
  for (auto& [name, value] : module.state()) list.push_back(name);
  return list;
}

}  // namespace

TEST_CASE("copy_state makes a copy of its own; another network is refused by name") {
  Init init{.seed = 1}, other{.seed = 2};
  Linear a(3, 2, init), b(3, 2, other);
  CHECK(difference(a.weight.value(), b.weight.value()) > 0);
  copy_state(a, b);
  CHECK_CLOSE(a.weight.value(), b.weight.value(), 0);
  ops::fill(a.weight.value(), 0);
  CHECK(difference(a.weight.value(), b.weight.value()) > 0);
  Linear wide(4, 2, init);
  CHECK_THROWS_WITH_AS(copy_state(wide, b), "copy_state: weight has shape [2, 4], the target's has [2, 3]",
                       ShapeError);
  BatchNorm2d norm(2, init);
  CHECK_THROWS_AS(copy_state(norm, b), ShapeError);
}

TEST_CASE("a moving average of parameters: PyTorch's formula, the source untouched") {
  Init init{.seed = 3, .dtype = DType::f64}, other{.seed = 4, .dtype = DType::f64};
  Mlp query = moco_head(5, 3, init), key = moco_head(5, 3, other);
  key.set_needs_grad(false);
  auto q = query.parameters(), k = key.parameters();
  std::vector<ops::EmaParameter> list;
  std::vector<Tensor> wanted;
  for (size_t i = 0; i < q.size(); ++i) {
    list.push_back({k[i].second.value(), q[i].second.value()});
    wanted.push_back(ops::add(ops::scale(k[i].second.value(), 0.9), ops::scale(q[i].second.value(), 0.1)));
  }
  Tensor before = q[0].second.value().clone();
  ops::ema(list, 0.9);
  for (size_t i = 0; i < q.size(); ++i) CHECK_CLOSE(key.parameters()[i].second.value(), wanted[i], 1e-15);
  CHECK_CLOSE(q[0].second.value(), before, 0);

  for (const Values& values : peers("moco_queue.safetensors")) {
    Tensor theta = values("theta_k").clone();
    std::vector<ops::EmaParameter> one = {{theta, values("theta_q")}};
    ops::ema(one, values("m").item());
    CHECK_CLOSE(theta, values("theta_k_new"), 1e-15);
  }
}

TEST_CASE("a frozen module takes no gradient and still lets one through") {
  Init init{.seed = 5};
  Linear frozen(3, 2, init), learning(4, 3, init);
  frozen.set_needs_grad(false);
  Var x(ops::normal({2, 4}, {}));
  backward(mean(square(frozen.forward(learning.forward(x, {}), {}))));
  CHECK(!frozen.weight.grad().defined());
  CHECK(learning.weight.grad().defined());
  learning.clear_gradients();
  CHECK(!learning.weight.grad().defined());
  CHECK(frozen.parameter_count() == 8);
}

TEST_CASE("heads are named as torch.nn.Sequential numbers them") {
  Init init;
  Mlp moco = moco_head(6, 4, init), projector = simsiam_projector(6, 5, init),
      predictor = simsiam_predictor(5, 2, init);
  CHECK(names(moco) == std::vector<std::string>{"0.weight", "0.bias", "2.weight", "2.bias"});
  CHECK(names(projector) == std::vector<std::string>{"0.weight", "1.weight", "1.bias", "1.running_mean",
                                                     "1.running_var", "3.weight", "4.weight", "4.bias",
                                                     "4.running_mean", "4.running_var", "6.weight",
                                                     "7.running_mean", "7.running_var"});
  CHECK(names(predictor) == std::vector<std::string>{"0.weight", "1.weight", "1.bias", "1.running_mean",
                                                     "1.running_var", "3.weight", "3.bias"});
  CHECK(moco.parameter_count() == 6 * 6 + 6 + 6 * 4 + 4);
  Var v(ops::normal({3, 6}, {}));
  CHECK(moco.forward(v, Pass::eval()).shape() == Shape{3, 4});
  Var z = projector.forward(v, Pass::batch_only());
  CHECK(predictor.forward(z, Pass::batch_only()).shape() == Shape{3, 5});
  // The last norm has no gamma or beta: z has mean 0 in every column.
  CHECK_CLOSE(ops::sum_to(z.value(), {1, 5}), Tensor::zeros({1, 5}), 1e-5);
}

TEST_CASE("the same seed gives the same network, another seed another; deviations are He's and PyTorch's") {
  auto weight = [](uint64_t seed) {
    Init init{.seed = seed};
    return Conv2d(64, 128, 3, 1, 1, init).weight.value();
  };
  CHECK_CLOSE(weight(1), weight(1), 0);
  CHECK(difference(weight(1), weight(2)) > 0.01);
  double variance = ops::mean(ops::unary(UnaryFn::square, weight(1))).item();
  CHECK(variance == doctest::Approx(2.0 / (128 * 9)).epsilon(0.02));  // 73,728 draws: 0.5 % standard error
  Init init{.seed = 3};
  Tensor linear = Linear(100, 300, init).weight.value();
  CHECK(ops::mean(ops::unary(UnaryFn::square, linear)).item() == doctest::Approx(0.01 / 3).epsilon(0.03));
  for (double value : linear.to_vector()) CHECK_UNARY(std::abs(value) <= 0.1);
}
