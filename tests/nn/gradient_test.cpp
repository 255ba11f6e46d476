// Whole networks against central differences, in f64: with respect to the input and to every parameter.
#include "autograd/gradcheck.h"
#include "nn/decoder.h"
#include "nn/heads.h"
#include "tests/nn/peers.h"
#include "tests/threads_scope.h"

using namespace plumage;

namespace {

/// Kernels this small only wait for each other's threads.
struct OneThread : test::ThreadsScope {
  OneThread() : ThreadsScope(1) {}
};

/// Gradcheck of forward(module, x) with the module's parameters as inputs too.
GradcheckReport check(Module& module, const Tensor& x, const std::function<Var(const Var&)>& forward) {
  std::vector<Tensor> inputs = {x};
  for (auto& [name, value] : module.parameters()) inputs.push_back(value.value().clone());
  auto f = [&](const std::vector<Var>& in) {
    size_t i = 1;
    module.visit("", [&](const std::string&, Var& value, Role role) {
      if (role != Role::buffer) value = in[i++];
    });
    return std::vector<Var>{forward(in[0])};
  };
  // Thousands of ReLUs: some kink lies within any step, with a part in the sum too small to be found as one.
  return gradcheck(f, inputs, {.seed = 5, .tolerance = 1e-5, .directions = 1});
}

Tensor normal(const Shape& shape) { return ops::normal(shape, {.seed = 11}, 0, 1, DType::f64); }

}  // namespace

TEST_CASE("gradcheck: small ResNets in training and evaluation mode, with split statistics") {
  OneThread one_thread;
  for (auto [arch, pass] : {std::pair{"resnet18", Pass::batch_only(2)},
                            {"resnet18", Pass::eval()},
                            {"resnet50", Pass::batch_only()}}) {
    CAPTURE(arch);
    Init init{.seed = 1, .dtype = DType::f64};
    ResNet net({.arch = arch, .stem = Stem::small, .width = 2, .classes = 2}, init);
    auto report = check(net, normal({4, 16, 16, 3}),
                        [&, p = pass](const Var& x) { return net.logits(net.features(x, p), p); });
    CHECK_MESSAGE(report.ok, report.failure);
    CHECK(report.compared > 0);
  }
}

TEST_CASE("gradcheck: decoders and heads") {
  OneThread one_thread;
  Init init{.seed = 2, .dtype = DType::f64};
  Pass pass = Pass::batch_only();
  for (std::string arch : {"light", "residual", "resnet"}) {
    CAPTURE(arch);
    ResNetOptions encoder{.arch = "resnet18", .stem = Stem::small, .width = 1};
    std::vector<int64_t> widths = {3, 2};
    auto decoder = make_decoder(
        {.arch = arch, .latent = 3, .widths = arch == "resnet" ? std::vector<int64_t>{} : widths}, encoder, 4,
        8, init);
    auto report = check(*decoder, normal({3, 4}), [&](const Var& v) { return decoder->forward(v, pass); });
    CHECK_MESSAGE(report.ok, report.failure);
  }
  Mlp projector = simsiam_projector(4, 3, init), head = moco_head(4, 3, init);
  auto report = check(projector, normal({5, 4}), [&](const Var& v) { return projector.forward(v, pass); });
  CHECK_MESSAGE(report.ok, report.failure);
  report = check(head, normal({5, 4}), [&](const Var& v) { return head.forward(v, pass); });
  CHECK_MESSAGE(report.ok, report.failure);
}
