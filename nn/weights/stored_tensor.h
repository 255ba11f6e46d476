// A tensor as a file holds it: its type there, its shape, and where its numbers stand. Found by the readers
// of containers (safetensors.cpp, pytorch_file.cpp), read by nn/weights/weights_file.cpp.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nn/weights/input_file.h"
#include "tensor/dtype.h"

namespace plumage {

/// What files hold; more than the six types that plumage computes with.
enum class StoredType : uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

struct StoredTypeInfo {
  StoredType type;
  const char* name;         ///< "f32"; "bool"
  const char* safetensors;  ///< "F32"
  const char* torch;        ///< "float32", its dtype
  const char* storage;      ///< "FloatStorage"; "" if torch has none of that name
  int64_t bytes;            ///< an element
  DType dtype;              ///< the type that holds all of its values in memory (u64: those below 2^63)
};
const StoredTypeInfo& info_of(StoredType type);
std::string_view name_of(StoredType type);
/// Nothing if there is none of that name.
const StoredTypeInfo* find_safetensors_type(std::string_view name);
const StoredTypeInfo* find_torch_type(std::string_view dtype);
const StoredTypeInfo* find_torch_storage(std::string_view storage);
/// The type that holds plumage's own.
StoredType stored_type(DType type);

struct StoredTensor {
  std::string name;
  StoredType type = StoredType::f32;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  ///< in elements, one a dimension; may be 0 (expanded)
  int64_t begin = 0;             ///< byte in the file of element 0

  int64_t count() const;  ///< elements; of a checked tensor
  int64_t bytes() const;  ///< that it takes when laid out densely
  int64_t span() const;   ///< bytes in the file from its first element to its last
  bool is_dense() const;  ///< row-major without gaps
};

/// Strides of a dense tensor of this shape.
std::vector<int64_t> dense_strides(const std::vector<int64_t>& shape);
/// "[2, 3]"
std::string shape_text(const std::vector<int64_t>& shape);

/// Why the tensor, whose element 0 is element `offset` of a storage of `storage_bytes` bytes, cannot be; ""
/// if it can: no size is negative, nothing overflows, every element lies in the storage.
std::string fault_of(const StoredTensor& tensor, int64_t offset, int64_t storage_bytes);

/// Its numbers, densely, as the file has them; `to` takes tensor.bytes(). The tensor has been checked.
void read_numbers(const InputFile& file, const StoredTensor& tensor, void* to);

}  // namespace plumage
