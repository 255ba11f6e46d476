// The header of a safetensors file against its size.
#include "nn/weights/weights_index.h"
#include "tests/fuzz/hostile_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return plumage::test::read_hostile(
      data, size, [](const plumage::InputFile& file) { return plumage::index_safetensors(file); });
}
