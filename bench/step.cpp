// Whole training steps on random images: how fast, against the matmul rate of the same run, and where the time goes.
//   build/bench/step --arch resnet18|resnet50 --px P --batch B --step forward|supervised|moco|full [--steps N] [--bf16] [--json]
// "forward" is frozen features, as `plumage features` and the evaluation compute them; "full" is MoCo v2 with the paper's pairs and a decoder of residual blocks. The peers' side: bench/README.md.
#include <sys/resource.h>

#include <cstdio>
#include <cstring>
#include <iterator>
#include <map>
#include <string>

#include "bench/measure.h"
#include "ssl/moco.h"
#include "ssl/pairs.h"
#include "ssl/supervised.h"
#include "ssl/train_step.h"
#include "tensor/allocator.h"
#include "tensor/context.h"
#include "tensor/profile.h"

namespace plumage::bench {
namespace {

struct Options {
  std::string arch = "resnet50", step = "supervised";
  int64_t px = 224, batch = 16, steps = 5;
  bool json = false;
  DType compute = DType::f32;
};

int64_t whole(const std::string& word, const std::string& value) {
  size_t used = 0;
  int64_t n = 0;
  try {
    n = std::stoll(value, &used);
  } catch (const std::exception&) {
  }
  if (n < 1 || n > 100000 || used != value.size()) throw InputError(message("step: ", word, " ", value, ": wanted a whole number from 1 to 100000"));
  return n;
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word == "--json") { o.json = true; continue; }
    if (word == "--bf16") { o.compute = DType::bf16; continue; }
    if (i + 1 == argc) throw InputError("step: " + word + " is unknown or wants a value");
    std::string value = argv[++i];
    if (word == "--arch") o.arch = value;
    else if (word == "--px") o.px = whole(word, value);
    else if (word == "--batch") o.batch = whole(word, value);
    else if (word == "--step") o.step = value;
    else if (word == "--steps") o.steps = whole(word, value);
    else throw InputError("step: unknown option " + word + "; known: --arch --px --batch --step --steps --bf16 --json");
  }
  return o;
}

std::unique_ptr<Method> make_method(const Options& o) {
  Init init{1};
  ResNetOptions encoder{o.arch};
  MoCoOptions moco;
  moco.base.compute = o.compute;
  if (o.step == "supervised" || o.step == "forward") {
    encoder.classes = 1000;
    return std::make_unique<Supervised>(encoder, moco.base, init);
  }
  auto base = std::make_unique<MoCoV2>(encoder, moco, init);
  if (o.step == "moco") return base;
  if (o.step != "full") throw InputError("step: --step " + o.step + ": wanted forward, supervised, moco or full");
  PairsOptions pairs;
  pairs.base = moco.base;
  auto decoder = make_decoder({"residual"}, encoder, base->encoder().feature_count(), o.px, init);
  return std::make_unique<DiscriminativePairs>(std::move(base), std::move(decoder), pairs, init);
}

/// What the time of an op is counted under.
std::string family_of(std::string_view op) {
  auto begins = [&](std::string_view s) { return op.substr(0, s.size()) == s; };
  if (op == "conv2d") return "convolution forward";
  if (op == "conv2d_dx") return "convolution gradient of images";
  if (op == "conv2d_dw") return "convolution gradient of filters";
  if (op == "matmul") return "matmul";
  if (op == "batch_norm_bwd") return "batch norm backward";
  if (begins("batch_norm")) return "batch norm forward";
  if (begins("max_pool") || begins("avg_pool") || begins("global_avg") || begins("upsample")) return "pooling, upsampling";
  if (op == "sgd" || op == "adam" || op == "ema") return "updates";
  if (begins("softmax") || begins("log") || begins("cross") || begins("l2")) return "softmax, losses";
  return "pointwise, copies, sums";
}

Views random_views(const Options& o) {
  Shape image{o.batch, o.px, o.px, 3};
  Views views{random(image), random(image), random(image), Tensor::zeros({o.batch}, DType::i64), 1, 0};
  for (int64_t i = 0; i < o.batch; ++i) views.labels.data<int64_t>()[i] = i % 1000;
  return views;
}

double frozen_features(ResNet& encoder, const Views& views, DType compute) {
  NoGrad no_grad;
  Pass pass = Pass::eval();
  pass.compute = compute;
  return ops::cast(encoder.features(Var(views.x), pass).value(), DType::f32).data<float>()[0];
}

int run(int argc, char** argv) {
  Options o = parse(argc, argv);
  std::unique_ptr<Method> method = make_method(o);
  OptimizerOptions sgd, adam;
  adam.kind = "adam";
  adam.lr = 1e-4;
  Optimizers optimizers{Optimizer(sgd), Optimizer(adam)};
  method->add_parameters(optimizers.encoder, optimizers.decoder);

  double matmul = matmul_gflops();
  constexpr int64_t kWarmUp = 2;
  std::vector<double> times;
  double loss = 0;
  Views views = random_views(o);
  for (; views.step < kWarmUp + o.steps; ++views.step) {
    if (views.step == kWarmUp) profile_start();
    double start = now();
    Step step;
    loss = o.step == "forward" ? frozen_features(method->encoder(), views, o.compute)
                               : train_step(*method, views, step, optimizers, 1).loss;
    if (views.step >= kWarmUp) times.push_back(now() - start);
  }
  std::map<std::string, double> families;
  double in_ops = 0, all = 0;
  for (const OpTime& t : profile_stop()) {
    families[family_of(t.op)] += t.seconds / double(o.steps);
    in_ops += t.seconds / double(o.steps);
  }
  for (double t : times) all += t / double(o.steps);
  families["outside ops"] = all - in_ops;
  double flops = profile_flops() / double(o.steps);

  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  double seconds = median(times), images_per_s = double(o.batch) / seconds;
  matmul = (matmul + matmul_gflops()) / 2;
  double share = flops / seconds * 1e-9 / matmul;  // of products and convolutions, counted as if done directly
  long rss = usage.ru_maxrss / 1024;
  if (o.json) {
    std::printf("{\"arch\": \"%s\", \"px\": %ld, \"batch\": %ld, \"step\": \"%s\", \"dtype\": \"%s\", \"threads\": %d, \"images_per_s\": %.3f, "
                "\"step_s\": %.4f, \"matmul_gflops\": %.1f, \"share_of_matmul\": %.3f, \"peak_rss_mb\": %ld, \"peak_tensors_mb\": %ld, \"loss\": %.6f, \"seconds\": {",
                o.arch.c_str(), long(o.px), long(o.batch), o.step.c_str(), std::string(name_of(o.compute)).c_str(),
                Context::cpu().threads(), images_per_s, seconds, matmul, share, rss,
                long(Allocator::cpu().statistics().peak_bytes >> 20), loss);
    const char* comma = "";
    for (const auto& [family, t] : families) std::printf("%s\"%s\": %.5f", std::exchange(comma, ", "), family.c_str(), t);
    std::printf("}}\n");
    return 0;
  }
  std::printf("%s, %ld px, batch %ld, %s, %s, %d threads\n%.2f images/s (%.3f s a step, median of %ld); matmul f32 %.0f GFLOP/s, share of it %.2f; peak %ld MB\n",
              o.arch.c_str(), long(o.px), long(o.batch), o.step.c_str(), std::string(name_of(o.compute)).c_str(),
              Context::cpu().threads(), images_per_s, seconds, long(o.steps), matmul, share, rss);
  std::vector<std::pair<double, std::string>> sorted;
  for (const auto& [family, t] : families) sorted.push_back({t, family});
  std::sort(sorted.rbegin(), sorted.rend());
  for (const auto& [t, family] : sorted) std::printf("  %-34s %8.1f ms  %5.1f %%\n", family.c_str(), t * 1e3, 100 * t / all);
  return 0;
}

}  // namespace
}  // namespace plumage::bench

int main(int argc, char** argv) {
  try {
    return plumage::bench::run(argc, argv);
  } catch (const plumage::Error& error) {
    std::fprintf(stderr, "plumage: %s\n", error.what());
    return error.exit_code();
  }
}
