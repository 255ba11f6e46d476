// What every op does before its kernel runs: check, allocate, pick the kernel. For tensor/*ops.cpp alone.
#pragma once
#include "tensor/context.h"
#include "tensor/ops.h"
#include "tensor/profile.h"

namespace plumage::ops {

inline In in(const Tensor& t) { return {t.raw(), t.shape(), t.dtype()}; }
inline Out out(Tensor& t) { return {t.raw(), t.shape(), t.dtype()}; }
inline In maybe_in(const Tensor& t) { return t.defined() ? in(t) : In{}; }

// Runs an op's kernel from the table of `like`'s device and type.
#define DISPATCH(name, like, ...)                                          \
  do {                                                                     \
    Context& context_ = Context::of((like).device());                      \
    OpTimer timer_(context_, Op::name, (like).shape(), (like).dtype());    \
    timer_.moves(__VA_ARGS__);                                             \
    context_.kernels((like).dtype()).name(context_, __VA_ARGS__);          \
  } while (false)

inline void check_float(const Tensor& t, const char* op, const char* argument) {
  if (!t.defined()) throw ShapeError(message(op, ": ", argument, " is undefined"));
  if (!is_float(t.dtype()))
    throw DTypeError(message(op, ": ", argument, " must be f64, f32 or bf16, got ", name_of(t.dtype())));
}

inline void check_device(const Tensor& t, const Tensor& like, const char* op, const char* argument) {
  if (!(t.device() == like.device()))
    throw DeviceError(message(op, ": ", argument, " is on ", t.device().str(), ", wanted ", like.device().str()));
}

inline void check_like(const Tensor& t, const Tensor& like, const char* op, const char* argument) {
  if (!t.defined()) throw ShapeError(message(op, ": ", argument, " is undefined"));
  if (t.dtype() != like.dtype())
    throw DTypeError(message(op, ": ", argument, " must be ", name_of(like.dtype()), ", got ", name_of(t.dtype())));
  check_device(t, like, op, argument);
}

inline void check_shape(const Tensor& t, const Shape& shape, const char* op, const char* argument) {
  if (!(t.shape() == shape))
    throw ShapeError(message(op, ": ", argument, " must have shape ", shape.str(), ", got ", t.shape().str()));
}

inline void check_rank(const Tensor& t, int rank, const char* op, const char* argument, const char* layout) {
  if (t.rank() != rank) throw ShapeError(message(op, ": ", argument, " must be ", layout, ", got ", t.shape().str()));
}

/// A number that a kernel reads when it runs: one element of `type` beside `like`.
inline void check_live(const Tensor& t, DType type, Device device, const char* op, const char* argument) {
  if (!t.defined() || t.dtype() != type || t.count() != 1)
    throw ShapeError(message(op, ": ", argument, " must be one ", name_of(type), t.defined() ? ", got " + t.shape().str() + " of " + std::string(name_of(t.dtype())) : ", is undefined"));
  if (!(t.device() == device)) throw DeviceError(message(op, ": ", argument, " is on ", t.device().str(), ", wanted ", device.str()));
}

/// Indices beside `like`, on its device: i64, 0 .. limit-1.
inline void check_index(const Tensor& index, const Tensor& like, int64_t limit, const char* op, const char* argument) {
  if (index.dtype() != DType::i64)
    throw DTypeError(message(op, ": ", argument, " must be i64, got ", name_of(index.dtype())));
  check_device(index, like, op, argument);
  if (index.index_limit() >= 0 && index.index_limit() <= limit) return;  // known on a device, without waiting for it
  const Tensor here = index.to(Device{});
  for (int64_t i : here.span<int64_t>())
    if (i < 0 || i >= limit) throw ShapeError(message(op, ": ", argument, " holds ", i, ", wanted 0 to ", limit - 1));
}

inline Shape without_last(const Shape& s, const char* op) {
  if (s.rank() < 1) throw ShapeError(message(op, ": x must have at least one dimension, got a scalar"));
  Shape y;
  for (int i = 0; i + 1 < s.rank(); ++i) y.push_back(s[i]);
  return y;
}

inline Shape with_last(const Shape& s, int64_t last) {
  Shape y = s;
  y.set(-1, last);
  return y;
}

/// Type of statistics, norms and sums kept beside data of type t.
inline DType statistics_type(DType t) { return t == DType::f64 ? DType::f64 : DType::f32; }

inline Tensor like(const Tensor& t) { return Tensor::empty(t.shape(), t.dtype(), t.device()); }

}  // namespace plumage::ops
