// How ref kernels read and write: every float as a double, rounded once when stored. Speed is not a concern
// here, being obviously right is. Next: the kernels beside this file, tensor/ops.def says what each computes.
#pragma once
#include <cmath>
#include <limits>

#include "tensor/backend/convert.h"
#include "tensor/backend/kernels.h"

namespace plumage::ref {

/// Elements of a tensor of any float type.
class Reader {
 public:
  explicit Reader(const In& in) : data_(in.data), dtype_(in.dtype) {}
  explicit Reader(const Out& out) : data_(out.data), dtype_(out.dtype) {}
  double operator[](int64_t i) const {
    switch (dtype_) {
      case DType::f64:
        return static_cast<const double*>(data_)[i];
      case DType::f32:
        return double(static_cast<const float*>(data_)[i]);
      default:
        return double(float(static_cast<const bf16*>(data_)[i]));
    }
  }

 private:
  const void* data_;
  DType dtype_;
};

class Writer {
 public:
  explicit Writer(const Out& out) : data_(out.data), dtype_(out.dtype) {}
  void set(int64_t i, double v) const {
    switch (dtype_) {
      case DType::f64:
        static_cast<double*>(data_)[i] = v;
        break;
      case DType::f32:
        static_cast<float*>(data_)[i] = float(v);
        break;
      default:
        static_cast<bf16*>(data_)[i] = rounded<bf16>(v);
        break;
    }
  }

 private:
  void* data_;
  DType dtype_;
};

/// Size of the last dimension and the number of rows before it (0 where nothing is to be done).
struct Rows {
  int64_t rows, columns;
  explicit Rows(const Shape& shape) : columns(shape.rank() ? shape[-1] : 1) {
    rows = 1;
    for (int i = 0; i + 1 < shape.rank(); ++i) rows *= shape[i];
  }
};

/// The larger; NaN if either is.
inline double nan_max(double a, double b) { return a > b || std::isnan(a) ? a : b; }

/// Multiplications from which waking threads costs less than it gains.
inline constexpr int64_t kWorthThreads = 1 << 17;

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace plumage::ref
