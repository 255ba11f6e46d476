#include "nn/resnet.h"

#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include "autograd/functions.h"
#include "autograd/tape.h"
#include "tensor/allocator.h"
#include "tensor/profile.h"

using namespace plumage;

namespace {

// "name shape" of each tensor, as PyTorch prints them: convolution weights OIHW.
std::string listing(Module& module) {
  std::ostringstream text;
  for (auto& [name, value] : module.state()) {
    Shape s = value.shape();
    text << name << ' ' << (s.rank() == 4 ? Shape{s[0], s[3], s[1], s[2]} : s) << '\n';
  }
  return text.str();
}

std::string expected_listing(const std::string& arch) {
  std::ifstream file(std::string(PLUMAGE_SOURCE_DIR) + "/tests/nn/expected/" + arch + "_names.txt");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("ResNet's names, shapes and counts are torchvision's") {
  // Counts: torchvision's models with 1000 classes.
  for (auto [arch, count] :
       {std::pair{"resnet18", 11689512}, {"resnet34", 21797672}, {"resnet50", 25557032}}) {
    CAPTURE(arch);
    Init init;
    ResNet net({.arch = arch, .classes = 1000}, init);
    CHECK(net.parameter_count() == count);
    CHECK(net.feature_count() == (arch == std::string("resnet50") ? 2048 : 512));
    CHECK(listing(net) == expected_listing(arch));
  }
}

TEST_CASE("ResNet's maps have the sizes that the stem gives") {
  Init init{.seed = 1};
  ResNet small({.arch = "resnet18", .stem = Stem::small, .width = 4}, init);
  ResNet imagenet({.arch = "resnet50", .width = 4, .classes = 7}, init);
  Var x(ops::normal({2, 32, 32, 3}, {}));
  CHECK(small.feature_map(x, Pass::eval()).shape() == Shape{2, 4, 4, 32});
  CHECK(imagenet.feature_map(x, Pass::eval()).shape() == Shape{2, 1, 1, 128});
  Var v = imagenet.features(x, Pass::eval());
  CHECK(v.shape() == Shape{2, 128});
  CHECK(imagenet.logits(v, Pass::eval()).shape() == Shape{2, 7});
  CHECK_THROWS_WITH_AS(small.logits(v, Pass::eval()), "resnet18: logits of a network without classes",
                       ShapeError);
}

TEST_CASE("a network that cannot be is refused") {
  Init init;
  CHECK_THROWS_WITH_AS(ResNet({.arch = "resnet19"}, init),
                       "arch 'resnet19' is unknown: wanted resnet18, resnet34 or resnet50", InputError);
  CHECK_THROWS_AS(ResNet({.width = 0}, init), InputError);
  CHECK_THROWS_AS(ResNet({.width = 1'000'000'000}, init), InputError);
  CHECK_THROWS_AS(ResNet({.classes = -1}, init), InputError);
}

TEST_CASE("a forward changes nothing until its updates are applied") {
  Init init{.seed = 2};
  ResNet net({.arch = "resnet18", .width = 4, .classes = 3}, init);
  auto values = [&] {
    std::vector<double> all;
    for (auto& [name, value] : net.state())
      for (double v : value.value().to_vector()) all.push_back(v);
    return all;
  };
  auto before = values();
  Var x(ops::normal({4, 64, 64, 3}, {}));
  StatisticsUpdates updates;
  Var loss = mean(square(net.logits(net.features(x, Pass::train(updates)), Pass::train(updates))));
  backward(loss);
  net.features(x, Pass::batch_only());
  net.features(x, Pass::eval());
  CHECK(values() == before);
  CHECK(updates.size() == 20);  // one a batch norm
  updates.apply();
  CHECK(updates.size() == 0);
  CHECK(values() != before);
  for (auto& [name, value] : net.parameters()) {
    CAPTURE(name);
    CHECK(value.grad().defined());
  }
}

TEST_CASE(
    "the compute type bf16 leaves parameters, features and gradients f32, and changes the numbers little") {
  Init init{.seed = 3};
  ResNet net({.arch = "resnet50", .width = 8, .classes = 5}, init);
  Var x(ops::normal({4, 32, 32, 3}, {}));
  Pass pass = Pass::eval();
  Var exact = net.features(x, pass);
  pass.compute = DType::bf16;
  Var v = net.features(x, pass);
  Pass training = Pass::batch_only();
  training.compute = DType::bf16;
  Var loss = mean(square(net.logits(net.features(x, training), training)));
  CHECK(v.dtype() == DType::f32);
  CHECK(loss.dtype() == DType::f32);
  backward(loss);
  for (auto& [name, value] : net.parameters()) CHECK(value.grad().dtype() == DType::f32);
  double error = ops::sum(ops::unary(UnaryFn::square, ops::sub(v.value(), exact.value()))).item();
  double size = ops::sum(ops::unary(UnaryFn::square, exact.value())).item();
  CHECK(!(std::sqrt(error / size) > 0.1));
  CHECK(error > 0);
}

TEST_CASE("norms folded into the filters, where nothing learns: the features stay the same") {
  for (const char* arch : {"resnet18", "resnet50"})
    for (DType compute : {DType::f32, DType::bf16}) {
      CAPTURE(arch);
      CAPTURE(name_of(compute));
      Init init{.seed = 5};
      ResNet net({.arch = arch, .width = 16}, init);
      uint64_t key = 0;
      net.visit("", [&](const std::string& name, Var& value, Role role) {  // statistics and norms that do something
        bool positive = name.ends_with("running_var") || (role == Role::norm && name.ends_with("weight"));
        if (role == Role::buffer || role == Role::norm)
          value.value().copy_from(ops::uniform(value.shape(), {9, Purpose::test, key++}, positive ? 0.5 : -0.3, positive ? 1.5 : 0.3));
      });
      Var x(ops::normal({2, 64, 64, 3}, {1}));
      Pass pass = Pass::eval();
      pass.compute = compute;
      std::vector<double> apart = net.features(x, pass).value().to_vector(), folded;
      {
        NoGrad nothing_learns;
        folded = net.features(x, pass).value().to_vector();
      }
      double difference = 0, size = 0;
      for (size_t i = 0; i < apart.size(); ++i) {
        difference += (folded[i] - apart[i]) * (folded[i] - apart[i]);
        size += apart[i] * apart[i];
      }
      CHECK(difference > 0);  // two ways
      CHECK_FALSE(!(std::sqrt(difference / size) <= (compute == DType::f32 ? 1e-5 : 3e-2)));
    }
}

TEST_CASE("norms folded once for many passes: the same bits, and nothing but convolutions and pooling from the second pass on") {
  for (DType compute : {DType::f32, DType::bf16}) {
    CAPTURE(name_of(compute));
    Init init{.seed = 5};
    ResNet net({.arch = "resnet18", .stem = Stem::small, .width = 32}, init);
    NoGrad nothing_learns;
    FoldedNorms folded;
    Pass pass = Pass::eval(), keeping = pass;
    pass.compute = keeping.compute = compute;
    keeping.folded = &folded;
    for (uint64_t n : {1, 2, 3}) {
      Var x(ops::normal({n == 3 ? 1 : 4, 32, 32, 3}, {n}));  // the last batch is often a smaller one
      std::vector<double> want = net.features(x, pass).value().to_vector();
      profile_start();
      CHECK(net.features(x, keeping).value().to_vector() == want);
      for (const OpTime& op : profile_stop()) {
        CAPTURE(op.op);
        bool folding = op.op == "binary" || op.op == "affine";
        if (folding) CHECK(n == 1);
        CHECK((folding || op.op == "unary" || op.op == "conv2d_frozen" || op.op == "global_avg_pool" || op.op == "cast"));
      }
    }
  }
}

TEST_CASE("what backward computes again: the same gradients to the bit, in less memory") {
  for (const char* arch : {"resnet18", "resnet50"})
    for (DType compute : {DType::f32, DType::bf16}) {
      INFO(arch, " ", std::string(name_of(compute)));
      std::vector<std::vector<double>> gradients[2];
      int64_t peak[2];
      for (bool recompute : {false, true}) {
        Init init{5};
        ResNet net({.arch = arch, .width = 8}, init);
        Tensor x = ops::normal({4, 64, 64, 3}, {3, Purpose::test, 1}, 0, 1);
        Pass pass = Pass::batch_only(2);
        pass.compute = compute;
        pass.recompute = recompute;
        auto step = [&] {
          Var v = net.features(Var(x), pass);
          backward(sum(square(v)));
        };
        step();  // scratch memory is there from now on
        net.clear_gradients();
        int64_t before = Allocator::cpu().statistics().current_bytes;
        Allocator::cpu().reset_peak();
        step();
        peak[recompute] = Allocator::cpu().statistics().peak_bytes - before;
        for (auto& [name, value] : net.parameters()) gradients[recompute].push_back(value.grad().to_vector());
      }
      CHECK(gradients[1] == gradients[0]);
      CHECK(double(peak[1]) < 0.9 * double(peak[0]));
    }
}

TEST_CASE("backward, where convolutions begin the gradients of norms, gives each parameter what its own gradient is") {
  Init init;
  ResNetOptions options{"resnet50"};
  options.width = 32, options.classes = 5;
  ResNet net(options, init);
  Tensor x = ops::normal({4, 64, 64, 3}, {1, Purpose::test, 1}, 0, 1), c = ops::normal({4, 5}, {1, Purpose::test, 2}, 0, 1);
  std::vector<std::pair<std::string, Var>> weights;
  net.visit("", [&](const std::string& name, Var& value, Role) {
    if (value.needs_grad()) weights.emplace_back(name, value);
  });
  StatisticsUpdates updates;
  Pass pass = Pass::train(updates, 2);
  Var loss = sum(mul(net.logits(net.features(Var(x), pass), pass), Var(c)));
  std::vector<Var> leaves;
  for (auto& [name, value] : weights) leaves.push_back(value);
  std::vector<Tensor> wanted = gradient(loss, leaves);
  backward(loss);
  for (size_t i = 0; i < leaves.size(); ++i) {
    CAPTURE(weights[i].first);
    std::vector<double> a = leaves[i].grad().to_vector(), b = wanted[i].to_vector();
    double apart = 0, size = 0;
    for (size_t j = 0; j < a.size(); ++j) apart += (a[j] - b[j]) * (a[j] - b[j]), size += b[j] * b[j];
    CHECK(apart <= 1e-8 * size);  // rms over rms 1e-4; some 1e-5 comes
  }
}

TEST_CASE("a norm whose gradient has been taken holds on to nothing that could compute it again") {
  Var x(ops::normal({64, 4}, {3, Purpose::test, 4}, 0, 1), true), one(Tensor::full({4}, 1), true), zero(Tensor::zeros({4}), true);
  BatchNormOptions options;
  options.recompute = true;
  Var y = batch_norm(affine(x, 2, 1), one, zero, {}, options).y;
  CHECK(y.node()->recompute);
  CHECK(y.node()->recompute().to_vector() == y.value().to_vector());
  backward(sum(square(y)));
  CHECK_FALSE(y.node()->recompute);
}

TEST_CASE("what backward computes again is there as often as it is asked for") {
  Init init{6};
  ResNet net({.arch = "resnet18", .width = 4}, init);
  Var x(ops::normal({2, 32, 32, 3}, {3, Purpose::test, 2}, 0, 1), true);
  Pass pass = Pass::batch_only();
  auto slope = [&] { return sum(square(net.features(x, pass))); };
  std::vector<double> want = gradient(slope(), {x})[0].to_vector();
  pass.recompute = true;
  Var loss = slope();
  CHECK(gradient(loss, {x})[0].to_vector() == want);  // keeps the graph
  CHECK(gradient(loss, {x})[0].to_vector() == want);
  backward(loss);
  CHECK(x.grad().to_vector() == want);
}
