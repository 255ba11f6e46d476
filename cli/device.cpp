#include "cli/device.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>

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

void add_device_option(CLI::App& command, std::string& device) {
  command.add_option("--device", device,
                     accelerator::simulated() ? "auto, cpu, cuda:N or sim (the simulated device)" : "auto, cpu or cuda:N");
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
  }
}

}  // namespace plumage
