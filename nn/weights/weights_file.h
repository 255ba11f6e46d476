// The door to every file of weights: recognised by what is in it, checked, listed, and read tensor by tensor.
// Which of the tensors are an encoder's: nn/weights/encoder_file.h.
#pragma once
#include <filesystem>
#include <string>

#include "nn/weights/weights_index.h"
#include "tensor/tensor.h"

namespace plumage {

class WeightsFile {
 public:
  /// Throws InputError naming the file.
  explicit WeightsFile(const std::filesystem::path& path) : file_(path), index_(index_weights(file_)) {}

  const std::string& name() const { return file_.name(); }
  const WeightsIndex& index() const { return index_; }
  /// Its numbers as one of plumage's types (StoredTypeInfo::dtype). Throws InputError for more than five
  /// dimensions.
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
