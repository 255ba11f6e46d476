// Chooses how a convolution is computed, by its shape alone. Next: winograd.cpp, phases.cpp, one_pixel.cpp, tap_products.cpp,
// few_pixels.cpp, few_filters.cpp, onednn_conv.cpp, im2col.cpp.
#include "tensor/backend/cpu/conv.h"

#include <cstring>

#include "tensor/backend/cpu/gemm.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu {
namespace {

constexpr int kDenseSlot = 2;  // matmul uses the others
constexpr int kAloneSlot = 4;  // no kernel that is called from here uses it

bool empty(const Shape& x, const Shape& w, const Shape& y) { return !x.count() || !w.count() || !y.count(); }
void clear(Out y) {
  if (y.count()) std::memset(y.data, 0, size_t(y.count() * size_of(y.dtype)));
}

// The epilogue as a pass of its own, y read and written.
void finish(Context& context, Out y, const Epilogue& epilogue) {
  if (y.count() == 0) return;
  const float* shift = epilogue.shift.as<float>();
  int64_t channels = y.shape[3];
  visit_fast(y.dtype, [&](auto type) {
    using T = decltype(type);
    T* to = y.as<T>();
    const T* residual = epilogue.residual.as<T>();
    parallel_rows(context, y.count() / channels, channels, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row)
        for_vectors(0, channels, [&](int64_t c, int64_t lanes) {
          int64_t i = row * channels + c;
          V v = load_n(to + i, lanes);
          if (shift) v += load_n(shift + c, lanes);
          if (residual) v += load_n(residual + i, lanes);
          store_n(to + i, epilogue.relu ? vrelu(v) : v, lanes);
        });
    });
  });
}

// y = dense at every stride-th row and column, zeros elsewhere; onto what is there, if given.
template <bool kStream, class T>
void spread_rows(const T* dense, const Shape& seen, const T* onto, T* y, const Shape& shape, int64_t stride, int64_t first, int64_t last) {
  int64_t width = shape[2], channels = shape[3];
  for (int64_t row = first; row < last; ++row) {
    int64_t n = row / shape[1], i = row % shape[1];
    const T* from = i % stride == 0 && i / stride < seen[1] ? dense + (n * seen[1] + i / stride) * seen[2] * channels : nullptr;
    for (int64_t j = 0; j < width; ++j) {
      const T* pixel = from && j % stride == 0 && j / stride < seen[2] ? from + j / stride * channels : nullptr;
      int64_t at = (row * width + j) * channels;
      T* to = y + at;
      if (onto == y && !pixel) continue;
      for_vectors(0, channels, [&](int64_t c, int64_t lanes) {
        V v = pixel ? load_n(pixel + c, lanes) : V{};
        if (onto) v += load_n(onto + at + c, lanes);
        if constexpr (kStream) stream(to + c, v);
        else store_n(to + c, v, lanes);
      });
    }
  }
  if constexpr (kStream) stream_end();
}

// 1x1 filters with a stride see every stride-th pixel: their gradient is a product, laid out among zeros.
void dx_of_every(int64_t stride, Context& context, In dy, In w, In onto, Out dx) {
  Shape seen = dy.shape;
  seen.set(3, dx.shape[3]);
  int64_t pixels = seen[0] * seen[1] * seen[2];
  In rows{dy.data, {pixels, dy.shape[3]}, dy.dtype}, filters{w.data, {w.shape[0], w.shape[3]}, w.dtype};
  Out dense{context.scratch(seen.count() * size_of(dx.dtype), kDenseSlot), {pixels, seen[3]}, dx.dtype};
  if (one_pixel::fits_dx(w.shape, dy.shape, {1, 0}, dx.dtype)) one_pixel::conv2d_dx(context, dy, w, {}, {dense.data, seen, dx.dtype}, {});
  else matmul(context, rows, filters, {}, dense, false, false);
  visit_fast(dx.dtype, [&](auto type) {
    using T = decltype(type);
    auto spread = dx.data != onto.data && streams(dx.as<T>(), dx.count(), dx.shape[3]) ? spread_rows<true, T> : spread_rows<false, T>;
    parallel_rows(context, dx.shape[0] * dx.shape[1], dx.shape[2] * dx.shape[3], [&](int64_t first, int64_t last) {
      spread(dense.as<T>(), seen, onto.as<T>(), dx.as<T>(), dx.shape, stride, first, last);
    });
  });
}

}  // namespace

// Those of Winograd alone, which come first below.
bool sees_upsampled(const Shape& w, const Shape& y, const Window& window, DType type) { return winograd::fits(w, y, window, type); }
// The own products with one pixel's filters.
bool sums_gradient(const Shape& w, const Shape& dy, const Window& window, DType type) { return one_pixel::fits_dx(w, dy, window, type); }

void conv2d(Context& context, In x, In w, Out y, Window window) {
  flush_denormals();
  if (empty(x.shape, w.shape, y.shape)) return clear(y);
  if (winograd::fits(w.shape, y.shape, window, x.dtype)) return winograd::conv2d(context, x, w, y, window);
  if (phases::fits(w.shape, y.shape, window, x.dtype)) return phases::conv2d(context, x, w, y, window);
  if (few_pixels::fits(x.shape, w.shape, y.shape, x.dtype)) return few_pixels::conv2d(context, x, w, y, window);
  if (one_pixel::fits(w.shape, y.shape, window, x.dtype)) return one_pixel::conv2d(context, x, w, y, window);
  if (few_filters::fits(w.shape)) return few_filters::conv2d(context, x, w, y, window);
  if (!onednn::conv2d(context, x, w, y, window)) im2col::conv2d(context, x, w, y, window);
}

void batch_norm_stats(Context& context, In x, Out mean, Out variance);  // batch_norm.cpp

void conv2d_stats(Context& context, In x, In w, Out y, Out mean, Out variance, Window window) {
  flush_denormals();
  if (!empty(x.shape, w.shape, y.shape)) {  // as conv2d chooses
    if (winograd::fits(w.shape, y.shape, window, x.dtype)) return winograd::conv2d_stats(context, x, w, y, mean, variance, window);
    if (phases::fits(w.shape, y.shape, window, x.dtype)) return phases::conv2d_stats(context, x, w, y, mean, variance, window);
    bool few = few_pixels::fits(x.shape, w.shape, y.shape, x.dtype);
    if (!few && one_pixel::fits(w.shape, y.shape, window, x.dtype))
      return one_pixel::conv2d_stats(context, x, w, y, mean, variance, window);
  }
  conv2d(context, x, w, y, window);
  batch_norm_stats(context, {y.data, y.shape, y.dtype}, mean, variance);
}

void conv2d_frozen(Context& context, In x, In w, In shift, In residual, Out y, Window window, Activation activation,
                   FilterOrder* order) {
  if (y.count() == 0) return;
  flush_denormals();
  Epilogue epilogue{shift, residual, activation == Activation::relu};
  if (!empty(x.shape, w.shape, y.shape)) {
    if (winograd::fits(w.shape, y.shape, window, x.dtype)) return winograd::conv2d(context, x, w, y, window, epilogue, order);
    if (phases::fits(w.shape, y.shape, window, x.dtype)) return phases::conv2d(context, x, w, y, window, epilogue);
    if (one_pixel::fits_frozen(w.shape, y.shape, window, x.dtype)) return one_pixel::conv2d_frozen(context, x, w, y, window, epilogue, order);
    bool few = few_pixels::fits(x.shape, w.shape, y.shape, x.dtype);
    if (!few && onednn::conv2d(context, x, w, y, window, &epilogue, order)) return;
    if (!few && one_pixel::fits(w.shape, y.shape, window, x.dtype)) {  // not as in training, where a batch's images meet in a tile
      im2col::conv2d(context, x, w, y, window);
      return finish(context, y, epilogue);
    }
  }
  conv2d(context, x, w, y, window);
  finish(context, y, epilogue);
}

void conv2d_dx(Context& context, In dy, In w, In onto, Out dx, Window window, NormSource source) {
  flush_denormals();
  bool few = few_pixels::fits(dx.shape, w.shape, dy.shape, dy.dtype), in_place = onto && onto.data == dx.data;
  if (!empty(dx.shape, w.shape, dy.shape)) {
    if (w.shape[1] * w.shape[2] == 1 && window.stride > 1 && window.pad == 0) return dx_of_every(window.stride, context, dy, w, onto, dx);
    if (winograd::fits(w.shape, dy.shape, window, dy.dtype)) return winograd::conv2d_dx(context, dy, w, onto, dx, window);
    if (one_pixel::fits_dx(w.shape, dy.shape, window, dy.dtype)) return one_pixel::conv2d_dx(context, dy, w, onto, dx, source);
    if (in_place && onednn::conv2d_dx_onto(context, dy, w, dx, window)) return;
  }
  // These write over what is there: the sum is a pass of its own.
  Out alone = in_place ? Out{context.scratch(dx.count() * size_of(dx.dtype), kAloneSlot), dx.shape, dx.dtype} : dx;
  if (empty(dx.shape, w.shape, dy.shape)) clear(alone);
  else if (few) few_pixels::conv2d_dx(context, dy, w, alone, window);
  else if (!onednn::conv2d_dx(context, dy, w, alone, window)) im2col::conv2d_dx(context, dy, w, alone, window);
  if (onto) finish(context, dx, {{}, in_place ? In{alone.data, dx.shape, dx.dtype} : onto, false});
}

void conv2d_dw(Context& context, In x, In dy, Out dw, Window window) {
  flush_denormals();
  if (empty(x.shape, dw.shape, dy.shape)) return clear(dw);
  if (winograd::fits_dw(dw.shape, dy.shape, window, x.dtype)) return winograd::conv2d_dw(context, x, dy, dw, window);
  if (phases::fits(dw.shape, dy.shape, window, x.dtype)) return phases::conv2d_dw(context, x, dy, dw, window);
  if (few_pixels::fits(x.shape, dw.shape, dy.shape, x.dtype)) return few_pixels::conv2d_dw(context, x, dy, dw, window);
  if (few_filters::fits(dw.shape)) return few_filters::conv2d_dw(context, x, dy, dw, window);
  if (one_pixel::fits_dw(dw.shape, dy.shape, window, x.dtype)) return one_pixel::conv2d_dw(context, x, dy, dw, window);
  if (tap_products::fits(dw.shape, x.dtype)) return tap_products::conv2d_dw(context, x, dy, dw, window);
  if (!onednn::conv2d_dw(context, x, dy, dw, window)) im2col::conv2d_dw(context, x, dy, dw, window);
}

}  // namespace plumage::cpu
