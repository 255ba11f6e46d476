// --device, --compute and a run that goes on elsewhere. The device's own tests: tests/tensor, tests/ssl.
#include <doctest/doctest.h>

#include "cli/checkpoint.h"
#include "tensor/accelerator.h"
#include "tests/cli/program.h"
#include "tests/ssl/tiny_methods.h"

using namespace plumage;
using namespace plumage::test;

namespace {

constexpr Device kCpu{}, kDevice{Device::Kind::cuda, 0};

struct Training {
  std::unique_ptr<Method> method;
  Optimizers optimizers;
  Device device;
  int64_t step = 0;

  explicit Training(Device d) : method(tiny_pairs(Base::moco, tiny_options(), DType::f64, d)), optimizers(tiny_optimizers(*method)), device(d) {}

  double run(int64_t steps) {
    double loss = 0;
    for (int64_t i = 0; i < steps; ++i) {
      Views views = tiny_views(step++);
      for (Tensor* t : {&views.x, &views.x1, &views.x2}) *t = t->to(device);
      Step quantities;
      loss = train_step(*method, views, quantities, optimizers, 1).loss;
    }
    return loss;
  }
};

}  // namespace

TEST_CASE("a checkpoint holds no device: from one to the other every number arrives, and training goes on alike") {
  if (accelerator::count() == 0) {
    MESSAGE("skipped: " << accelerator::why_none());
    return;
  }
  for (auto [from, to] : {std::pair{kDevice, kCpu}, {kCpu, kDevice}}) {
    CAPTURE(from.str());
    Training first(from), second(to);
    first.run(3);
    TensorFile packed = pack_checkpoint(*first.method, first.optimizers, {"pretrain", "method", 3, 0, 3}, Config{});
    restore_checkpoint(packed, "checkpoint", *second.method, second.optimizers);
    second.step = first.step;
    TensorFile again = pack_checkpoint(*second.method, second.optimizers, {"pretrain", "method", 3, 0, 3}, Config{});
    REQUIRE(again.tensors.size() == packed.tensors.size());
    for (const auto& [name, value] : packed.tensors) {
      CAPTURE(name);
      CHECK(value.to_vector() == again.tensors.at(name).to_vector());
    }
    CHECK(std::abs(first.run(3) - second.run(3)) <= 1e-6);
  }
}

TEST_CASE("--device takes what there is, and says in one line what is missing and what to do") {
  Scratch scratch("device");
  std::string data = tiny_birds(scratch), command = "features --weights untrained:resnet18:2:small --size 16 " + data + "--out '" + scratch / "f.safetensors' ";
  CHECK(plumage::plumage(scratch, command + "--device cpu").code == 0);
  Outcome wrong = plumage::plumage(scratch, command + "--device gpu");
  CHECK(wrong.code == 2);
  CHECK(complaint(wrong) == "plumage: --device gpu: wanted auto, cpu, cuda:N or sim");
  for (std::string word : {"cuda", "cuda:0", "cuda:7", "sim"}) {
    Outcome o = plumage::plumage(scratch, command + "--device " + word);
    CAPTURE(word);
    CAPTURE(o.err);
    bool there = accelerator::count() > 0 && word != "cuda:7" && (word != "sim" || accelerator::simulated());
    CHECK(o.code == (there ? 0 : 2));
    if (!there) CHECK(complaint(o).find(word == "sim" ? "make sim" : word == "cuda" ? "cuda:0" : word) != std::string::npos);
  }
  Outcome info = plumage::plumage(scratch, "info");
  CHECK(info.out.find(accelerator::count() > 0 ? "cuda:0" : accelerator::built() ? "devices      none: " : "CUDA         not built in") != std::string::npos);
  if (!accelerator::simulated()) return;
  for (const char* line : {"driver       13.0\n", "runtime      13.0\n", "cuDNN        ", "cuBLASLt     ", "CUDA for     90\n",
                           "cuda:0       simulated device, compute capability 9.0, 4 multiprocessors, 4.0 GiB\n"})
    CHECK_MESSAGE(info.out.find(std::string("\n") + line) != std::string::npos, line);
  Outcome none = shell(scratch, "CUDA_SIM_DEVICES=0 plumage " + command + "--device cuda:0");
  CHECK(none.code == 2);
  CHECK(complaint(none) == "plumage: device cuda:0: there is no CUDA driver; install NVIDIA's driver, or use --device cpu");
  CHECK(shell(scratch, "CUDA_SIM_DEVICES=0 plumage " + command + "--device auto").code == 0);
  Outcome old = shell(scratch, "CUDA_SIM_FAIL=cudaGetDeviceCount:1:35 CUDA_SIM_DRIVER=11080 plumage " + command + "--device cuda:0");
  CHECK(old.code == 2);
  CHECK(complaint(old).find("plumage: device cuda:0: the CUDA driver is too old: it serves CUDA 11.8, plumage was built with ") == 0);
  CHECK(complaint(old).ends_with("; update the driver, or use --device cpu"));
  Outcome foreign = shell(scratch, "CUDA_SIM_CAPABILITY=75 plumage " + command + "--device cuda:0");
  CHECK(foreign.code == 2);
  CHECK(complaint(foreign) == "plumage: device cuda:0: simulated device has compute capability 7.5, plumage was built for 90; configure with "
                              "-DPLUMAGE_CUDA_ARCHITECTURES=75, or use --device cpu");
  Outcome hidden = shell(scratch, "CUDA_SIM_FAIL=cudaGetDeviceCount:1:100 plumage " + command + "--device cuda:0");
  CHECK(hidden.code == 2);
  CHECK(complaint(hidden) == "plumage: device cuda:0: the CUDA driver sees no device; look at nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu");
}

TEST_CASE("a training run on a device makes its views there, and they are the CPU's") {
  if (accelerator::count() == 0) {
    MESSAGE("skipped: " << accelerator::why_none());
    return;
  }
  Scratch scratch("device_views");
  std::string data = tiny_birds(scratch);
  auto train = [&](const std::string& name, const std::string& options, const std::string& environment = "") {
    return shell(scratch, environment + " plumage pretrain --config configs/moco.toml --device cuda:0 --compute f32 --out '" + scratch / name + "' " + data + kTiny + options);
  };
  auto losses = [&](const std::string& name, const std::string& options, const std::string& environment = "") {
    std::string run = scratch / name;
    Outcome o = train(name, options, environment);
    REQUIRE_MESSAGE(o.code == 0, o.err);
    std::string metrics = read_text(run + "/metrics.jsonl");
    std::vector<double> values;
    for (size_t at = 0; (at = metrics.find("\"loss\":", at)) != std::string::npos; ++at) values.push_back(std::stod(metrics.substr(at + 7)));
    REQUIRE(!values.empty());
    return std::pair{values, read_text(run + "/log.txt")};
  };
  // Steps that are replayed, and between two looks at a loss none that is waited for: pictures go there meanwhile.
  const std::string replayed = "--set train.log_every=3 ";
  auto [kept, kept_log] = losses("kept", replayed);
  const std::string streaming = replayed + "--set data.device_gib=0 ";
  auto [streamed, streamed_log] = losses("streamed", streaming);
  CHECK(kept_log.find("MiB of pictures kept") != std::string::npos);
  CHECK(streamed_log.find("copied batch by batch") != std::string::npos);
  CHECK(kept.size() == 3);
  CHECK(kept == streamed);
  if (accelerator::simulated()) {
    // The three pieces of the staging memory come first: here no memory is pinned for what is streamed.
    CHECK(losses("plain", streaming, "CUDA_SIM_FAIL=cudaMallocHost:4:2").first == kept);
    for (std::string piece : {"1", "2", "3"})  // and here not all of the staging memory, which is done without then
      CHECK(losses("unpinned" + piece, streaming, "CUDA_SIM_FAIL=cudaMallocHost:" + piece + ":2").first == kept);
    // What goes wrong in a thread that sends pictures ends the run.
    Outcome o = train("failed", streaming, "CUDA_SIM_FAIL=cudaStreamWaitEvent:1:700");
    CHECK(o.code == 1);
    CHECK(complaint(o).find("plumage: CUDA: cudaStreamWaitEvent: ") == 0);
  }
  auto [device, device_log] = losses("device", "--steps 1");
  auto [cpu, cpu_log] = losses("cpu", "--steps 1 --set data.views=cpu");
  CHECK(std::abs(device[0] - cpu[0]) <= 1e-3);
  CHECK(cpu_log.find("MiB of pictures") == std::string::npos);
  CHECK(device != cpu);  // that they are not made in the same place: their last bits differ
}

TEST_CASE("a device that fails in the middle of a run ends it in one line with the last ops; the last checkpoint stays") {
  if (!accelerator::simulated()) {
    MESSAGE("skipped: a real device does not fail when asked to");
    return;
  }
  Scratch scratch("device_fails");
  std::string data = tiny_birds(scratch), run = scratch / "run";
  REQUIRE(plumage::plumage(scratch, "pretrain --config configs/moco.toml --device cuda:0 --steps 2 --out '" + run + "' " + data + kTiny).code == 0);
  std::string checkpoint = read_text(run + "/checkpoint.safetensors");
  Outcome o = shell(scratch, "CUDA_SIM_FAIL=work:600:700 plumage pretrain --device cuda:0 --resume '" + run + "'");
  CHECK(o.code == 1);
  CHECK(complaint(o).find("plumage: CUDA: an illegal memory access was encountered (cudaErrorIllegalAddress); the last ops were ") == 0);
  CHECK(read_text(run + "/checkpoint.safetensors") == checkpoint);
}

namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

TEST_CASE("the type of compute is settled by the device, asked for by key or option, and told with the device") {
  Scratch scratch("compute");
  std::string data = tiny_birds(scratch);
  auto pretrain = [&](const std::string& options) { return plumage::plumage(scratch, "pretrain --config configs/moco.toml " + options); };
  auto begin = [&](const std::string& run, const std::string& options) {
    return pretrain("--steps 1 --out '" + scratch / run + "' " + data + kTiny + options);
  };
  auto told = [&](const std::string& run, const std::string& what) {
    CAPTURE(run);
    CHECK(read_text(scratch / run + "/log.txt").find("computes " + what + "\n") != std::string::npos);
    CHECK(first_line(read_text(scratch / run + "/config.toml")) == "# begun " + what);
  };
  CHECK(begin("cpu", "--device cpu").code == 0);
  told("cpu", "on the CPU: f32");
  CHECK(read_text(scratch / "cpu/config.toml").find("compute = \"auto\"") != std::string::npos);
  CHECK(begin("half", "--device cpu --set train.compute=bf16").code == 0);
  told("half", "on the CPU: convolutions and products in bf16, parameters and the rest in f32");
  CHECK(begin("option", "--device cpu --set train.compute=bf16 --compute f32").code == 0);
  told("option", "on the CPU: f32");
  CHECK(read_text(scratch / "option/config.toml").find("compute = \"f32\"") != std::string::npos);
  const std::string refusal = "plumage: train.compute = tf32: the CPU computes in f32 or bf16; choose a CUDA device, or --compute auto";
  CHECK(complaint(begin("refused", "--device cpu --compute tf32")) == refusal);
  CHECK_FALSE(std::filesystem::exists(scratch / "refused"));
  std::string features = "features --weights untrained:resnet18:2:small --size 16 " + data + "--out '" + scratch / "f.safetensors' --device ";
  CHECK(complaint(plumage::plumage(scratch, features + "cpu --compute tf32")) == refusal);
  CHECK(plumage::plumage(scratch, features + "cpu").err.find("computes on the CPU: f32\n") == 0);
  CHECK(plumage::plumage(scratch, features + "cpu --compute f16").code == 2);

  if (accelerator::count() == 0) {
    MESSAGE("skipped: " << accelerator::why_none());
    return;
  }
  const std::string gpu = "on cuda:0 (" + accelerator::properties(0).name + "): ";
  CHECK(begin("auto", "--device cuda:0").code == 0);
  told("auto", gpu + "convolutions and products in bf16, parameters and the rest in f32");
  CHECK(begin("tf32", "--device cuda:0 --set train.compute=tf32").code == 0);
  told("tf32", gpu + "f32, inputs of convolutions and products rounded to tf32 where that is faster");
  CHECK(plumage::plumage(scratch, features + "cuda:0").err.find("computes " + gpu + "f32\n") == 0);
  CHECK(plumage::plumage(scratch, features + "cuda:0 --compute auto").err.find("computes " + gpu + "convolutions and products in bf16") == 0);
  CHECK(plumage::plumage(scratch, "info").out.find("TF32 off unless train.compute = tf32") != std::string::npos);

  // A run goes on elsewhere, in what that device computes in: from the GPU to the CPU and back.
  auto resume = [&](const std::string& run, const std::string& options) {
    return plumage::plumage(scratch, "pretrain --steps 1 --resume '" + scratch / run + "' " + options);
  };
  CHECK(resume("auto", "--device cpu").err.find("goes on on the CPU: f32\n") != std::string::npos);
  CHECK(resume("auto", "--device cuda:0").err.find("goes on " + gpu + "convolutions and products in bf16") != std::string::npos);
  CHECK(complaint(resume("tf32", "--device cpu")) == refusal);
  Outcome moved = resume("tf32", "--device cpu --compute auto");
  CHECK_MESSAGE(moved.code == 0, moved.err);
  CHECK(moved.err.find("goes on on the CPU: f32\n") != std::string::npos);
  std::string metrics = read_text(scratch / "auto/metrics.jsonl");
  CHECK(metrics.find("\"step\":3,") != std::string::npos);
}
