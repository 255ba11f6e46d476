// Residual blocks, the layers and ops under them, against PyTorch's values, in f64.
#include "autograd/tape.h"
#include "nn/resnet.h"
#include "tests/nn/peers.h"

using namespace plumage;
using namespace plumage::test;

namespace {

constexpr double kTolerance = 1e-11;
const Init kDouble{.seed = 1, .dtype = DType::f64};

/// y, dx, every parameter's gradient and the running statistics of a module in training mode.
void check_module(const Values& values, const std::string& name, Module& module, auto&& forward) {
  CAPTURE(name);
  load_state(module, values.under(name + ".param"));
  StatisticsUpdates updates;
  Var x(values(name + ".x"), true);
  Var y = forward(x, Pass::train(updates));
  CHECK_CLOSE(y.value(), values(name + ".y"), kTolerance);
  backward(y, values(name + ".dy"));
  CHECK_CLOSE(x.grad(), values(name + ".dx"), kTolerance);
  for (auto& [parameter, value] : module.parameters()) {
    CAPTURE(parameter);
    CHECK_CLOSE(value.grad(), values(name + ".grad." + parameter), kTolerance);
  }
  updates.apply();
  for (auto& [buffer, value] : module.state())
    if (!value.needs_grad()) CHECK_CLOSE(value.value(), values(name + ".after." + buffer), kTolerance);
}

}  // namespace

TEST_CASE("residual blocks are PyTorch's: values, every gradient, running statistics") {
  int checked = 0;
  for (const Values& values : committed_and_peers("blocks.safetensors"))
    for (std::string name : {"basic", "basic_down", "bottleneck", "bottleneck_down"}) {
      if (!values.has(name + ".x")) continue;
      Shape x = values(name + ".x").shape(), dy = values(name + ".dy").shape();
      bool bottleneck = name.starts_with("bottleneck");
      Init init = kDouble;
      ResidualBlock block(bottleneck, x[3], bottleneck ? dy[3] / 4 : dy[3], x[1] == dy[1] ? 1 : 2, init);
      check_module(values, name, block,
                   [&](const Var& v, const Pass& pass) { return block.forward(v, pass); });
      ++checked;
    }
  CHECK(checked >= 4);
}

TEST_CASE("a convolution that brings its norm's statistics is the convolution and the norm, to the bit") {
  for (int64_t groups : {1, 2})
    for (DType compute : {DType::f32, DType::bf16}) {
      CAPTURE(groups);
      Init init{.seed = 4};
      Conv2d conv(5, 7, 3, 2, 1, init);
      BatchNorm2d norm(7, init);
      Var x(ops::normal({4, 9, 9, 5}, {5, Purpose::test, 0}), true);
      Tensor skip = ops::normal({4, 5, 5, 7}, {5, Purpose::test, 1}), dy;
      auto run = [&](auto&& forward) {
        StatisticsUpdates updates;
        Pass pass = Pass::train(updates, groups);
        pass.compute = compute;
        Var y = forward(pass);
        if (!dy.defined()) dy = ops::cast(ops::normal(y.shape(), {5, Purpose::test, 2}), y.dtype());
        std::vector<Tensor> all = gradient(y, {x, conv.weight, norm.weight, norm.bias}, dy);
        updates.apply();
        all.insert(all.end(), {y.value(), norm.running_mean.value().to(Device{}), norm.running_var.value().to(Device{})});
        std::vector<std::vector<double>> numbers;
        for (const Tensor& t : all) numbers.push_back(t.to_vector());
        norm.running_mean.value().copy_from(Tensor::zeros({7}));
        norm.running_var.value().copy_from(Tensor::full({7}, 1));
        return numbers;
      };
      auto together = run([&](const Pass& pass) { return conv_norm(conv, norm, x, pass, Activation::relu, Var(skip)); });
      auto apart = run([&](const Pass& pass) { return norm.forward(conv.forward(x, pass), pass, Activation::relu, Var(skip)); });
      CHECK(together == apart);
    }
}

TEST_CASE("batch norm is PyTorch's: training, evaluation, gradients, running statistics") {
  for (const Values& values : peers("batchnorm.safetensors"))
    for (std::string name : {"bn0", "bn1", "bn2", "bn3"}) {
      CAPTURE(name);
      Init init = kDouble;
      Tensor x = values(name + ".x");
      BatchNorm2d norm(x.size(-1), init);
      norm.momentum = values(name + ".momentum").item();
      norm.weight.value().copy_from(values(name + ".weight"));
      norm.bias.value().copy_from(values(name + ".bias"));
      norm.running_mean.value().copy_from(values(name + ".running_mean0"));
      norm.running_var.value().copy_from(values(name + ".running_var0"));
      CHECK_CLOSE(norm.forward(Var(x), Pass::eval()).value(), values(name + ".y_eval"), kTolerance);
      StatisticsUpdates updates;
      Var in(x, true);
      Var y = norm.forward(in, Pass::train(updates));
      CHECK_CLOSE(y.value(), values(name + ".y_train"), kTolerance);
      backward(y, values(name + ".dy"));
      CHECK_CLOSE(in.grad(), values(name + ".dx"), kTolerance);
      CHECK_CLOSE(norm.weight.grad(), values(name + ".dweight"), kTolerance);
      CHECK_CLOSE(norm.bias.grad(), values(name + ".dbias"), kTolerance);
      updates.apply();
      CHECK_CLOSE(norm.running_mean.value(), values(name + ".running_mean1"), kTolerance);
      CHECK_CLOSE(norm.running_var.value(), values(name + ".running_var1"), kTolerance);
    }
}

TEST_CASE("convolution is PyTorch's") {
  for (const Values& values : peers("conv.safetensors")) {
    int checked = 0;
    for (int i = 0; i < 10; ++i) {
      std::string name = message("conv", i);
      CAPTURE(name);
      auto attributes = values(name + ".stride_pad_dil_groups").to_vector();
      if (attributes[2] != 1 || attributes[3] != 1) continue;  // dilation and groups: not in plumage
      Conv2d conv;
      conv.weight = Var(values(name + ".w"), true);
      conv.bias = Var(values(name + ".b"), true);
      conv.stride = int64_t(attributes[0]);
      conv.pad = int64_t(attributes[1]);
      Var x(values(name + ".x"), true);
      Var y = conv.forward(x, Pass::eval());
      CHECK_CLOSE(y.value(), values(name + ".y"), kTolerance);
      backward(y, values(name + ".dy"));
      CHECK_CLOSE(x.grad(), values(name + ".dx"), kTolerance);
      CHECK_CLOSE(conv.weight.grad(), values(name + ".dw"), kTolerance);
      CHECK_CLOSE(conv.bias.grad(), values(name + ".db"), kTolerance);
      ++checked;
    }
    CHECK(checked >= 7);
  }
}

TEST_CASE("pooling, linear layer and cross-entropy are PyTorch's") {
  for (const Values& values : peers("pool_linear_xent.safetensors")) {
    for (std::string name : {"pool0", "pool1", "pool2"}) {
      CAPTURE(name);
      auto window = values(name + ".k_stride_pad").to_vector();
      Var x(values(name + ".x"), true);
      Var y = max_pool(x, int64_t(window[0]), int64_t(window[1]), int64_t(window[2]));
      CHECK_CLOSE(y.value(), values(name + ".y"), 0);
      backward(y, values(name + ".dy"));
      CHECK_CLOSE(x.grad(), values(name + ".dx"), kTolerance);
    }
    Var image(values("gap.x"), true);
    Var pooled = global_avg_pool(image);
    CHECK_CLOSE(pooled.value(), values("gap.y").reshape(pooled.shape()), kTolerance);
    backward(pooled, values("gap.dy").reshape(pooled.shape()));
    CHECK_CLOSE(image.grad(), values("gap.dx"), kTolerance);

    Linear linear;
    linear.weight = Var(values("linear.w"), true);
    linear.bias = Var(values("linear.b"), true);
    Var x(values("linear.x"), true);
    Var y = linear.forward(x, Pass::eval());
    CHECK_CLOSE(y.value(), values("linear.y"), kTolerance);
    backward(y, values("linear.dy"));
    CHECK_CLOSE(x.grad(), values("linear.dx"), kTolerance);
    CHECK_CLOSE(linear.weight.grad(), values("linear.dw"), kTolerance);
    CHECK_CLOSE(linear.bias.grad(), values("linear.db"), kTolerance);

    Var logits(values("xent.logits"), true);
    Var loss = mean(cross_entropy(logits, values("xent.labels")));
    CHECK_CLOSE(loss.value(), values("xent.loss"), kTolerance);
    backward(loss);
    CHECK_CLOSE(logits.grad(), values("xent.dlogits"), kTolerance);
  }
}

TEST_CASE("split statistics: each group by itself, running statistics their average") {
  Init init = kDouble;
  BatchNorm2d norm(2, init);
  // Group 1: rows 0, 1; group 2: rows 2, 3. Means 1, 10 and 3, 30; unbiased variances 2, 0 and 8, 200.
  Tensor x = Tensor::from<double>(std::vector<double>{0, 10, 2, 10, 1, 20, 5, 40}, {4, 2});
  StatisticsUpdates updates;
  Var y = norm.forward(Var(x), Pass::train(updates, 2));
  double r = 1 / std::sqrt(1 + 1e-5);
  CHECK_CLOSE(y.value().slice(0, 2), Tensor::from<double>(std::vector<double>{-r, 0, r, 0}, {2, 2}), 1e-12);
  updates.apply();
  CHECK_CLOSE(norm.running_mean.value(), Tensor::from<double>(std::vector<double>{0.2, 2}, {2}), 1e-12);
  CHECK_CLOSE(norm.running_var.value(), Tensor::from<double>(std::vector<double>{0.9 + 0.5, 0.9 + 10}, {2}),
              1e-12);
}

TEST_CASE("statistics of one value are refused, and so is an update without a place for it") {
  Init init = kDouble;
  BatchNorm2d norm(3, init);
  Var x(Tensor::zeros({1, 3}, DType::f64));
  CHECK_THROWS_AS(norm.forward(x, Pass::batch_only()), ShapeError);
  CHECK_THROWS_AS(norm.forward(Var(Tensor::zeros({2, 3}, DType::f64)), Pass::batch_only(2)), ShapeError);
  CHECK_THROWS_AS(
      norm.forward(Var(Tensor::zeros({2, 3}, DType::f64)), Pass{.statistics = Statistics::batch_and_update}),
      InputError);
  CHECK(norm.forward(x, Pass::eval()).shape() == Shape{1, 3});
}
