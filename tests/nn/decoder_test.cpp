// Decoders: what they make, from which sizes, PyTorch's numbers, what is refused.
#include "nn/decoder.h"

#include "autograd/tape.h"
#include "tests/nn/peers.h"

using namespace plumage;
using namespace plumage::test;

namespace {

std::map<std::string, Shape> shapes(Module& module) {
  std::map<std::string, Shape> out;
  for (auto& [name, value] : module.state()) out[name] = value.shape();
  return out;
}

}  // namespace

TEST_CASE("every decoder makes pictures of the size asked for, and all of it learns") {
  struct Case {
    DecoderOptions decoder;
    ResNetOptions encoder;
    int64_t px;
  };
  std::vector<Case> cases = {
      {{.arch = "light"}, {.arch = "resnet18", .width = 8}, 64},
      {{.arch = "light"}, {.arch = "resnet18", .width = 8}, 48},
      {{.arch = "light", .widths = {6, 4}}, {.arch = "resnet50", .width = 4}, 20},
      {{.arch = "residual"}, {.arch = "resnet18", .width = 8}, 64},
      {{.arch = "residual", .widths = {8, 6, 4}}, {.arch = "resnet50", .width = 4}, 24},
      {{.arch = "resnet", .latent = 16}, {.arch = "resnet18", .width = 4}, 64},
      {{.arch = "resnet", .latent = 0}, {.arch = "resnet34", .width = 2}, 32},
      {{.arch = "resnet", .latent = 16}, {.arch = "resnet50", .width = 2}, 64},
      {{.arch = "resnet", .latent = 16}, {.arch = "resnet50", .stem = Stem::small, .width = 2}, 24}};
  for (const Case& c : cases) {
    CAPTURE(c.decoder.arch);
    CAPTURE(c.encoder.arch);
    CAPTURE(c.px);
    Init init{.seed = 1};
    ResNet encoder(c.encoder, init);
    auto decoder = make_decoder(c.decoder, c.encoder, encoder.feature_count(), c.px, init);
    Var v(ops::normal({2, encoder.feature_count()}, {}));
    StatisticsUpdates updates;
    Var picture = decoder->forward(v, Pass::train(updates));
    CHECK(picture.shape() == Shape{2, c.px, c.px, 3});
    CHECK(ops::mean(ops::unary(UnaryFn::abs, picture.value())).item() < 5);  // not many times too bright
    backward(mean(square(picture)));
    for (auto& [name, value] : decoder->parameters()) {
      CAPTURE(name);
      CHECK(value.grad().defined());
    }
    Pass half = Pass::batch_only();
    half.compute = DType::bf16;
    CHECK(decoder->forward(v, half).dtype() == DType::f32);
    CHECK(decoder->forward(v, Pass::eval()).shape() == picture.shape());
  }
}

TEST_CASE("the mirrored decoder has the encoder's blocks in reverse") {
  Init init;
  ResNetOptions encoder{.arch = "resnet50", .width = 2};
  auto decoder = make_decoder({.arch = "resnet", .latent = 16}, encoder, 64, 64, init);
  auto s = shapes(*decoder);
  CHECK(s["latent.weight"] == Shape{16, 64});
  CHECK(s["fc.weight"] == Shape{2 * 2 * 64, 16});          // the encoder's last map, 64 channels
  CHECK(s["stage1.0.conv2.weight"] == Shape{8, 3, 3, 8});  // to layer3's 8 x 4 channels
  CHECK(s["stage1.0.skip.0.weight"] == Shape{32, 1, 1, 64});
  CHECK(s["stage4.2.conv3.weight"] == Shape{8, 1, 1, 2});  // layer1's
  CHECK(s["out.weight"] == Shape{3, 3, 3, 8});
  CHECK(s["out.bias"] == Shape{3});
  for (auto [stage, blocks] : {std::pair{1, 3}, {2, 6}, {3, 4}, {4, 3}}) {
    CHECK(s.contains(message("stage", stage, ".", blocks - 1, ".conv1.weight")));
    CHECK(!s.contains(message("stage", stage, ".", blocks, ".conv1.weight")));
  }
}

TEST_CASE("the residual decoder is PyTorch's, with every gradient") {
  Values values = committed("decoder.safetensors");
  Init init{.seed = 1, .dtype = DType::f64};
  auto decoder = make_decoder({.arch = "residual", .widths = {3, 2}}, {}, 5, 8, init);
  load_state(*decoder, values.under("residual.param"));
  StatisticsUpdates updates;
  Var v(values("residual.x"), true);
  Var picture = decoder->forward(v, Pass::train(updates));
  CHECK_CLOSE(picture.value(), values("residual.y"), 1e-11);
  backward(picture, values("residual.dy"));
  CHECK_CLOSE(v.grad(), values("residual.dx"), 1e-11);
  for (auto& [name, value] : decoder->parameters()) {
    CAPTURE(name);
    CHECK_CLOSE(value.grad(), values("residual.grad." + name), 1e-11);
  }
  // Running variances of a skip: PyTorch's, as it too normalises before the upsampling.
  updates.apply();
  for (auto& [name, value] : decoder->state())
    if (!value.needs_grad()) CHECK_CLOSE(value.value(), values("residual.after." + name), 1e-11);
}

TEST_CASE("a frozen decoder's picture is the same with its norms folded into the filters") {
  for (const char* arch : {"light", "residual", "resnet"}) {
    CAPTURE(arch);
    Init init;
    std::unique_ptr<Decoder> decoder = make_decoder({.arch = arch}, {.arch = "resnet18", .width = 16}, 32, 64, init);
    Tensor v = ops::normal({2, 32}, {5, Purpose::test, 1});
    Pass pass = Pass::eval();
    Var recorded = decoder->forward(Var(v, true), pass);
    NoGrad no_grad;
    CHECK_CLOSE(decoder->forward(Var(v), pass).value(), recorded.value(), 1e-4);
  }
}

TEST_CASE("a decoder that cannot be is refused in one line") {
  Init init;
  ResNetOptions encoder{.arch = "resnet18", .width = 4};
  auto refusal = [&](const DecoderOptions& options, int64_t px, int64_t features = 32) {
    return thrown<InputError>([&] { make_decoder(options, encoder, features, px, init); });
  };
  CHECK(refusal({.arch = "dcgan"}, 64) == "decoder 'dcgan' is unknown: wanted light, residual or resnet");
  CHECK(refusal({.arch = "resnet"}, 50) ==
        "decoder 'resnet' upsamples by 32 and cannot make 50 pixels: use a multiple of 32 up to 2048");
  CHECK(contains(refusal({.arch = "light", .widths = {4, 4, 4}}, 60),
                 "upsamples by 8 and cannot make 60 pixels"));
  CHECK(contains(refusal({.arch = "light"}, 35), "an even number of pixels"));
  CHECK(contains(refusal({.arch = "light", .widths = {0}}, 32), "width 0"));
  CHECK(contains(refusal({.arch = "light"}, 0), "0 pixels"));
  CHECK(contains(refusal({.arch = "light"}, 1'000'000'000), "1000000000 pixels"));
  CHECK(contains(refusal({.arch = "resnet", .latent = -1}, 64), "by way of -1"));
  CHECK(contains(refusal({.arch = "light"}, 64, 0), "from 0 numbers"));
}
