// Named tensors in a file: safetensors, read and written. Everything is checked before memory is taken;
// nothing in a file is trusted. Writing goes beside, is synced and renamed: an earlier file is never lost.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "nn/weights/stored_tensor.h"
#include "tensor/tensor.h"

namespace plumage {

struct TensorFile {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads f64, f32, f16 (as f32), bf16, integers and bool (widened to i64/i32/u8 as they fit).
/// Throws InputError naming the file: missing, truncated, bad header, overlapping or out-of-range offsets,
/// sizes that disagree with shape and type. Any file of weights: nn/weights/weights_file.h.
TensorFile read_safetensors(const std::filesystem::path& path);

/// Throws MachineError naming the file (disk full, no permission); the earlier file then stays as it was.
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

/// A tensor of any type that files hold, by its bytes, row-major.
struct TensorBytes {
  std::string name;
  StoredType type;
  std::vector<int64_t> shape;
  Tensor numbers;  ///< of any type; its bytes are what is written
};
/// The same for numbers that plumage has no type for.
void write_safetensors(const std::filesystem::path& path, const std::vector<TensorBytes>& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace plumage
