// Numbers without gradients: a handle to counted memory, a shape, a type, a device. Next: tensor/ops.h.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace plumage {

struct Device {
  enum class Kind : uint8_t { cpu, cuda };
  Kind kind = Kind::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
  std::string str() const { return kind == Kind::cpu ? "cpu" : "cuda:" + std::to_string(index); }
};

struct Storage;  // tensor/allocator.h

/// Always dense and row-major; images are [N, H, W, C]. Copies share memory. Reshape and a slice along the
/// first dimension are views, everything else computes. There are no strides.
class Tensor {
 public:
  Tensor() = default;  ///< undefined: no memory, `defined()` is false

  /// Memory with unspecified contents. Throws MachineError when there is not enough.
  static Tensor empty(const Shape& shape, DType dtype = DType::f32, Device device = {});
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32, Device device = {});
  static Tensor full(const Shape& shape, double value, DType dtype = DType::f32, Device device = {});
  /// A copy of `values` on the CPU, of their type; throws ShapeError unless there are shape.count() of them.
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape);
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return from(std::span<const T>(values), shape);
  }
  static Tensor scalar(double value, DType dtype = DType::f32, Device device = {});  ///< rank 0

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int64_t size(int i) const { return shape_[i]; }
  int rank() const { return shape_.rank(); }
  int64_t count() const { return defined() ? shape_.count() : 0; }
  int64_t bytes() const { return count() * size_of(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const;

  /// Elements in row-major order. Throws DTypeError if T is another type, DeviceError if not on the CPU.
  template <class T> T* data();
  template <class T> const T* data() const;
  template <class T> std::span<T> span() { return {data<T>(), size_t(count())}; }
  template <class T> std::span<const T> span() const { return {data<T>(), size_t(count())}; }
  void* raw() { return raw_; }
  const void* raw() const { return raw_; }
  /// The only element as a double; on a device this waits for it. Throws ShapeError unless count() is 1.
  double item() const;
  /// All elements as doubles, for tests and small reports; on a device this waits for them.
  std::vector<double> to_vector() const;

  /// Same memory, other shape of the same count; one size may be -1. Throws ShapeError.
  Tensor reshape(std::initializer_list<int64_t> sizes) const;
  Tensor reshape(const Shape& shape) const;
  /// View of rows first .. first+count-1 along the first dimension. Throws ShapeError.
  Tensor slice(int64_t first, int64_t count) const;
  Tensor clone() const;  ///< a copy in memory of its own
  Tensor to(Device device) const;  ///< the same tensor if it is there already, else a copy
  /// Copies `source`'s elements here, from any device; shape and type must agree.
  void copy_from(const Tensor& source);

  /// i64 on a device: all elements are known to be 0 .. index_limit()-1, from the CPU before they were copied or from the
  /// op that made them, so that indices are checked without reading them back; -1: nothing is known. The CPU reads.
  int64_t index_limit() const;
  void note_index_limit(int64_t limit);  ///< after these elements, all or a part of the memory, were written to

  /// True if no other Tensor shares this memory.
  bool is_unique() const { return storage_.use_count() == 1; }
  bool same_memory(const Tensor& o) const { return raw_ == o.raw_; }

 private:
  std::shared_ptr<Storage> storage_;
  void* raw_ = nullptr;
  Shape shape_;
  DType dtype_ = DType::f32;
};

/// Throws ShapeError naming `what` unless t has this shape; -1 matches any size.
void expect_shape(const Tensor& t, std::initializer_list<int64_t> sizes, const char* what);

}  // namespace plumage
