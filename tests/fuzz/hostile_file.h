// What every fuzz target of the readers of weights does: whatever the bytes are, they are read or refused by
// an InputError.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "nn/weights/weights_index.h"
#include "tensor/errors.h"

namespace plumage::test {

inline void read_small_tensors(const InputFile& file, const WeightsIndex& index) {
  for (const StoredTensor& tensor : index.tensors) {
    if (tensor.bytes() > (1 << 16)) continue;
    std::vector<char> numbers(static_cast<size_t>(tensor.bytes()));
    read_numbers(file, tensor, numbers.data());
  }
}
template <class Other>
void read_small_tensors(const InputFile&, const Other&) {}

template <class Read>
int read_hostile(const uint8_t* data, size_t size, Read read) {
  InputFile file("hostile", {reinterpret_cast<const char*>(data), size});
  try {
    read_small_tensors(file, read(file));
  } catch (const InputError&) {
  }
  return 0;
}

}  // namespace plumage::test
