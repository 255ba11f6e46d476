// Configuration files and --set: any text ends in a Config or an InputError, and what is written reads back the same.
#include "cli/config.h"

#include "tensor/errors.h"

using namespace plumage;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  std::string text(reinterpret_cast<const char*>(bytes), size);
  Config config;
  try {
    read_config_text(text, "FUZZ", config);
    std::string written = config_text(config);
    Config again;
    read_config_text(written, "WRITTEN", again);
    if (config_text(again) != written) __builtin_trap();
  } catch (const InputError&) {
  }
  try {
    set_config(text.substr(0, text.find('\n')), config);
  } catch (const InputError&) {
  }
  return 0;
}
