// Ten training steps of each method on a CUDA device, real or simulated, against the same steps on the CPU.
#include <cmath>
#include <functional>

#include "ssl/decoder_pretraining.h"
#include "tensor/accelerator.h"
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

struct Run {
  std::vector<double> losses, norms;
  std::map<std::string, std::vector<double>> state;
};

using Build = std::function<std::unique_ptr<Method>(Device)>;

Run ten_steps(const Build& build, Device device) {
  auto method = build(device);
  auto optimizers = tiny_optimizers(*method);
  Run run;
  for (int64_t i = 0; i < 10; ++i) {
    Step step;
    StepResult result = train_step(*method, on(device, tiny_views(i, DType::f32)), step, optimizers, 1);
    run.losses.push_back(result.loss);
    run.norms.push_back(result.gradient_norm);
  }
  for (auto& [name, value] : method->state()) {
    CHECK(value.value().device() == (value.dtype() == DType::i64 ? kCpu : device));
    run.state[name] = value.value().to_vector();
  }
  return run;
}

double furthest(const std::vector<double>& a, const std::vector<double>& b) {
  double most = a.size() == b.size() ? 0 : 1e300;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    if (!(std::abs(a[i] - b[i]) <= most)) most = std::abs(a[i] - b[i]);
  return most;
}

void compare(const char* what, const Build& build, double tolerance) {
  CAPTURE(what);
  Run cpu = ten_steps(build, kCpu), device = ten_steps(build, kDevice), again = ten_steps(build, kDevice);
  CHECK(device.losses == again.losses);  // bit for bit
  CHECK(device.state == again.state);
  CHECK(furthest(cpu.losses, device.losses) <= tolerance);
  CHECK(furthest(cpu.norms, device.norms) <= 10 * tolerance);
  REQUIRE(cpu.state.size() == device.state.size());
  for (const auto& [name, values] : cpu.state) {
    CAPTURE(name);
    CHECK(furthest(values, device.state.at(name)) <= tolerance);
  }
}

std::unique_ptr<Method> decoder_phase(Device device) {
  Init init{6, DType::f32, 0, device};
  auto encoder = std::make_unique<ResNet>(tiny_encoder(), init);
  DecoderOptions options{.arch = "light", .widths = {4, 4}};
  auto decoder = make_decoder(options, tiny_encoder(), encoder->feature_count(), kPixels, init);
  return std::make_unique<DecoderPretraining>(std::move(encoder), std::move(decoder), false, DType::f32);
}

}  // namespace

TEST_CASE("device: ten steps of MoCo v2 and SimSiam, alone and with pairs, and of the decoder's phase, as on the CPU") {
  if (no_device()) return;
  for (Base base : {Base::moco, Base::simsiam}) {
    const char* name = base == Base::moco ? "MoCo v2" : "SimSiam";
    compare(name, [base](Device device) { return tiny_base(base, {}, DType::f32, 3, device); }, 1e-3);
    compare(name, [base](Device device) { return tiny_pairs(base, tiny_options(), DType::f32, device); }, 1e-3);
  }
  compare("decoder", decoder_phase, 1e-3);
}
