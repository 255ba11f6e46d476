// The pickle interpreter alone.
#include "nn/weights/pickle.h"
#include "tests/fuzz/hostile_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return plumage::test::read_hostile(
      data, size, [](const plumage::InputFile& file) { return plumage::read_pickle(file, 0); });
}
