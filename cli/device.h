// --device: where a command computes.
#pragma once
#include <string>

#include "tensor/tensor.h"

namespace CLI {
class App;
}

namespace plumage {

void add_device_option(CLI::App& command, std::string& device);

/// "auto": the first CUDA device that this build can use, else the CPU. "cpu", "cuda:N"; "sim" in a build with the
/// simulated device, which auto never takes. Throws InputError for other words, DeviceError saying what is missing.
Device choose_device(const std::string& word);

/// Lines for `plumage info`: the devices and what they need, or why there is none.
void print_devices();

}  // namespace plumage
