// MATLAB files: any bytes end in tables or an InputError, and matio never sees what it cannot take.
#include "data/matlab_file.h"
#include "tensor/errors.h"
#include "tests/fuzz/scratch.h"

using namespace plumage;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  std::filesystem::path file = fuzz::write("table.mat", {reinterpret_cast<const char*>(bytes), size});
  try {
    MatlabTable table(file, "annotations");
    for (int64_t row = 0; row < table.rows(); ++row) {
      try {
        table.text(row, "fname");
        table.integer(row, "class");
      } catch (const InputError&) {
      }
    }
  } catch (const InputError&) {
  }
  try {
    read_matlab_texts(file, "class_names");
  } catch (const InputError&) {
  }
  return 0;
}
