// Picture files: any bytes end in a picture or an InputError.
#include "data/decode.h"
#include "tensor/errors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  try {
    plumage::Image image = plumage::decode_image({bytes, size}, "FUZZ");
    if (int64_t(image.rgb.size()) != image.width * image.height * 3) __builtin_trap();
  } catch (const plumage::InputError&) {
  }
  return 0;
}
