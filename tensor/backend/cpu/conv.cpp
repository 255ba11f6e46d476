// Chooses how a convolution is computed, by its shape alone. Next: few_pixels.cpp, winograd.cpp, onednn_conv.cpp, im2col.cpp.
#include "tensor/backend/cpu/conv.h"

#include <cstring>

#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu {
namespace {

bool empty(const Shape& x, const Shape& w, const Shape& y) { return !x.count() || !w.count() || !y.count(); }
void clear(Out y) { std::memset(y.data, 0, size_t(y.count() * size_of(y.dtype))); }

// The epilogue as a pass of its own, y read and written.
template <class T>
void finish(Context& context, T* y, int64_t rows, int64_t channels, const Epilogue& epilogue) {
  const float* shift = epilogue.shift.as<float>();
  const T* residual = epilogue.residual.as<T>();
  parallel_rows(context, rows, channels, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row)
      for_vectors(0, channels, [&](int64_t c, int64_t lanes) {
        int64_t i = row * channels + c;
        V v = load_n(y + i, lanes) + load_n(shift + c, lanes);
        if (residual) v += load_n(residual + i, lanes);
        store_n(y + i, epilogue.relu ? vrelu(v) : v, lanes);
      });
  });
}

}  // namespace

void conv2d(Context& context, In x, In w, Out y, Window window) {
  flush_denormals();
  if (empty(x.shape, w.shape, y.shape)) return clear(y);
  if (few_pixels::fits(x.shape, w.shape, y.shape, x.dtype)) return few_pixels::conv2d(context, x, w, y, window);
  if (winograd::fits(w.shape, y.shape, window, x.dtype)) return winograd::conv2d(context, x, w, y, window);
  if (!onednn::conv2d(context, x, w, y, window)) im2col::conv2d(context, x, w, y, window);
}

void conv2d_frozen(Context& context, In x, In w, In shift, In residual, Out y, Window window, Activation activation) {
  if (y.count() == 0) return;
  flush_denormals();
  Epilogue epilogue{shift, residual, activation == Activation::relu};
  bool few = few_pixels::fits(x.shape, w.shape, y.shape, x.dtype), nothing = empty(x.shape, w.shape, y.shape);
  if (!few && !nothing) {
    if (winograd::fits(w.shape, y.shape, window, x.dtype)) return winograd::conv2d(context, x, w, y, window, &epilogue);
    if (onednn::conv2d(context, x, w, y, window, &epilogue)) return;
  }
  conv2d(context, x, w, y, window);
  int64_t rows = y.count() / y.shape[3];
  if (y.dtype == DType::bf16) finish(context, y.as<bf16>(), rows, y.shape[3], epilogue);
  else finish(context, y.as<float>(), rows, y.shape[3], epilogue);
}

void conv2d_dx(Context& context, In dy, In w, Out dx, Window window) {
  flush_denormals();
  if (empty(dx.shape, w.shape, dy.shape)) return clear(dx);
  if (few_pixels::fits(dx.shape, w.shape, dy.shape, dy.dtype)) return few_pixels::conv2d_dx(context, dy, w, dx, window);
  if (winograd::fits(w.shape, dy.shape, window, dy.dtype)) return winograd::conv2d_dx(context, dy, w, dx, window);
  if (!onednn::conv2d_dx(context, dy, w, dx, window)) im2col::conv2d_dx(context, dy, w, dx, window);
}

void conv2d_dw(Context& context, In x, In dy, Out dw, Window window) {
  flush_denormals();
  if (empty(x.shape, dw.shape, dy.shape)) return clear(dw);
  if (few_pixels::fits(x.shape, dw.shape, dy.shape, x.dtype)) return few_pixels::conv2d_dw(context, x, dy, dw, window);
  if (winograd::fits(dw.shape, dy.shape, window, x.dtype)) return winograd::conv2d_dw(context, x, dy, dw, window);
  if (!onednn::conv2d_dw(context, x, dy, dw, window)) im2col::conv2d_dw(context, x, dy, dw, window);
}

}  // namespace plumage::cpu
