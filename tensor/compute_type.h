// In which type convolutions and matrix products take their inputs: train.compute, --compute. Settled here, once, for the
// device at hand. Next: nn/module.h, whose Pass carries the type to the layers.
#pragma once
#include <optional>
#include <string_view>

#include "tensor/tensor.h"

namespace plumage {

/// automatic: bf16 on a CUDA device, f32 on the CPU. tf32: f32, whose convolutions and products may round their inputs to 10
/// bits of mantissa. Parameters, statistics, losses, sums and the optimiser's state are f32 in each.
enum class ComputeType : uint8_t { automatic, f32, tf32, bf16 };

inline constexpr const char* kComputeTypes[] = {"auto", "f32", "tf32", "bf16"};  ///< in the order of the type
constexpr std::string_view name_of(ComputeType type) { return kComputeTypes[size_t(type)]; }
std::optional<ComputeType> find_compute_type(std::string_view name);

/// Settles `type` for a device: sets its Context::tf32 and returns the type for Pass::compute. Throws InputError for tf32
/// on the CPU, DeviceError where the device is absent.
DType use_compute_type(Device device, ComputeType type);

/// What was settled, never automatic; `compute` is what use_compute_type returned.
ComputeType used_compute_type(Device device, DType compute);

}  // namespace plumage
