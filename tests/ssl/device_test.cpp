// Ten training steps of each method on a CUDA device, real or simulated, against the same steps on the CPU.
#include <cmath>
#include <cstdlib>
#include <functional>

#include "ssl/decoder_pretraining.h"
#include "ssl/step_runner.h"
#include "ssl/supervised.h"
#include "tensor/accelerator.h"
#include "tensor/compute_type.h"
#include "tests/ssl/tiny_methods.h"

using namespace plumage;
using namespace plumage::test;

namespace {

constexpr Device kCpu{}, kDevice{Device::Kind::cuda, 0};

bool no_device() {
  if (accelerator::count() > 0) return false;
  MESSAGE("skipped: " << accelerator::why_none());
  return true;
}

Views on(Device device, Views views) {
  for (Tensor* t : {&views.x, &views.x1, &views.x2}) *t = t->to(device);
  return views;
}

using Build = std::function<std::unique_ptr<Method>(Device, DType)>;

// A method in training on one device.
struct Training {
  Device device;
  DType dtype;
  std::unique_ptr<Method> method;
  Optimizers optimizers;

  Training(const Build& build, Device d, DType type)
      : device(d), dtype(type), method(build(d, type)), optimizers(tiny_optimizers(*method)) {}

  StepResult run(int64_t step) {
    Step quantities;
    return train_step(*method, on(device, tiny_views(step, dtype)), quantities, optimizers, 1);
  }

  // Parameters, buffers, queue, bank, counters, momenta.
  void visit(const std::function<void(const std::string&, Tensor&)>& f) {
    method->visit("", [&](const std::string& name, Var& value, Role) { f(name, value.value()); });
    optimizers.encoder.visit_state(f);
    optimizers.decoder.visit_state(f);
  }
  std::vector<double> state() {
    std::vector<double> all;
    visit([&](const std::string&, Tensor& t) {
      std::vector<double> values = t.to_vector();
      all.insert(all.end(), values.begin(), values.end());
    });
    return all;
  }
  void take_state_of(Training& other) {
    std::vector<Tensor> from;
    other.visit([&](const std::string&, Tensor& t) { from.push_back(t); });
    size_t i = 0;
    visit([&](const std::string&, Tensor& t) { t.copy_from(from.at(i++)); });
  }
};

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

// Side by side for ten steps in f64. Ten steps magnify a last bit, SimSiam's with pairs most: its gradients, of norm 261 at
// first, move weights further than they are long, and the distance of two runs grows about fivefold a step. So the measure is
// the CPU's own run with the last bit of every weight changed: it ends 1.8e-4 from itself (in running variances whose norm is
// 7000), and the device 1.5e-4. That one step of a device adds rounding alone is compare_steps' to show, in f64 too.
void compare_runs(const std::string& what, const Build& build) {
  CAPTURE(what);
  Training cpu(build, kCpu, DType::f64), nudged(build, kCpu, DType::f64), device(build, kDevice, DType::f64);
  for (auto& [name, parameter] : nudged.method->parameters())
    for (double& weight : parameter.value().span<double>()) weight = std::nextafter(weight, 1e9);
  device.method->visit("", [&](const std::string& name, Var& value, Role) {
    CAPTURE(name);
    CHECK(value.value().device() == (name.ends_with("filled") ? kCpu : kDevice));  // shapes depend on it
  });
  for (int64_t i = 0; i < 10; ++i) {
    StepResult want = cpu.run(i), got = device.run(i);
    nudged.run(i);
    CHECK(std::abs(got.loss - want.loss) <= 1e-5);
    CHECK(std::abs(got.gradient_norm - want.gradient_norm) <= 1e-5 * (1 + want.gradient_norm));
  }
  CHECK(distance(device.state(), cpu.state()) <= 10 * distance(nudged.state(), cpu.state()));
}

// Ten steps, each from the CPU's state: four images and their batch norm blow rounding up from one to the next.
void compare_steps(const std::string& what, const Build& build, double loss_tolerance, double update_tolerance, DType dtype = DType::f32) {
  CAPTURE(what);
  Training cpu(build, kCpu, dtype), device(build, kDevice, dtype);
  for (int64_t i = 0; i < 10; ++i) {
    CAPTURE(i);
    device.take_state_of(cpu);
    std::vector<double> before = cpu.state();
    CHECK(device.state() == before);
    StepResult want = cpu.run(i), got = device.run(i);
    CHECK(std::abs(got.loss - want.loss) <= loss_tolerance * (1 + std::abs(want.loss)));
    std::vector<double> after = cpu.state();
    CHECK(distance(device.state(), after) <= update_tolerance * distance(before, after));
  }
}

Build base_of(Base kind) {
  return [kind](Device device, DType dtype) { return tiny_base(kind, {}, dtype, 3, device); };
}

Build pairs_of(Base kind, DType compute = DType::f32, int64_t bank = 12) {
  return [=](Device device, DType dtype) {
    PairsOptions options = tiny_options();
    options.bank_size = bank;
    options.base.compute = compute;
    return tiny_pairs(kind, options, dtype, device);
  };
}

std::unique_ptr<Method> decoder_phase(Device device, DType dtype) {
  Init init{6, dtype, 0, device};
  auto encoder = std::make_unique<ResNet>(tiny_encoder(), init);
  DecoderOptions options{.arch = "light", .widths = {4, 4}};
  auto decoder = make_decoder(options, tiny_encoder(), encoder->feature_count(), kPixels, init);
  return std::make_unique<DecoderPretraining>(std::move(encoder), std::move(decoder), false, DType::f32);
}

}  // namespace

TEST_CASE("device: ten steps of every method in f64 are those of the CPU [slow]") {
  if (no_device()) return;
  compare_runs("MoCo v2", base_of(Base::moco));
  compare_runs("SimSiam", base_of(Base::simsiam));
  compare_runs("MoCo v2 + pairs", pairs_of(Base::moco));
  compare_runs("SimSiam + pairs", pairs_of(Base::simsiam));
  compare_runs("decoder", decoder_phase);
}

TEST_CASE("device: each of ten steps of every method in f64 adds nothing but rounding to the CPU's [slow]") {
  if (no_device()) return;
  for (auto [what, build] : {std::pair<const char*, Build>{"MoCo v2 + pairs", pairs_of(Base::moco)}, {"SimSiam + pairs", pairs_of(Base::simsiam)},
                             {"decoder", decoder_phase}})
    compare_steps(what, build, 1e-12, 1e-11, DType::f64);
}

TEST_CASE("device: ten steps of every method in f32 are those of the CPU [slow]") {
  if (no_device()) return;
  compare_steps("MoCo v2", base_of(Base::moco), 1e-3, 0.05);
  compare_steps("SimSiam", base_of(Base::simsiam), 1e-3, 0.05);
  compare_steps("MoCo v2 + pairs", pairs_of(Base::moco), 1e-3, 0.05);
  compare_steps("SimSiam + pairs", pairs_of(Base::simsiam), 1e-3, 0.05);
  compare_steps("decoder", decoder_phase, 1e-3, 0.05);
}

TEST_CASE("device: ten steps with bf16 in convolutions and products are near those of the CPU [slow]") {
  if (no_device()) return;
  compare_steps("MoCo v2 + pairs", pairs_of(Base::moco, DType::bf16), 0.1, 0.5);
  compare_steps("SimSiam + pairs", pairs_of(Base::simsiam, DType::bf16), 0.1, 0.5);
}

TEST_CASE("device: ten steps in tf32 are near those of the CPU in f32, and not those of the device in f32 [slow]") {
  if (no_device()) return;
  Training exact(pairs_of(Base::moco), kDevice, DType::f32), rounded(pairs_of(Base::moco), kDevice, DType::f32);
  exact.run(0);
  use_compute_type(kDevice, ComputeType::tf32);
  compare_steps("MoCo v2 + pairs, tf32", pairs_of(Base::moco), 0.02, 0.2);
  rounded.run(0);
  use_compute_type(kDevice, ComputeType::f32);
  CHECK(rounded.state() != exact.state());
}

TEST_CASE("device: the same steps twice give the same bits") {
  if (no_device()) return;
  Training first(pairs_of(Base::moco), kDevice, DType::f32), second(pairs_of(Base::moco), kDevice, DType::f32);
  for (int64_t i = 0; i < 2; ++i) CHECK(first.run(i).loss == second.run(i).loss);
  CHECK(first.state() == second.state());
}

namespace {

// What an evaluation between two steps does to memory: scratch grows and moves, and what it leaves goes to others, whose
// numbers no recorded step may touch.
std::vector<Tensor> bystanders(int64_t size) {
  Tensor large = Tensor::full({256 + size, 8, 8, 33}, 1, DType::f32, kDevice);
  ops::batch_norm_stats(large);
  ops::sum(large);
  ops::squared_norm(std::vector<Tensor>(3, large));
  std::vector<Tensor> held;
  for (int64_t n = 64; n <= 1 << 16; n = n * 5 / 4)
    for (int i = 0; i < 2; ++i) held.push_back(Tensor::full({n / 4}, 7, DType::f32, kDevice));
  return held;
}

// Ten steps, each queued op by op, and the same ten by a runner that records: the same bits of every number.
void compare_recorded(const std::string& what, const Build& build, int64_t replays, DType dtype = DType::f32) {
  CAPTURE(what);
  Training eager(build, kDevice, dtype), recorded(build, kDevice, dtype);
  StepRunner runner(*recorded.method, recorded.optimizers, true);
  std::vector<Tensor> others;
  for (int64_t i = 0; i < 10; ++i) {
    CAPTURE(i);
    Step quantities;
    double schedule = 1 - 0.05 * double(i);
    Views views = on(kDevice, tiny_views(i, dtype));
    StepResult want = train_step(*eager.method, views, quantities, eager.optimizers, schedule);
    runner.run(views, schedule);
    StepResult got = runner.result();
    CHECK(got.loss == want.loss);
    CHECK(got.gradient_norm == want.gradient_norm);
    CHECK(runner.step().terms == quantities.terms);
    for (const Tensor& t : others) CHECK(ops::sum(t).item() == 7 * double(t.count()));
    others = runner.replayed() > 0 ? bystanders(64 * i) : std::vector<Tensor>();
    CHECK(runner.step().gauges == quantities.gauges);
    std::vector<Tensor> named;
    runner.step().visit([&](const char*, const Tensor& t) { named.push_back(t); });
    size_t k = 0;
    quantities.visit([&](const char* name, const Tensor& t) {
      CAPTURE(name);
      if (std::string(name) != "queue") CHECK(named.at(k).to_vector() == t.to_vector());  // the update wrote over it in both
      ++k;
    });
  }
  CHECK(runner.replayed() >= replays);
  CHECK(recorded.state() == eager.state());
}

// Does something of its own at the end of a step's forward, from its fourth on, which is the one that is recorded.
class Meddling : public Supervised {
 public:
  using Deed = std::function<void(const Tensor& v)>;
  Meddling(const ResNetOptions& options, Init& init, Deed deed) : Supervised(options, BaseOptions{}, init), deed_(std::move(deed)) {}
  void forward(const Views& views, Step& step, const Emit& emit) override {
    Supervised::forward(views, step, emit);
    if (++forwards_ > 3) deed_(step.v1);
  }

 private:
  Deed deed_;
  int forwards_ = 0;
};

// The error of a recorded training whose steps do that.
std::string said_of(Meddling::Deed deed) {
  auto build = [&](Device device, DType dtype) -> std::unique_ptr<Method> {
    Init init{6, dtype, 0, device};
    ResNetOptions options = tiny_encoder();
    options.classes = 3;
    return std::make_unique<Meddling>(options, init, std::move(deed));
  };
  Training training(build, kDevice, DType::f32);
  StepRunner runner(*training.method, training.optimizers, true);
  Views views = on(kDevice, tiny_views(0, DType::f32));
  views.labels = Tensor::from(std::vector<int64_t>{0, 1, 2, 0}, {4}).to(kDevice);
  try {
    for (int i = 0; i < 5; ++i) runner.run(views, 1);
  } catch (const MachineError& error) {
    return error.what();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("device: recorded steps of every method are those queued op by op, bit for bit [slow]") {
  if (no_device()) return;
  compare_recorded("MoCo v2", base_of(Base::moco), 6);
  compare_recorded("SimSiam", base_of(Base::simsiam), 6);
  compare_recorded("MoCo v2 + pairs", pairs_of(Base::moco, DType::f32, 20), 2);  // the bank fills for five steps
  compare_recorded("SimSiam + pairs", pairs_of(Base::simsiam), 3);
  compare_recorded("MoCo v2 + pairs, bf16", pairs_of(Base::moco, DType::bf16), 3);
  compare_recorded("MoCo v2 + pairs, f64", pairs_of(Base::moco), 3, DType::f64);
  compare_recorded("decoder", decoder_phase, 6);
}

TEST_CASE("device: a step that cannot be recorded says after which op") {
  if (no_device()) return;
  std::string copy = said_of([](const Tensor& v) { ops::relu(v).to_vector(); });
  CHECK_MESSAGE(copy.find("a copy from cuda:0 to cpu cannot be part of a captured step; it comes after") == 0, copy);
  CHECK(copy.ends_with("unary"));
  std::string memory = said_of([](const Tensor& v) { ops::concat(std::vector<Tensor>(999, ops::relu(v)), 0); });
  CHECK_MESSAGE(memory.find("new memory (262144 bytes) cannot be part of a captured step; it comes after") == 0, memory);
  CHECK(memory.ends_with("unary"));
  std::string convolution = said_of([](const Tensor& v) {
    Tensor x = ops::relu(v).reshape({1, v.size(0), v.size(1), 1});
    ops::conv2d(ops::concat(std::vector<Tensor>(8, x), 3), Tensor::full({8, 1, 1, 8}, 1, v.dtype(), v.device()));
  });
  CHECK_MESSAGE(convolution.find("a step is being captured, but this convolution has not run before it: ") == 0, convolution);
  CHECK_MESSAGE(convolution.find("; the last ops were ") != std::string::npos, convolution);
  CHECK_MESSAGE(convolution.ends_with("copy_block, conv2d"), convolution);
}

namespace {

// A recorded step whose loss is not finite changes nothing and names the term.
void check_bad_step() {
  Training training(base_of(Base::moco), kDevice, DType::f32);
  StepRunner runner(*training.method, training.optimizers, true);
  for (int64_t i = 0; i < 4; ++i) runner.run(on(kDevice, tiny_views(i, DType::f32)), 1);
  CHECK(runner.replayed() == 1);
  std::vector<double> before = training.state();
  Views bad = on(kDevice, tiny_views(4, DType::f32));
  bad.x1 = ops::scale(bad.x1, std::numeric_limits<double>::quiet_NaN());
  runner.run(bad, 1);
  CHECK_THROWS_WITH_AS(runner.result(), "step 4: the loss term L_C is nan; try a smaller optim.lr", MachineError);
  CHECK(training.state() == before);
  runner.run(on(kDevice, tiny_views(4, DType::f32)), 1);  // and goes on
  CHECK(training.state() != before);
}

}  // namespace

TEST_CASE("device: a recorded step whose loss is not finite changes nothing and names the term") {
  if (!no_device()) check_bad_step();
}

TEST_CASE("device: where the driver has no conditions a recorded step is two graphs, with the same bits") {
  if (no_device()) return;
  if (!accelerator::simulated()) {
    MESSAGE("skipped: a real driver is what it is");
    return;
  }
  setenv("CUDA_SIM_DRIVER", "12030", 1);
  compare_recorded("MoCo v2", base_of(Base::moco), 6);
  check_bad_step();
  unsetenv("CUDA_SIM_DRIVER");
}

TEST_CASE("device: replayed steps that nobody looks at give the same bits, and none after a bad one counts") {
  if (no_device()) return;
  Training eager(base_of(Base::moco), kDevice, DType::f32), training(base_of(Base::moco), kDevice, DType::f32);
  StepRunner runner(*training.method, training.optimizers, true);
  const int64_t good = 3 + StepRunner::kLook + 2;
  StepResult want;
  for (int64_t i = 0; i < good; ++i) {
    Views views = on(kDevice, tiny_views(i, DType::f32));
    Step quantities;
    want = train_step(*eager.method, views, quantities, eager.optimizers, 1);
    runner.run(views, 1);
  }
  CHECK(runner.replayed() == good - 3);
  CHECK(runner.result().loss == want.loss);
  CHECK(runner.result().gradient_norm == want.gradient_norm);
  CHECK(training.state() == eager.state());
  Views bad = on(kDevice, tiny_views(good, DType::f32));
  bad.x1 = ops::scale(bad.x1, std::numeric_limits<double>::quiet_NaN());
  runner.run(bad, 1);
  for (int64_t i = 1; i < StepRunner::kLook; ++i) runner.run(on(kDevice, tiny_views(good + i, DType::f32)), 1);
  CHECK_THROWS_WITH_AS(runner.run(on(kDevice, tiny_views(0, DType::f32)), 1),
                       "step 21: the loss term L_C is nan; try a smaller optim.lr", MachineError);
  CHECK(training.state() == eager.state());
}
