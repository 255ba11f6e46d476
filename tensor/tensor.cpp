#include "tensor/tensor.h"

#include <algorithm>
#include <cstring>

#include "tensor/accelerator.h"
#include "tensor/context.h"
#include "tensor/ops.h"
#include "tensor/profile.h"

namespace plumage {

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  Tensor t;
  t.storage_ = std::make_shared<Storage>(shape.count() * size_of(dtype), device);
  t.raw_ = t.storage_->data;
  t.shape_ = shape;
  t.dtype_ = dtype;
  return t;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) { return full(shape, 0, dtype, device); }

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  ops::fill(t, value);
  return t;
}

Tensor Tensor::scalar(double value, DType dtype, Device device) { return full({}, value, dtype, device); }

template <class T>
Tensor Tensor::from(std::span<const T> values, const Shape& shape) {
  if (int64_t(values.size()) != shape.count())
    throw ShapeError(message("Tensor::from: ", values.size(), " values for shape ", shape.str()));
  Tensor t = empty(shape, dtype_of<T>);
  if (!values.empty()) std::memcpy(t.raw_, values.data(), values.size_bytes());
  return t;
}

Device Tensor::device() const { return storage_ ? storage_->device : Device{}; }

template <class T>
const T* Tensor::data() const {
  if (dtype_ != dtype_of<T>) throw DTypeError(message("tensor is ", name_of(dtype_), ", read as ", name_of(dtype_of<T>)));
  if (device().kind != Device::Kind::cpu) throw DeviceError("tensor is on " + device().str() + ", read on the CPU");
  return static_cast<const T*>(raw_);
}

template <class T>
T* Tensor::data() { return const_cast<T*>(static_cast<const Tensor*>(this)->data<T>()); }

#define PLUMAGE_INSTANTIATE(T)                                                \
  template Tensor Tensor::from<T>(std::span<const T>, const Shape&);         \
  template T* Tensor::data<T>();                                             \
  template const T* Tensor::data<T>() const;
PLUMAGE_INSTANTIATE(double)
PLUMAGE_INSTANTIATE(float)
PLUMAGE_INSTANTIATE(bf16)
PLUMAGE_INSTANTIATE(int64_t)
PLUMAGE_INSTANTIATE(int32_t)
PLUMAGE_INSTANTIATE(uint8_t)
#undef PLUMAGE_INSTANTIATE

double Tensor::item() const {
  if (count() != 1) throw ShapeError(message("item: wanted one element, got shape ", shape_.str()));
  return to_vector()[0];
}

std::vector<double> Tensor::to_vector() const {
  std::vector<double> out(static_cast<size_t>(count()));
  if (out.empty()) return out;
  if (device().kind != Device::Kind::cpu) return to(Device{}).to_vector();
  visit_any(dtype_, [&](auto zero) {
    using T = decltype(zero);
    const T* p = data<T>();
    for (size_t i = 0; i < out.size(); ++i) out[i] = double(p[i]);
  });
  return out;
}

Tensor Tensor::reshape(const Shape& shape) const {
  if (shape.count() != shape_.count())
    throw ShapeError(message("reshape: ", shape_.str(), " has not as many elements as ", shape.str()));
  Tensor t = *this;
  t.shape_ = shape;
  return t;
}

Tensor Tensor::reshape(std::initializer_list<int64_t> sizes) const {
  Shape known, shape;
  for (int64_t s : sizes) if (s >= 0) known.push_back(s);
  for (int64_t s : sizes) shape.push_back(s >= 0 ? s : (known.count() > 0 ? shape_.count() / known.count() : 0));
  return reshape(shape);
}

Tensor Tensor::slice(int64_t first, int64_t n) const {
  if (rank() < 1 || first < 0 || n < 0 || first > size(0) - n)
    throw ShapeError(message("slice: ", n, " rows from ", first, " of shape ", shape_.str()));
  Tensor t = *this;
  t.shape_.set(0, n);
  int64_t row = size(0) ? count() / size(0) : 0;
  t.raw_ = static_cast<char*>(raw_) + first * row * size_of(dtype_);
  return t;
}

Tensor Tensor::clone() const {
  if (!defined()) return {};
  Tensor t = empty(shape_, dtype_, device());
  t.copy_from(*this);
  return t;
}

Tensor Tensor::to(Device device) const {
  if (!defined() || device == this->device()) return *this;
  Tensor t = empty(shape_, dtype_, device);
  t.copy_from(*this);
  return t;
}

namespace {

// One more than the largest, or -1 if an element is negative.
int64_t limit_of(std::span<const int64_t> indices) {
  if (indices.empty()) return 0;
  auto [least, most] = std::minmax_element(indices.begin(), indices.end());
  return *least < 0 ? -1 : *most + 1;
}

}  // namespace

void Tensor::copy_from(const Tensor& source) {
  if (!(shape_ == source.shape_) || dtype_ != source.dtype_)
    throw ShapeError(message("copy: ", name_of(source.dtype_), " ", source.shape_.str(), " into ", name_of(dtype_), " ",
                             shape_.str()));
  if (bytes() == 0) return;
  Device from = source.device(), here = device();
  if (from.kind == Device::Kind::cpu && here.kind == Device::Kind::cpu) {
    std::memmove(raw_, source.raw_, size_t(bytes()));
    return;
  }
  {
    const Device device = here.kind == Device::Kind::cpu ? from : here;
    OpTimer timer(Context::of(device), OtherWork::copy, shape_, dtype_);
    timer.moves_bytes(double(bytes()) * ((from == device) + (here == device)));
    accelerator::copy(raw_, here, source.raw_, from, bytes());
  }
  if (dtype_ == DType::i64 && here.kind != Device::Kind::cpu)
    note_index_limit(from.kind == Device::Kind::cpu ? limit_of(source.span<int64_t>()) : source.index_limit());
}

int64_t Tensor::index_limit() const { return storage_ ? storage_->index_limit : -1; }

void Tensor::note_index_limit(int64_t limit) {
  if (device().kind == Device::Kind::cpu) return;  // may be written to by anybody
  int64_t& known = storage_->index_limit;
  if (bytes() == storage_->bytes || limit < 0) known = limit;
  else if (known >= 0) known = std::max(known, limit);  // the rest of the memory is as it was
}

void expect_shape(const Tensor& t, std::initializer_list<int64_t> sizes, const char* what) {
  bool same = t.defined() && t.rank() == int(sizes.size());
  int i = 0;
  for (int64_t s : sizes) {
    if (same && s >= 0 && t.size(i) != s) same = false;
    ++i;
  }
  if (same) return;
  std::string want = "[";
  for (int64_t s : sizes) want += (want.size() > 1 ? ", " : "") + (s < 0 ? std::string("*") : std::to_string(s));
  throw ShapeError(message(what, ": wanted shape ", want, "], got ", t.defined() ? t.shape().str() : "nothing"));
}

}  // namespace plumage
