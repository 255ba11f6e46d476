// PyTorch's zip archive: the directory, the pickle in it, the places of its tensors.
#include "nn/weights/weights_index.h"
#include "tests/fuzz/hostile_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return plumage::test::read_hostile(
      data, size, [](const plumage::InputFile& file) { return plumage::index_pytorch_zip(file); });
}
