#include "nn/weights/stored_tensor.h"

#include <algorithm>
#include <cstring>

namespace plumage {

namespace {

constexpr StoredTypeInfo kTypes[] = {
    {StoredType::f64, "f64", "F64", "float64", "DoubleStorage", 8, DType::f64},
    {StoredType::f32, "f32", "F32", "float32", "FloatStorage", 4, DType::f32},
    {StoredType::f16, "f16", "F16", "float16", "HalfStorage", 2, DType::f32},
    {StoredType::bf16, "bf16", "BF16", "bfloat16", "BFloat16Storage", 2, DType::bf16},
    {StoredType::i64, "i64", "I64", "int64", "LongStorage", 8, DType::i64},
    {StoredType::i32, "i32", "I32", "int32", "IntStorage", 4, DType::i32},
    {StoredType::i16, "i16", "I16", "int16", "ShortStorage", 2, DType::i32},
    {StoredType::i8, "i8", "I8", "int8", "CharStorage", 1, DType::i32},
    {StoredType::u64, "u64", "U64", "uint64", "", 8, DType::i64},
    {StoredType::u32, "u32", "U32", "uint32", "", 4, DType::i64},
    {StoredType::u16, "u16", "U16", "uint16", "", 2, DType::i32},
    {StoredType::u8, "u8", "U8", "uint8", "ByteStorage", 1, DType::u8},
    {StoredType::boolean, "bool", "BOOL", "bool", "BoolStorage", 1, DType::u8}};

const StoredTypeInfo* find_type(const char* StoredTypeInfo::*field, std::string_view name) {
  for (const StoredTypeInfo& type : kTypes)
    if (!name.empty() && name == type.*field) return &type;
  return nullptr;
}

}  // namespace

const StoredTypeInfo& info_of(StoredType type) { return kTypes[size_t(type)]; }
std::string_view name_of(StoredType type) { return info_of(type).name; }
const StoredTypeInfo* find_safetensors_type(std::string_view name) {
  return find_type(&StoredTypeInfo::safetensors, name);
}
const StoredTypeInfo* find_torch_type(std::string_view dtype) {
  return find_type(&StoredTypeInfo::torch, dtype);
}
const StoredTypeInfo* find_torch_storage(std::string_view storage) {
  return find_type(&StoredTypeInfo::storage, storage);
}

StoredType stored_type(DType type) {
  switch (type) {
    case DType::f64:
      return StoredType::f64;
    case DType::f32:
      return StoredType::f32;
    case DType::bf16:
      return StoredType::bf16;
    case DType::i64:
      return StoredType::i64;
    case DType::i32:
      return StoredType::i32;
    case DType::u8:
      return StoredType::u8;
  }
  return StoredType::f32;
}

int64_t StoredTensor::count() const {
  int64_t count = 1;
  for (int64_t size : shape) {
    if (size == 0) return 0;  // before the others' product, which need not fit
    count *= size;
  }
  return count;
}

int64_t StoredTensor::bytes() const { return count() * info_of(type).bytes; }

int64_t StoredTensor::span() const {
  if (count() == 0) return 0;
  int64_t last = 0;
  for (size_t i = 0; i < shape.size(); ++i) last += (shape[i] - 1) * strides[i];
  return (last + 1) * info_of(type).bytes;
}

bool StoredTensor::is_dense() const {
  int64_t wanted = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != wanted) return false;
    wanted *= shape[i];
  }
  return true;
}

std::vector<int64_t> dense_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<int64_t>(shape[i], 1);
  }
  return strides;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

std::string fault_of(const StoredTensor& tensor, int64_t offset, int64_t storage_bytes) {
  int64_t element = info_of(tensor.type).bytes, bytes = element, last = offset, reach;
  bool empty = false;
  if (tensor.strides.size() != tensor.shape.size())
    return message("its shape has ", tensor.shape.size(), " dimensions, its strides ", tensor.strides.size());
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    int64_t size = tensor.shape[i], stride = tensor.strides[i];
    if (size < 0 || stride < 0 || offset < 0) return "a size, stride or offset is negative";
    empty |= size == 0;
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes) ||
        __builtin_mul_overflow(std::max<int64_t>(size - 1, 0), stride, &reach) ||
        __builtin_add_overflow(last, reach, &last))
      return "shape " + shape_text(tensor.shape) + " is beyond any memory";
  }
  if (offset < 0) return "its offset is negative";
  if (empty) return "";
  int64_t end;  // the byte after the last element
  if (__builtin_add_overflow(last, int64_t{1}, &end) || __builtin_mul_overflow(end, element, &end) ||
      end > storage_bytes)
    return message("shape ", shape_text(tensor.shape), " of ", name_of(tensor.type), " from element ", offset,
                   " on reaches beyond its storage of ", storage_bytes, " bytes");
  return "";
}

void read_numbers(const InputFile& file, const StoredTensor& tensor, void* to) {
  int64_t count = tensor.count(), element = info_of(tensor.type).bytes;
  if (count == 0) return;
  if (tensor.is_dense()) return file.read(tensor.begin, to, count * element);

  std::vector<char> span(static_cast<size_t>(tensor.span()));
  file.read(tensor.begin, span.data(), int64_t(span.size()));
  std::vector<int64_t> index(tensor.shape.size(), 0);
  int64_t from = 0;
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(static_cast<char*>(to) + i * element, span.data() + from * element, size_t(element));
    for (size_t d = index.size(); d-- > 0;) {  // the next index, rightmost first
      from += tensor.strides[d];
      if (++index[d] < tensor.shape[d]) break;
      from -= tensor.shape[d] * tensor.strides[d];
      index[d] = 0;
    }
  }
}

}  // namespace plumage
