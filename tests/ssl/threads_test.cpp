// A step gives the same bits for any number of threads: every sum is cut by shape alone.
#include "tests/ssl/tiny_methods.h"
#include "tests/threads_scope.h"

using namespace plumage;
using namespace plumage::test;

namespace {

std::map<std::string, std::string> state_after_two_steps(int threads) {
  ThreadsScope scope(threads);
  Init init{3, DType::f32}, decoder_init{4, DType::f32}, pairs_init{5, DType::f32};
  ResNetOptions encoder{"resnet18", Stem::imagenet, 32};
  auto base = std::make_unique<MoCoV2>(encoder, MoCoOptions{{}, 32, 64, 0.9, true}, init);
  DecoderOptions decoder{.arch = "light", .widths = {64, 32, 32}};
  auto h = make_decoder(decoder, encoder, base->encoder().feature_count(), 64, decoder_init);
  PairsOptions options = tiny_options();
  DiscriminativePairs method(std::move(base), std::move(h), options, pairs_init);
  auto optimizers = tiny_optimizers(method);
  for (int64_t i = 0; i < 2; ++i) {
    Views views = tiny_views(i, DType::f32);
    uint64_t view = 0;
    for (Tensor* x : {&views.x, &views.x1, &views.x2})
      *x = ops::normal({8, 64, 64, 3}, {110 + ++view, Purpose::test, uint64_t(i)}, 0, 1);
    Step step;
    train_step(method, views, step, optimizers, 1);
  }
  return bytes_of(method);
}

}  // namespace

TEST_CASE("a step gives the same bits for one, two and three threads") {
  auto one = state_after_two_steps(1);
  for (int threads : {2, 3}) {
    auto more = state_after_two_steps(threads);
    CHECK(more.size() == one.size());
    for (const auto& [name, bytes] : one) CHECK_MESSAGE(more[name] == bytes, name << " differs with " << threads << " threads");
  }
}
