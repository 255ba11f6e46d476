#include "nn/weights/weights_index.h"

#include <algorithm>
#include <string_view>

#include "tensor/errors.h"

namespace plumage {

namespace {

/// The container that the first bytes are of. A header's length may look like a zip's or a pickle's first
/// bytes, so safetensors, which has a brace at byte 8 where those cannot, comes first.
std::string recognise(const InputFile& file) {
  char head[512] = {};
  int64_t bytes = std::min<int64_t>(file.size(), int64_t(sizeof head));
  file.read(0, head, bytes);
  std::string_view start(head, size_t(bytes));
  if (start.empty()) file.refuse("is empty: 0 bytes");
  if (bytes > 8 && head[8] == '{') return "safetensors";
  if (start.starts_with("PK\3\4") || start.starts_with("PK\5\6")) return "zip";
  if (start.starts_with("\x80")) return "legacy";
  if (bytes > 262 && start.substr(257, 5) == "ustar")
    file.refuse(
        "is a tar archive (PyTorch before 0.2 or a packed folder); unpack it, or save it again with a newer "
        "PyTorch");
  if (start.starts_with("\x1f\x8b")) file.refuse("is compressed by gzip; run gunzip first");
  if (start.starts_with("\x89HDF")) file.refuse("is an HDF5 file (Keras), not PyTorch's or safetensors");
  if (start.starts_with("version https://git-lfs"))
    file.refuse("is a git-lfs pointer, not the weights; run git lfs pull");
  if (start.starts_with("<")) file.refuse("is a web page, not weights; download it again");
  return "unknown";
}

}  // namespace

WeightsIndex index_weights(const InputFile& file) {
  std::string container = recognise(file);
  WeightsIndex index = container == "zip"      ? index_pytorch_zip(file)
                       : container == "legacy" ? index_pytorch_legacy(file)
                                               : index_safetensors(file);
  // An expanded tensor says in a few bytes what would fill any memory, and many with wide strides what would
  // read for hours.
  int64_t room = 16 * file.size() + (int64_t(64) << 20);
  for (const auto* tensors : {&index.tensors, &index.others})
    for (const StoredTensor& tensor : *tensors) {
      int64_t cost = std::max(tensor.bytes(), tensor.span());
      if (cost > room)
        file.refuse(message("its tensors (", tensor.name, " ", shape_text(tensor.shape),
                            ") would take many times the ", file.size(), " bytes of the file"));
      room -= cost;
    }
  return index;
}

}  // namespace plumage
