// What one_pixel.cpp's products read, the pixels as rows of a matrix, and how their results go out, tile by tile. Next: one_pixel.cpp.
#pragma once
#include "tensor/backend/cpu/conv.h"
#include "tensor/backend/cpu/gemm_tile.h"
#include "tensor/backend/cpu/moments.h"

namespace plumage::cpu::one_pixel {

constexpr int64_t kFewestPixels = 512;  // that are worth the sums of filters for Strassen's algorithm
inline int64_t pixels_of(const Shape& image) { return image[0] * image[1] * image[2]; }
/// The filters have one pixel, and the own products are as fast as the machine.
inline bool own_product(const Shape& w, const Window& window, DType type) {
  return type == DType::f32 && w[1] == 1 && w[2] == 1 && window.pad == 0 && !onednn::has_wider_vectors();
}

// The pixels that the filters see, as rows of a matrix.
struct Pixels {
  const float* data;
  int64_t channels, stride, height, width, down, across;  // of the image in memory; of what is seen
  Pixels(In x, const Shape& seen, int64_t stride)
      : data(x.as<float>()), channels(x.shape[3]), stride(stride), height(x.shape[1]), width(x.shape[2]), down(seen[1]), across(seen[2]) {}
  const float* row(int64_t i) const {
    if (stride == 1) return data + i * channels;
    int64_t n = i / (down * across), p = i / across % down, q = i % across;
    return data + ((n * height + p * stride) * width + q * stride) * channels;
  }
};

// A tile of results: rows and columns of y, m x n of them.
struct Place {
  int64_t row, column, m, n;
  float* sums;         // of its chunk and columns, if asked for
  const float* source;  // what Normalize has of its group at its columns, where the result is a gradient that goes on through a norm
  bool first;          // of its chunk
};

// y [M, K] and what happens to a tile before it is stored there.
class WayOut {
 public:
  /// With a source, y is a gradient and `sums` are of it.
  WayOut(Out y, const Epilogue& epilogue, const MomentSums* sums, const NormSource& source)
      : y_(y.as<float>()), columns_(y.shape[3]), epilogue_(epilogue), sums_(sums), source_(source),
        streams_(cpu::streams(y_, y.count(), columns_) && epilogue.residual.data != y.data) {}

  int64_t columns() const { return columns_; }
  bool streams() const { return streams_; }
  int64_t padded() const { return sums_->padded; }
  float* sums_of(int64_t group, int64_t chunk) const { return sums_ ? sums_->of(group, chunk) : nullptr; }

  /// Tensors that are read beside a tile: what it is added to, the norm's x and y.
  static constexpr int64_t kRead = 3;
  bool reads() const { return epilogue_.residual || source_; }
  /// The i-th of them at a tile that comes later, kPanelColumns from a column of it on: to be brought in meanwhile.
  AheadRows ahead(int64_t i, const Place& later, int64_t column = 0) const {
    const In* const read[kRead] = {&epilogue_.residual, &source_.x, &source_.y};
    const float* from = i < kRead ? at(*read[i], later) : nullptr;
    if (!from) return {reinterpret_cast<const char*>(y_), 0, 0};
    return {reinterpret_cast<const char*>(from + column), columns_ * 4, later.m};
  }
  PLUMAGE_INLINE void settle(const Place& t, Sums& tile) const {
    if (t.m == kPanelRows && t.n == kPanelColumns) settle<true>(t, tile);
    else settle<false>(t, tile);
  }

 private:
  const float* at(const In& in, const Place& t) const { return in ? in.as<float>() + t.row * columns_ + t.column : nullptr; }

  template <bool kWhole>
  PLUMAGE_INLINE void settle(const Place& t, Sums& tile) const {
    const int m = kWhole ? int(kPanelRows) : int(t.m);
    auto lanes = [&](int h) { return kWhole ? kLanes : std::clamp<int64_t>(t.n - h * kLanes, 0, kLanes); };
    auto each = [&](auto&& f) {
#pragma GCC unroll 12
      for (int i = 0; i < kPanelRows; ++i) {
        if (!kWhole && i == m) break;
        f(tile[i][0], i, 0);
        f(tile[i][1], i, 1);
      }
    };
    if (epilogue_.shift) {
      const float* from = epilogue_.shift.as<float>() + t.column;
      const V shift[2] = {load_n(from, lanes(0)), load_n(from + kLanes, lanes(1))};
      each([&](V& v, int, int h) { v += shift[h]; });
    }
    if (const float* residual = at(epilogue_.residual, t)) each([&](V& v, int i, int h) { v += load_n(residual + i * columns_ + h * kLanes, lanes(h)); });
    if (epilogue_.relu) each([&](V& v, int, int) { v = vrelu(v); });
    if (source_) {
      go_on(t, each, lanes);
    } else if (t.sums) {
      float *of_center = t.sums, *of_sum = t.sums + sums_->padded, *of_squares = t.sums + 2 * sums_->padded;
      V center[2] = {}, sum[2] = {}, squares[2] = {};
      if (t.first) each([&](V& v, int, int h) { center[h] += v / float(m); });  // of the first rows: near enough to the chunk's
      else center[0] = load(of_center), center[1] = load(of_center + kLanes);
      each([&](V& v, int, int h) {
        V d = v - center[h];
        sum[h] += d;
        squares[h] += d * d;
      });
      for (int64_t h = 0, at = 0; h < 2; ++h, at += kLanes) {
        store(of_center + at, center[h]);
        store(of_sum + at, t.first ? sum[h] : load(of_sum + at) + sum[h]);
        store(of_squares + at, t.first ? squares[h] : load(of_squares + at) + squares[h]);
      }
    }
    float* y = y_ + t.row * columns_ + t.column;
    if (kWhole && streams_) each([&](V& v, int i, int h) { stream(y + i * columns_ + h * kLanes, v); });
    else each([&](V& v, int i, int h) { store_n(y + i * columns_ + h * kLanes, v, lanes(h)); });
  }

  // The gradient is 0 where relu stopped it; adds up what is left and its products with (x - mean).
  template <class Each, class Lanes>
  PLUMAGE_INLINE void go_on(const Place& t, Each& each, Lanes& lanes) const {
    const int64_t padded = sums_->padded;
    const float *x = at(source_.x, t), *y = at(source_.y, t);
    const Normalize normalize{t.source, t.source + padded, t.source + 2 * padded};
    const bool relu = source_.norm.activation == Activation::relu;
    const V mean[2] = {load(t.source), load(t.source + kLanes)};
    V sum[2] = {}, product[2] = {};
    each([&](V& d, int i, int h) {
      const int64_t place = i * columns_ + h * kLanes;
      const V v = load_n(x + place, lanes(h));
      if (relu) d = select((y ? load_n(y + place, lanes(h)) : normalize(v, h * kLanes)) <= 0.f, V{}, d);  // false for NaN, which passes
      sum[h] += d;
      product[h] += d * (v - mean[h]);
    });
    float *of_sum = t.sums + padded, *of_product = of_sum + padded;
    for (int64_t h = 0, at = 0; h < 2; ++h, at += kLanes) {
      store(of_sum + at, t.first ? sum[h] : load(of_sum + at) + sum[h]);
      store(of_product + at, t.first ? product[h] : load(of_product + at) + product[h]);
    }
  }

  float* y_;
  int64_t columns_;
  const Epilogue epilogue_;
  const MomentSums* sums_;
  const NormSource source_;
  bool streams_;
};

}  // namespace plumage::cpu::one_pixel
