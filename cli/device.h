// --device and --compute: where a command computes, and in which type.
#pragma once
#include <string>

#include "tensor/compute_type.h"

namespace CLI {
class App;
}

namespace plumage {

/// Options of every command that computes.
struct DeviceArguments {
  std::string device = "auto", compute;  ///< compute: empty where the option was not given
  void add_to(CLI::App& command);
};

/// Where a command computes, and the type for Pass::compute.
struct Compute {
  Device device;
  DType type = DType::f32;
  /// "on cuda:0 (NVIDIA H100): convolutions and products in bf16, parameters and the rest in f32", "on the CPU: f32", ...
  std::string str() const;
};

/// --compute, or `otherwise` where it was not given.
ComputeType compute_type(const DeviceArguments& arguments, ComputeType otherwise);
/// The device by choose_device, the type settled for it.
Compute choose_compute(const DeviceArguments& arguments, ComputeType type);

/// "auto": the first CUDA device that this build can use, else the CPU. "cpu", "cuda:N"; "sim" in a build with the
/// simulated device, which auto never takes. Throws InputError for other words, DeviceError saying what is missing.
Device choose_device(const std::string& word);

/// Lines for `plumage info`: the devices and what they need, or why there is none.
void print_devices();

}  // namespace plumage
