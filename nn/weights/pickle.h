// What a pickle of weights says, as data: nested containers with tensors in them, which point at storages
// that the container holds elsewhere. Nothing is called, whatever the pickle asks for. Next:
// nn/weights/pytorch_file.cpp.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "nn/weights/input_file.h"
#include "nn/weights/stored_tensor.h"

namespace plumage {

/// A value: containers hold such references, so that shared and cyclic ones are no matter.
using PickleRef = uint32_t;

struct PickleValue {
  enum class Kind : uint8_t {
    none,
    boolean,
    integer,
    wide_integer,
    real,
    text,
    bytes,
    tuple,
    list,
    dictionary,
    record,
    global,
    storage,
    tensor
  };
  Kind kind = Kind::none;
  uint32_t length = 0;  ///< of a text
  int64_t number =
      0;  ///< the integer (a wide one's low 64 bits); else where the rest of it stands in its table
};

/// A storage that the pickle names; its bytes are the container's.
struct PickleStorage {
  std::string key;
  StoredType type = StoredType::u8;
  int64_t count = 0;  ///< elements
  int64_t view_first =
      0;  ///< element where it begins within the storage of that key (views before PyTorch 0.4)
};

struct PickleTensor {
  uint32_t storage = 0;
  StoredType type = StoredType::f32;
  int64_t offset = 0;  ///< elements
  std::vector<int64_t> shape, strides;
};

struct Pickle {
  std::vector<PickleValue> values;
  std::vector<std::vector<PickleRef>>
      children;  ///< of tuples, lists, dictionaries (key, value, key, value, ..)
  std::string texts;
  std::vector<PickleStorage> storages;
  std::vector<PickleTensor> tensors;
  PickleRef root = 0;
  int64_t end = 0;  ///< byte in the file after the pickle

  const PickleValue& at(PickleRef ref) const { return values[ref]; }
  bool is(PickleRef ref, PickleValue::Kind kind) const { return values[ref].kind == kind; }
  std::string text(PickleRef ref) const;                     ///< "" unless it is one
  const std::vector<PickleRef>& items(PickleRef ref) const;  ///< empty unless it is a container
};

/// Carries out the pickle that begins at byte `begin`. Takes only the opcodes that tensors and the options
/// beside them need, and only the classes and functions of nn/weights/pickle_globals.cpp; both are data to
/// it. Bounded: about two million values, no recursion. Throws InputError naming the file and the class,
/// function or opcode that it refused.
Pickle read_pickle(const InputFile& file, int64_t begin);

}  // namespace plumage
