// Whole training steps on random images: how fast, against the rates of the same run, and where the time goes.
//   build/bench/step --arch resnet18|resnet50 --px P --batch B --step forward|supervised|moco|full [--steps N]
//                    [--compute auto|f32|tf32|bf16] [--width W] [--queue K] [--bank N] [--device cpu|cuda:N] [--views] [--graph] [--json]
// --views: on a device each step makes its views of pictures kept there; else they are the same random images again.
// "forward" is frozen features, as `plumage features` and the evaluation compute them; "full" is MoCo v2 with the paper's pairs and a decoder of residual blocks. The peers' side: bench/README.md.
#include <sys/resource.h>

#include <cstdio>
#include <cstring>
#include <iterator>
#include <map>
#include <optional>
#include <string>

#include "bench/device_views.h"
#include "bench/measure.h"
#include "ssl/moco.h"
#include "ssl/pairs.h"
#include "ssl/supervised.h"
#include "ssl/step_runner.h"
#include "tensor/allocator.h"
#include "tensor/context.h"
#include "tensor/profile.h"

namespace plumage::bench {
namespace {

struct Options {
  std::string arch = "resnet50", step = "supervised";
  int64_t px = 224, batch = 16, steps = 5, width = 64, queue = 65536, bank = 5632;
  bool json = false, graph = false, views = false;
  ComputeType type = ComputeType::automatic;
  Device device;
  DType compute = DType::f32;  ///< what `type` comes to on the device
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
    if (word == "--views") { o.views = true; continue; }
    if (word == "--graph") { o.graph = true; continue; }
    if (i + 1 == argc) throw InputError("step: " + word + " is unknown or wants a value");
    std::string value = argv[++i];
    if (word == "--arch") o.arch = value;
    else if (word == "--px") o.px = whole(word, value);
    else if (word == "--batch") o.batch = whole(word, value);
    else if (word == "--step") o.step = value;
    else if (word == "--steps") o.steps = whole(word, value);
    else if (word == "--width") o.width = whole(word, value);
    else if (word == "--queue") o.queue = whole(word, value);
    else if (word == "--bank") o.bank = whole(word, value);
    else if (word == "--device") o.device = device_of(value);
    else if (word == "--compute") o.type = compute_type_of(value);
    else throw InputError("step: unknown option " + word + "; known: --arch --px --batch --step --steps --compute --width --queue --bank --device --views --graph --json");
  }
  if (o.views && is_cpu(o.device)) throw InputError("step: --views: only a device makes its views within the step; bench/pipeline measures the CPU's");
  o.compute = use_compute_type(o.device, o.type);
  return o;
}

std::string way_of(const Options& o) { return std::string(o.graph ? "graph" : "eager") + (o.views ? " with views" : ""); }
std::string type_of(const Options& o) { return std::string(name_of(used_compute_type(o.device, o.compute))); }

std::unique_ptr<Method> make_method(const Options& o) {
  Init init{1, DType::f32, 0, o.device};
  ResNetOptions encoder{o.arch};
  encoder.width = o.width;
  MoCoOptions moco;
  moco.base.compute = o.compute;
  moco.queue = o.queue;
  if (o.step == "supervised" || o.step == "forward") {
    encoder.classes = 1000;
    return std::make_unique<Supervised>(encoder, moco.base, init);
  }
  auto base = std::make_unique<MoCoV2>(encoder, moco, init);
  if (o.step == "moco") return base;
  if (o.step != "full") throw InputError("step: --step " + o.step + ": wanted forward, supervised, moco or full");
  PairsOptions pairs;
  pairs.base = moco.base;
  pairs.bank_size = o.bank;
  auto decoder = make_decoder({"residual"}, encoder, base->encoder().feature_count(), o.px, init);
  return std::make_unique<DiscriminativePairs>(std::move(base), std::move(decoder), pairs, init);
}

/// What the time of an op is counted under.
std::string family_of(std::string_view op) {
  auto begins = [&](std::string_view s) { return op.substr(0, s.size()) == s; };
  if (op == "conv2d") return "convolution forward";
  if (op == "conv2d_dx") return "convolution gradient of images";
  if (op == "conv2d_dw") return "convolution gradient of filters";
  if (op == "conv2d_frozen" || op == "conv2d_stats") return "convolution forward";
  if (op == "matmul") return "matmul";
  if (op == "batch_norm_bwd") return "batch norm backward";
  if (begins("batch_norm")) return "batch norm forward";
  if (begins("max_pool") || begins("avg_pool") || begins("global_avg") || begins("upsample")) return "pooling, upsampling";
  if (op == "make_views") return "views of pictures";
  if (op == "sgd" || op == "adam" || op == "ema") return "updates";
  if (begins("softmax") || begins("log") || begins("cross") || begins("attend") || begins("l2")) return "softmax, losses";
  return "pointwise, copies, sums";
}

Views random_views(const Options& o) {
  Shape image{o.batch, o.px, o.px, 3};
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < o.batch; ++i) labels.push_back(i % 1000);
  auto picture = [&] { return random(image, DType::f32, o.device); };
  return {picture(), picture(), picture(), Tensor::from(labels, {o.batch}).to(o.device), 1, 0};
}

double frozen_features(ResNet& encoder, const Views& views, DType compute, FoldedNorms& folded) {
  NoGrad no_grad;
  Pass pass = Pass::eval();
  pass.compute = compute;
  pass.folded = &folded;
  return ops::cast(encoder.features(Var(views.x), pass).value(), DType::f32).reshape({-1}).slice(0, 1).item();
}

// A method in training, and its next step.
struct Training {
  Options options;
  std::unique_ptr<Method> method;
  Optimizers optimizers;
  Views views;
  FoldedNorms folded;
  std::unique_ptr<StepRunner> runner;
  std::optional<DeviceViews> pictures;
  double feature = 0;  // one of the last batch

  explicit Training(const Options& o) : options(o), method(make_method(o)), optimizers(make_optimizers()), views(random_views(o)) {
    method->add_parameters(optimizers.encoder, optimizers.decoder);
    runner = std::make_unique<StepRunner>(*method, optimizers, o.graph);
    if (o.views) pictures.emplace(o.batch, o.px, o.device);
  }
  void run() {
    make_views();
    if (options.step == "forward") feature = frozen_features(method->encoder(), views, options.compute, folded);
    else runner->run(views, 1);
    ++views.step;
  }
  // Op by op: a profile sees no ops in a recording.
  void run_eagerly() {
    if (options.step == "forward") return run();
    make_views();
    runner->run(views, 1, [](const Step&) {});
    ++views.step;
  }
  double loss() { return options.step == "forward" ? feature : runner->result().loss; }
  bool warm() const { return !options.graph || options.step == "forward" || is_cpu(options.device) || runner->replayed() > 1; }

 private:
  // Those that the step looks at.
  void make_views() {
    if (!pictures) return;
    const std::string& step = options.step;
    if (step != "forward") views.x1 = pictures->augmented(uint64_t(views.step), 0);
    if (step == "moco" || step == "full") views.x2 = pictures->augmented(uint64_t(views.step), 1);
    if (step == "forward" || step == "full") views.x = pictures->plain();
  }
  static Optimizers make_optimizers() {
    OptimizerOptions sgd, adam;
    adam.kind = "adam";
    adam.lr = 1e-4;
    return {Optimizer(sgd), Optimizer(adam)};
  }
};

struct Family {
  std::string name;
  double seconds = 0, floor_seconds = 0;  ///< of a step
};

struct StepTimes {
  double step_s = 0, floor_s = 0, flops = 0;  ///< of a step
  MachineRates rates;
  std::vector<Family> families;  ///< slowest first
  long peak_rss_mb = 0;
  MemoryStatistics memory;
};

// Leaves no memory behind that the steps would be blamed for.
MachineRates rates_of(const Options& o) {
  MachineRates rates{1e9 * matmul_gflops(is_cpu(o.device) ? DType::f32 : o.compute, o.device), 1e9 * copy_gbs(o.device)};
  Allocator::of(o.device).trim();
  Allocator::of(o.device).reset_peak();
  return rates;
}

long peak_rss_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

// A device's steps are timed five at a time, as they run in training, and profiled afterwards: marks in its queue cost time.
StepTimes measure(Training& training) {
  const Options& o = training.options;
  const bool cpu = is_cpu(o.device);
  const int64_t warm_up = std::min<int64_t>(o.steps, cpu ? 2 : 3), profiled = cpu ? o.steps : std::min<int64_t>(o.steps, 2);
  StepTimes m;
  m.rates = rates_of(o);
  for (int64_t i = 0; i < warm_up || !training.warm(); ++i) training.run();  // a recording waits until the bank is full
  std::vector<double> times;
  auto time_steps = [&](int64_t count, int64_t together) {
    for (int64_t i = 0; i < count; ++i) times.push_back(time_calls([&] { training.run(); }, together, o.device));
  };
  if (!cpu) time_steps(o.steps, accelerator::simulated() ? 1 : 5);
  profile_start(m.rates);
  if (cpu) time_steps(o.steps, 1);
  else for (int64_t i = 0; i < profiled; ++i) training.run_eagerly();
  m.step_s = median(times);
  std::map<std::string, Family> families;
  double in_ops = 0, all = cpu ? 0 : m.step_s;
  for (const OpTime& t : profile_stop()) {
    Family& family = families[family_of(t.op)];
    family.seconds += t.seconds / double(profiled);
    family.floor_seconds += t.floor_seconds / double(profiled);
    in_ops += t.seconds / double(profiled);
    m.floor_s += t.floor_seconds / double(profiled);
  }
  if (cpu) for (double t : times) all += t / double(times.size());
  families["outside ops"].seconds = std::max(0., all - in_ops);
  for (auto& [name, family] : families) {
    family.name = name;
    m.families.push_back(family);
  }
  std::sort(m.families.begin(), m.families.end(), [](const Family& a, const Family& b) { return a.seconds > b.seconds; });
  m.flops = profile_flops() / double(profiled);
  m.peak_rss_mb = peak_rss_mb();
  m.memory = Allocator::of(o.device).statistics();
  MachineRates after = rates_of(o);
  m.rates = {(m.rates.flops + after.flops) / 2, (m.rates.bytes + after.bytes) / 2};
  return m;
}

void print_json(const Options& o, const StepTimes& m, double loss) {
  std::printf("{\"arch\": \"%s\", \"px\": %ld, \"batch\": %ld, \"step\": \"%s\", \"dtype\": \"%s\", \"threads\": %d, \"device\": \"%s\", \"way\": \"%s\", \"images_per_s\": %.3f, "
              "\"step_s\": %.5f, \"floor_s\": %.5f, \"matmul_gflops\": %.1f, \"copy_gbs\": %.1f, \"share_of_matmul\": %.3f, \"peak_rss_mb\": %ld, ",
              o.arch.c_str(), long(o.px), long(o.batch), o.step.c_str(), type_of(o).c_str(), Context::cpu().threads(),
              o.device.str().c_str(), way_of(o).c_str(), double(o.batch) / m.step_s, m.step_s, m.floor_s, m.rates.flops * 1e-9, m.rates.bytes * 1e-9,
              m.flops / m.step_s / m.rates.flops, m.peak_rss_mb);
  if (is_cpu(o.device)) std::printf("\"peak_tensors_mb\": %ld, ", long(m.memory.peak_bytes >> 20));
  else std::printf("\"peak_device_mb\": %ld, \"held_device_mb\": %ld, ", long(m.memory.peak_bytes >> 20), long(m.memory.held_bytes >> 20));
  std::printf("\"loss\": %.6f", loss);
  for (const char* what : {"seconds", "floors"}) {
    std::printf(", \"%s\": {", what);
    const char* comma = "";
    for (const Family& f : m.families)
      std::printf("%s\"%s\": %.6f", std::exchange(comma, ", "), f.name.c_str(), what[0] == 's' ? f.seconds : f.floor_seconds);
    std::printf("}");
  }
  std::printf("}\n");
}

void print_text(const Options& o, const StepTimes& m) {
  std::printf("%s, %ld px, batch %ld, %s, %s, %s, %d threads\n%.2f images/s (%.4f s a step, median of %ld); matmul %.0f GFLOP/s, share of it %.2f; "
              "copy %.1f GB/s; floor %.4f s; peak %ld MB",
              o.arch.c_str(), long(o.px), long(o.batch), o.step.c_str(), type_of(o).c_str(), o.device.str().c_str(),
              Context::cpu().threads(), double(o.batch) / m.step_s, m.step_s, long(o.steps), m.rates.flops * 1e-9, m.flops / m.step_s / m.rates.flops,
              m.rates.bytes * 1e-9, m.floor_s, m.peak_rss_mb);
  if (!is_cpu(o.device)) std::printf(", of the device %ld, held %ld", long(m.memory.peak_bytes >> 20), long(m.memory.held_bytes >> 20));
  double all = 0;
  for (const Family& f : m.families) all += f.seconds;
  std::printf("\n");
  for (const Family& f : m.families)
    std::printf("  %-34s %9.2f ms  %5.1f %%  floor %9.2f ms\n", f.name.c_str(), f.seconds * 1e3, 100 * f.seconds / all, f.floor_seconds * 1e3);
}

int run(int argc, char** argv) {
  Options o = parse(argc, argv);
  Training training(o);
  StepTimes m = measure(training);
  if (o.json) print_json(o, m, training.loss());
  else print_text(o, m);
  return 0;
}

}  // namespace
}  // namespace plumage::bench

int main(int argc, char** argv) { return plumage::bench::run_bench(argc, argv, plumage::bench::run); }
