// Convolution with a few filters (the picture layer of a decoder has three): channels fill the vectors, not filters, and
// each sum is added up across its lanes at the end.  Next: onednn_conv.cpp.
#include <array>

#include "tensor/backend/cpu/conv.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu::few_filters {
namespace {

constexpr int kMostFilters = 4, kPixels = kLanes / kMostFilters;  // of an output row at a time: their sums fill one vector
constexpr int kSlot = 0;
constexpr int64_t kSlices = 32;

struct Geometry {
  int64_t height, width, channels, down, across, filter_height, filter_width, stride, pad;
  Geometry(const Shape& x, const Shape& w, const Shape& y, const Window& window)
      : height(x[1]), width(x[2]), channels(x[3]), down(y[1]), across(y[2]), filter_height(w[1]), filter_width(w[2]),
        stride(window.stride), pad(window.pad) {}
  /// The row of x that filter row r sees from row `row` of all images' outputs, or -1.
  int64_t row_of(int64_t row, int64_t r) const {
    int64_t h = row % down * stride + r - pad;
    return h >= 0 && h < height ? row / down * height + h : -1;
  }
  bool inside(int64_t q, int64_t s) const { return q * stride + s - pad >= 0 && q * stride + s - pad < width; }
};

// Where the lower halves lie of sums that take `block` lanes each, in two vectors.
constexpr std::array<int32_t, kLanes> lower_halves(int block) {
  std::array<int32_t, kLanes> lanes{};
  for (int i = 0; i < kLanes; ++i) lanes[size_t(i)] = i / (block / 2) * block + i % (block / 2);
  return lanes;
}

// Lane i of the result is the sum of v[i]'s lanes: halves are added, two vectors' in one, until one vector is left.
template <int kBlock = kLanes>
PLUMAGE_INLINE V sums_of(V (&v)[kBlock]) {
  if constexpr (kBlock == 1) {
    return v[0];
  } else {
    alignas(kVectorBytes) static constexpr std::array<int32_t, kLanes> kLower = lower_halves(kBlock);
    VI lower;
    std::memcpy(&lower, kLower.data(), sizeof lower);
    V half[kBlock / 2];
#pragma GCC unroll 8
    for (int i = 0; i < kBlock / 2; ++i)
      half[i] = __builtin_shuffle(v[2 * i], v[2 * i + 1], lower) + __builtin_shuffle(v[2 * i], v[2 * i + 1], lower + kBlock / 2);
    return sums_of<kBlock / 2>(half);
  }
}

// kPixels places of an output row from q on, kFilters numbers each. kWhole: every tap's column is inside the image.
template <bool kWhole, int kFilters, class T>
void compute(const Geometry& at, const T* x, const float* w, T* y, int64_t row, int64_t q) {
  V sums[kLanes] = {};
  const int64_t of_filter = at.filter_height * at.filter_width * at.channels;
  for (int64_t r = 0; r < at.filter_height; ++r) {
    int64_t h = at.row_of(row, r);
    if (h < 0) continue;
    for (int64_t s = 0; s < at.filter_width; ++s) {
      const T* from = x + (h * at.width + q * at.stride + s - at.pad) * at.channels;
      const float* taps = w + (r * at.filter_width + s) * at.channels;
      auto seen = [&](int i) { return kWhole || (q + i < at.across && at.inside(q + i, s)); };
      for_vectors(0, at.channels, [&](int64_t c, int64_t lanes) {
        V filters[kFilters];
#pragma GCC unroll 4
        for (int k = 0; k < kFilters; ++k) filters[k] = load_n(taps + k * of_filter + c, lanes);
#pragma GCC unroll 4
        for (int i = 0; i < kPixels; ++i) {
          if (!seen(i)) continue;
          V pixel = load_n(from + i * at.stride * at.channels + c, lanes);
#pragma GCC unroll 4
          for (int k = 0; k < kFilters; ++k) sums[i * kMostFilters + k] += filters[k] * pixel;
        }
      });
    }
  }
  V sum = sums_of(sums);
  T* to = y + (row * at.across + q) * kFilters;
  for (int i = 0; i < kPixels && q + i < at.across; ++i)
    for (int k = 0; k < kFilters; ++k) to[i * kFilters + k] = T(sum[i * kMostFilters + k]);
}

// sums[kFilters][R][S][C] += of one output row: what each tap saw times the gradient there.
template <int kFilters, class T>
void add_row(const Geometry& at, const T* x, const T* dy, int64_t row, float* sums) {
  const int64_t of_filter = at.filter_height * at.filter_width * at.channels;
  const T* gradients = dy + row * at.across * kFilters;
  for (int64_t r = 0; r < at.filter_height; ++r) {
    int64_t h = at.row_of(row, r);
    if (h < 0) continue;
    for (int64_t s = 0; s < at.filter_width; ++s) {
      int64_t first = 0, last = at.across;
      while (first < last && !at.inside(first, s)) ++first;
      while (first < last && !at.inside(last - 1, s)) --last;
      const T* from = x + (h * at.width + s - at.pad) * at.channels;
      for_vectors(0, at.channels, [&](int64_t c, int64_t lanes) {
        V of_tap[2][kFilters] = {};  // even places, odd places
        for (int64_t q = first; q < last; q += 2)
#pragma GCC unroll 2
          for (int odd = 0; odd < 2; ++odd) {
            if (q + odd == last) break;
            V pixel = load_n(from + (q + odd) * at.stride * at.channels + c, lanes);
#pragma GCC unroll 4
            for (int k = 0; k < kFilters; ++k) of_tap[odd][k] += pixel * splat(float(gradients[(q + odd) * kFilters + k]));
          }
        for (int k = 0; k < kFilters; ++k) {
          float* to = sums + k * of_filter + (r * at.filter_width + s) * at.channels + c;
          store_n(to, load_n(to, lanes) + (of_tap[0][k] + of_tap[1][k]), lanes);
        }
      });
    }
  }
}

// f(number of filters as a constant)
template <class F>
void with_filters(int64_t k, F&& f) {
  if (k == 1) f(std::integral_constant<int, 1>());
  else if (k == 2) f(std::integral_constant<int, 2>());
  else if (k == 3) f(std::integral_constant<int, 3>());
  else f(std::integral_constant<int, 4>());
}

}  // namespace

bool fits(const Shape& w) { return w[0] <= kMostFilters && w[3] >= kLanes && kLanes % kMostFilters == 0; }

void conv2d(Context& context, In x, In w, Out y, Window window) {
  const Geometry at(x.shape, w.shape, y.shape, window);
  auto* filters = static_cast<float*>(context.scratch(w.count() * 4, kSlot));
  visit_fast(w.dtype, [&](auto type) {
    for (int64_t i = 0; i < w.count(); ++i) filters[i] = float(w.as<decltype(type)>()[i]);
  });
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    with_filters(w.shape[0], [&](auto k) {
      parallel_rows(context, y.shape[0] * at.down, at.across * w.count() / w.shape[0], [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row)
          for (int64_t q = 0; q < at.across; q += kPixels) {
            bool whole = q + kPixels <= at.across && at.inside(q, 0) && at.inside(q + kPixels - 1, at.filter_width - 1);
            auto f = whole ? compute<true, decltype(k)::value, T> : compute<false, decltype(k)::value, T>;
            f(at, x.as<T>(), filters, y.as<T>(), row, q);
          }
      });
    });
  });
}

void conv2d_dw(Context& context, In x, In dy, Out dw, Window window) {
  const Geometry at(x.shape, dw.shape, dy.shape, window);
  const int64_t floats = round_up(dw.count(), 16);
  const Chunks slices(dy.shape[0] * at.down, 1, kSlices);
  auto* sums = static_cast<float*>(context.scratch(slices.number * floats * 4, kSlot));
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    with_filters(dw.shape[0], [&](auto k) {
      parallel(context, slices.number, 1, [&](int64_t first, int64_t last) {
        for (int64_t slice = first; slice < last; ++slice) {
          std::fill_n(sums + slice * floats, floats, 0.f);
          for (int64_t row = slices.begin(slice); row < slices.end(slice); ++row)
            add_row<decltype(k)::value>(at, x.as<T>(), dy.as<T>(), row, sums + slice * floats);
        }
      });
    });
  });
  visit_fast(dw.dtype, [&](auto type) {
    for (int64_t i = 0; i < dw.count(); ++i) {
      double sum = 0;
      for (int64_t slice = 0; slice < slices.number; ++slice) sum += double(sums[slice * floats + i]);
      dw.as<decltype(type)>()[i] = decltype(type)(float(sum));
    }
  });
}

}  // namespace plumage::cpu::few_filters
