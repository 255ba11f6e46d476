// An encoder as an ONNX model, which other programs run without plumage or PyTorch.
#pragma once
#include <filesystem>

#include "nn/resnet.h"

namespace plumage {

/// Writes the encoder in evaluation (running statistics) as ONNX: operator set 17, input `images` [batch, 3,
/// height, width] f32, normalised as in training, output `features` [batch, n] f32; batch, height and width
/// are free. Throws InputError if the model is beyond the format's 2 GiB, MachineError naming the file if it
/// cannot be written; an earlier file then stays.
void write_onnx(const std::filesystem::path& path, ResNet& encoder);

}  // namespace plumage
