// The door to every file of weights: recognised by what is in it, checked, listed, and read tensor by tensor.
// Which of the tensors are an encoder's: nn/weights/encoder_names.h.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "nn/weights/stored_tensor.h"
#include "tensor/tensor.h"

namespace plumage {

/// What a file holds, without its numbers.
struct WeightsIndex {
  std::string container;              ///< "safetensors", "zip" (PyTorch) or "legacy" (PyTorch before 1.6)
  std::string state;                  ///< where in the file its state dictionary was: "state_dict"; "" at the top
  std::vector<StoredTensor> tensors;  ///< of the state dictionary, under their names in it, in the file's order
  std::vector<StoredTensor> others;   ///< the rest (optimiser, ..), under their path in the file: "optimizer.state.0.exp_avg"
  std::map<std::string, std::string> metadata;  ///< of a safetensors file
};

/// The readers of containers. Throw InputError naming the file for whatever is not in order.
WeightsIndex index_safetensors(const InputFile& file);
WeightsIndex index_pytorch_zip(const InputFile& file);
WeightsIndex index_pytorch_legacy(const InputFile& file);
/// Whichever of them the file's first bytes ask for. Also refuses tensors that together are far larger than the file.
WeightsIndex index_weights(const InputFile& file);

class WeightsFile {
 public:
  /// Throws InputError naming the file.
  explicit WeightsFile(const std::filesystem::path& path) : file_(path), index_(index_weights(file_)) {}

  const std::string& name() const { return file_.name(); }
  const WeightsIndex& index() const { return index_; }
  /// Its numbers as one of plumage's types (StoredTypeInfo::dtype). Throws InputError for more than five dimensions.
  Tensor read(const StoredTensor& tensor) const;
  /// Its bytes as they are: u8 [tensor.bytes()].
  Tensor read_bytes(const StoredTensor& tensor) const;

 private:
  InputFile file_;
  WeightsIndex index_;
};

/// Numbers of a file as one of plumage's types.
Tensor read_stored(const InputFile& file, const StoredTensor& tensor);

}  // namespace plumage
