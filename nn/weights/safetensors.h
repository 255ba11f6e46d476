// Named tensors in a file: safetensors, read and written. Everything is checked before memory is taken; nothing in a
// file is trusted. Writing goes beside, is synced and renamed: an earlier file is never lost.
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "tensor/tensor.h"

namespace plumage {

struct TensorFile {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads f64, f32, f16 (as f32), bf16, i64, i32, i16, i8, u8, bool (integers widened to i64/i32/u8 as they fit).
/// Throws InputError naming the file: missing, truncated, bad header, overlapping or out-of-range offsets, sizes that
/// disagree with shape and type.
TensorFile read_safetensors(const std::filesystem::path& path);

/// Throws MachineError naming the file (disk full, no permission); the earlier file then stays as it was.
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

}  // namespace plumage
