// Numbers into and out of safetensors files. Their names in a module: nn/weights/state.cpp.
#include "nn/weights/safetensors.h"

#include <algorithm>
#include <utility>

#include "nn/weights/output_file.h"
#include "nn/weights/safetensors_header.h"
#include "nn/weights/weights_file.h"

namespace plumage {

namespace fs = std::filesystem;

TensorFile read_safetensors(const fs::path& path) {
  InputFile file(path);
  WeightsIndex index = index_safetensors(file);
  TensorFile result;
  for (const StoredTensor& tensor : index.tensors)
    result.tensors.emplace(tensor.name, read_stored(file, tensor));
  result.metadata = std::move(index.metadata);
  return result;
}

void write_safetensors(const fs::path& path, const TensorFile& file) {
  std::vector<TensorBytes> tensors;
  for (const auto& [name, tensor] : file.tensors) {
    if (!tensor.defined()) throw InputError("safetensors: tensor " + name + " is undefined");
    TensorBytes& bytes = tensors.emplace_back(TensorBytes{name, stored_type(tensor.dtype()), {}, tensor});
    for (int i = 0; i < tensor.rank(); ++i) bytes.shape.push_back(tensor.size(i));
  }
  write_safetensors(path, tensors, file.metadata);
}

void write_safetensors(const fs::path& path, const std::vector<TensorBytes>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<const TensorBytes*> order;
  for (const TensorBytes& tensor : tensors) order.push_back(&tensor);
  // Wide types first: all data is then aligned to its type.
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return info_of(a->type).bytes > info_of(b->type).bytes;
  });
  SafetensorsHeader header{.metadata = metadata};
  int64_t offset = 0;
  for (const TensorBytes* tensor : order) {
    int64_t end = offset + tensor->numbers.bytes();
    header.entries.push_back({tensor->name, info_of(tensor->type).safetensors, tensor->shape, offset, end});
    offset = end;
  }
  std::string text = format_safetensors_header(header);
  while (text.size() % 8) text += ' ';
  uint64_t length = text.size();
  OutputFile file(path);
  file.write(&length, 8);
  file.write(text.data(), int64_t(length));
  for (const TensorBytes* tensor : order) file.write(tensor->numbers.raw(), tensor->numbers.bytes());
  file.finish();
}

}  // namespace plumage
