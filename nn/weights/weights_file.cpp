#include "nn/weights/weights_file.h"

#include <cstring>

namespace plumage {

namespace {

float half_to_float(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, fraction = h & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0) return (sign ? -1.f : 1.f) * float(fraction) * 0x1p-24f;
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

/// Elements of type From become elements of `to`'s type.
template <class From, class To, class Convert>
void widen(const std::vector<char>& bytes, Tensor& to, Convert convert) {
  To* out = to.data<To>();
  for (int64_t i = 0; i < to.count(); ++i) {
    From element;
    std::memcpy(&element, bytes.data() + size_t(i) * sizeof(From), sizeof(From));
    out[i] = To(convert(element));
  }
}

}  // namespace

Tensor read_stored(const InputFile& file, const StoredTensor& tensor) {
  const StoredTypeInfo& type = info_of(tensor.type);
  if (tensor.shape.size() > size_t(Shape::kMaxRank))
    file.refuse("tensor " + tensor.name + ": shape " + shape_text(tensor.shape) +
                " has more than 5 dimensions");
  Shape shape;
  for (int64_t size : tensor.shape) shape.push_back(size);
  Tensor t = Tensor::empty(shape, type.dtype);
  if (type.bytes == size_of(type.dtype)) {
    read_numbers(file, tensor, t.raw());
    if (tensor.type == StoredType::u64)
      for (int64_t value : t.span<int64_t>())
        if (value < 0) file.refuse("tensor " + tensor.name + ": u64 beyond 2^63 is not supported");
    return t;
  }
  std::vector<char> raw(static_cast<size_t>(tensor.bytes()));
  read_numbers(file, tensor, raw.data());
  auto same = [](auto value) { return value; };
  switch (tensor.type) {
    case StoredType::f16:
      widen<uint16_t, float>(raw, t, half_to_float);
      break;
    case StoredType::i16:
      widen<int16_t, int32_t>(raw, t, same);
      break;
    case StoredType::i8:
      widen<int8_t, int32_t>(raw, t, same);
      break;
    case StoredType::u16:
      widen<uint16_t, int32_t>(raw, t, same);
      break;
    case StoredType::u32:
      widen<uint32_t, int64_t>(raw, t, same);
      break;
    default:
      break;
  }
  return t;
}

Tensor WeightsFile::read(const StoredTensor& tensor) const { return read_stored(file_, tensor); }

Tensor WeightsFile::read_bytes(const StoredTensor& tensor) const {
  Tensor bytes = Tensor::empty({tensor.bytes()}, DType::u8);
  read_numbers(file_, tensor, bytes.raw());
  return bytes;
}

}  // namespace plumage
