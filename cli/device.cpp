#include "cli/device.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <iterator>
#include <vector>

#include "tensor/accelerator.h"

namespace plumage {

namespace {

Device cuda(int index) { return {Device::Kind::cuda, index}; }

// N of "cuda:N", 0 of "cuda"; -1: it is neither.
int cuda_index(const std::string& word) {
  if (word == "cuda") return 0;
  constexpr std::string_view kPrefix = "cuda:";
  int index = -1;
  if (!word.starts_with(kPrefix)) return -1;
  auto [end, error] = std::from_chars(word.data() + kPrefix.size(), word.data() + word.size(), index);
  return error == std::errc() && end == word.data() + word.size() ? index : -1;
}

}  // namespace

void DeviceArguments::add_to(CLI::App& command) {
  command.add_option("--device", device,
                     accelerator::simulated() ? "auto, cpu, cuda:N or sim (the simulated device)" : "auto, cpu or cuda:N");
  command.add_option("--compute", compute, "type of convolutions and products: auto (bf16 on a GPU, f32 on the CPU), f32, tf32 or bf16; default: train.compute in training, f32 in evaluation")
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(kComputeTypes), std::end(kComputeTypes))));
}

std::string Compute::str() const {
  const bool cpu = device.kind == Device::Kind::cpu;
  std::string where = cpu ? "on the CPU" : message("on ", device.str(), " (", accelerator::properties(device.index).name, ")");
  switch (used_compute_type(device, type)) {
    case ComputeType::bf16: return where + ": convolutions and products in bf16, parameters and the rest in f32";
    case ComputeType::tf32: return where + ": f32, inputs of convolutions and products rounded to tf32 where that is faster";
    default: return where + ": f32";
  }
}

ComputeType compute_type(const DeviceArguments& arguments, ComputeType otherwise) {
  return arguments.compute.empty() ? otherwise : find_compute_type(arguments.compute).value();
}

Compute choose_compute(const DeviceArguments& arguments, ComputeType type) {
  Device device = choose_device(arguments.device);
  return {device, use_compute_type(device, type)};
}

Device choose_device(const std::string& word) {
  if (word == "cpu") return {};
  if (word == "auto") {
    if (accelerator::count() == 0 || accelerator::simulated()) return {};
    try {
      accelerator::require(cuda(0));
    } catch (const DeviceError& error) {
      std::fprintf(stderr, "%s: computing on the CPU\n", error.what());
      return {};
    }
    return cuda(0);
  }
  int index = word == "sim" ? 0 : cuda_index(word);
  if (index < 0) throw InputError("--device " + word + ": wanted auto, cpu, cuda:N or sim");
  if (word == "sim" && !accelerator::simulated())
    throw DeviceError("--device sim: this build has no simulated device; `make sim` builds one that has");
  accelerator::require(cuda(index));
  return cuda(index);
}

void print_devices() {
  if (!accelerator::built()) {
    std::printf("CUDA         not built in\n");
    return;
  }
  for (const auto& [what, version] : accelerator::versions()) std::printf("%-12s %s\n", what.c_str(), version.c_str());
  if (accelerator::count() == 0) std::printf("devices      none: %s\n", accelerator::why_none().c_str());
  for (int i = 0; i < accelerator::count(); ++i) {
    accelerator::Properties p = accelerator::properties(i);
    std::printf("%-12s %s, compute capability %d.%d, %d multiprocessors, %.1f GiB\n", cuda(i).str().c_str(), p.name.c_str(),
                p.major, p.minor, p.multiprocessors, double(p.memory_bytes) / double(int64_t(1) << 30));
    std::printf("%-12s bf16 in convolutions and products unless train.compute says otherwise; TF32 off unless train.compute = tf32\n", "");
  }
}

}  // namespace plumage
