#include "tensor/compute_type.h"

#include "tensor/context.h"

namespace plumage {

std::optional<ComputeType> find_compute_type(std::string_view name) {
  for (ComputeType type : {ComputeType::automatic, ComputeType::f32, ComputeType::tf32, ComputeType::bf16})
    if (name_of(type) == name) return type;
  return {};
}

DType use_compute_type(Device device, ComputeType type) {
  const bool cpu = device.kind == Device::Kind::cpu;
  if (cpu && type == ComputeType::tf32)
    throw InputError("train.compute = tf32: the CPU computes in f32 or bf16; choose a CUDA device, or --compute auto");
  if (type == ComputeType::automatic) type = cpu ? ComputeType::f32 : ComputeType::bf16;
  Context::of(device).tf32 = type == ComputeType::tf32;
  return type == ComputeType::bf16 ? DType::bf16 : DType::f32;
}

ComputeType used_compute_type(Device device, DType compute) {
  if (compute == DType::bf16) return ComputeType::bf16;
  return Context::of(device).tf32 ? ComputeType::tf32 : ComputeType::f32;
}

}  // namespace plumage
