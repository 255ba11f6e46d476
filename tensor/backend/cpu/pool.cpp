// Pooling and nearest upsampling of images [N,H,W,C], with vectors along C. Backward passes gather: each dx element
// adds up its windows in order, so that no two threads write the same place.
#include "tensor/backend/cpu/parallel.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu {
namespace {

// Positions of a window (or of windows) along one side: first..last.
struct Range { int64_t first, last; };

// Kernel places of output position p that lie inside 0..size.
Range inside(int64_t p, int64_t size, int64_t kernel, int64_t stride, int64_t pad) {
  int64_t start = p * stride - pad;
  return {std::max<int64_t>(0, -start), std::min(kernel, size - start)};
}

// Output positions whose window covers input position i.
Range covering(int64_t i, int64_t outputs, int64_t kernel, int64_t stride, int64_t pad) {
  int64_t high = i + pad, low = high - kernel + 1;
  return {low <= 0 ? 0 : (low + stride - 1) / stride, std::min(outputs, high / stride + 1)};
}

// f(n, row) for each row of pixels of an [N, rows, .., ..] image, in parallel
template <class F>
void for_pixel_rows(Context& context, int64_t images, int64_t rows, int64_t work, F&& f) {
  parallel_rows(context, images * rows, work, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i / rows, i % rows);
  });
}

}  // namespace

void max_pool(Context& context, In x, Out y, Out argmax, Window window) {
  int64_t H = x.shape[1], W = x.shape[2], C = x.shape[3], P = y.shape[1], Q = y.shape[2];
  const int64_t R = window.kernel_h, S = window.kernel_w, stride = window.stride, pad = window.pad;
  visit_fast(x.dtype, [&, R = R, S = S, stride = stride, pad = pad](auto type) {
    using T = decltype(type);
    for_pixel_rows(context, x.shape[0], P, Q * C * R * S, [&](int64_t n, int64_t p) {
      Range r = inside(p, H, R, stride, pad);
      for (int64_t q = 0; q < Q; ++q) {
        Range s = inside(q, W, S, stride, pad);
        const T* corner = x.as<T>() + ((n * H + p * stride - pad) * W + q * stride - pad) * C;
        int64_t out = ((n * P + p) * Q + q) * C;
        for_vectors(0, C, [&](int64_t c, int64_t lanes) {
          V best = load_n(corner + (r.first * W + s.first) * C + c, lanes);
          VI place = int32_t(r.first * S + s.first) - VI{};
          for (int64_t i = r.first; i < r.last; ++i)
            for (int64_t j = s.first; j < s.last; ++j) {
              V v = load_n(corner + (i * W + j) * C + c, lanes);
              VI better = (v > best) | ((v != v) & (best == best));
              best = select(better, v, best);
              place = better ? int32_t(i * S + j) - VI{} : place;
            }
          store_n(y.as<T>() + out + c, best, lanes);
          std::memcpy(argmax.as<int32_t>() + out + c, &place, size_t(lanes) * sizeof(int32_t));
        });
      }
    });
  });
}

void max_pool_bwd(Context& context, In dy, In argmax, Out dx, Window window) {
  int64_t H = dx.shape[1], W = dx.shape[2], C = dx.shape[3], P = dy.shape[1], Q = dy.shape[2];
  const int64_t R = window.kernel_h, S = window.kernel_w, stride = window.stride, pad = window.pad;
  visit_fast(dy.dtype, [&, R = R, S = S, stride = stride, pad = pad](auto type) {
    using T = decltype(type);
    for_pixel_rows(context, dx.shape[0], H, W * C * 4, [&](int64_t n, int64_t h) {
      Range p = covering(h, P, R, stride, pad);
      for (int64_t w = 0; w < W; ++w) {
        Range q = covering(w, Q, S, stride, pad);
        for_vectors(0, C, [&](int64_t c, int64_t lanes) {
          V sum{};
          for (int64_t i = p.first; i < p.last; ++i)
            for (int64_t j = q.first; j < q.last; ++j) {
              int64_t out = ((n * P + i) * Q + j) * C + c;
              VI place{};
              std::memcpy(&place, argmax.as<int32_t>() + out, size_t(lanes) * sizeof(int32_t));
              int32_t here = int32_t((h + pad - i * stride) * S + w + pad - j * stride);
              sum += select(place == here, load_n(dy.as<T>() + out, lanes), V{});
            }
          store_n(dx.as<T>() + ((n * H + h) * W + w) * C + c, sum, lanes);
        });
      }
    });
  });
}

void avg_pool(Context& context, In x, Out y, Window window) {
  int64_t H = x.shape[1], W = x.shape[2], C = x.shape[3], P = y.shape[1], Q = y.shape[2];
  const int64_t R = window.kernel_h, S = window.kernel_w, stride = window.stride, pad = window.pad;
  visit_fast(x.dtype, [&, R = R, S = S, stride = stride, pad = pad](auto type) {
    using T = decltype(type);
    for_pixel_rows(context, x.shape[0], P, Q * C * R * S, [&](int64_t n, int64_t p) {
      Range r = inside(p, H, R, stride, pad);
      for (int64_t q = 0; q < Q; ++q) {
        Range s = inside(q, W, S, stride, pad);
        const T* corner = x.as<T>() + ((n * H + p * stride - pad) * W + q * stride - pad) * C;
        for_vectors(0, C, [&](int64_t c, int64_t lanes) {
          V sum{};
          for (int64_t i = r.first; i < r.last; ++i)
            for (int64_t j = s.first; j < s.last; ++j) sum += load_n(corner + (i * W + j) * C + c, lanes);
          store_n(y.as<T>() + ((n * P + p) * Q + q) * C + c, sum / float(R * S), lanes);
        });
      }
    });
  });
}

void avg_pool_bwd(Context& context, In dy, Out dx, Window window) {
  int64_t H = dx.shape[1], W = dx.shape[2], C = dx.shape[3], P = dy.shape[1], Q = dy.shape[2];
  const int64_t R = window.kernel_h, S = window.kernel_w, stride = window.stride, pad = window.pad;
  visit_fast(dy.dtype, [&, R = R, S = S, stride = stride, pad = pad](auto type) {
    using T = decltype(type);
    for_pixel_rows(context, dx.shape[0], H, W * C * 4, [&](int64_t n, int64_t h) {
      Range p = covering(h, P, R, stride, pad);
      for (int64_t w = 0; w < W; ++w) {
        Range q = covering(w, Q, S, stride, pad);
        for_vectors(0, C, [&](int64_t c, int64_t lanes) {
          V sum{};
          for (int64_t i = p.first; i < p.last; ++i)
            for (int64_t j = q.first; j < q.last; ++j) sum += load_n(dy.as<T>() + ((n * P + i) * Q + j) * C + c, lanes);
          store_n(dx.as<T>() + ((n * H + h) * W + w) * C + c, sum / float(R * S), lanes);
        });
      }
    });
  });
}

void global_avg_pool(Context& context, In x, Out y) {
  int64_t pixels = x.shape[1] * x.shape[2], C = x.shape[3];
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    for_pixel_rows(context, x.shape[0], 1, pixels * C, [&](int64_t n, int64_t) {
      for_vectors(0, C, [&](int64_t c, int64_t lanes) {
        V sum{};
        for (int64_t first = 0; first < pixels; first += 64) {  // sums of sums, for large images
          V part{};
          for (int64_t p = first; p < std::min(pixels, first + 64); ++p) part += load_n(x.as<T>() + (n * pixels + p) * C + c, lanes);
          sum += part;
        }
        store_n(y.as<T>() + n * C + c, sum / float(pixels), lanes);
      });
    });
  });
}

void global_avg_pool_bwd(Context& context, In dy, Out dx) {
  int64_t pixels = dx.shape[1] * dx.shape[2], C = dx.shape[3];
  visit_fast(dy.dtype, [&](auto type) {
    using T = decltype(type);
    for_pixel_rows(context, dx.shape[0], 1, pixels * C, [&](int64_t n, int64_t) {
      for_vectors(0, C, [&](int64_t c, int64_t lanes) {
        V v = load_n(dy.as<T>() + n * C + c, lanes) / float(pixels);
        for (int64_t p = 0; p < pixels; ++p) store_n(dx.as<T>() + (n * pixels + p) * C + c, v, lanes);
      });
    });
  });
}

void upsample(Context& context, In x, Out y, int factor) {
  int64_t H = x.shape[1], W = x.shape[2], C = x.shape[3], row = W * factor * C;
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    for_pixel_rows(context, x.shape[0], H, row * factor, [&](int64_t n, int64_t h) {
      const T* from = x.as<T>() + (n * H + h) * W * C;
      T* to = y.as<T>() + (n * H + h) * factor * row;
      for (int64_t w = 0; w < W; ++w)
        for (int64_t j = 0; j < factor; ++j) std::copy_n(from + w * C, C, to + (w * factor + j) * C);
      for (int64_t i = 1; i < factor; ++i) std::copy_n(to, row, to + i * row);
    });
  });
}

void upsample_bwd(Context& context, In dy, Out dx, int factor) {
  int64_t H = dx.shape[1], W = dx.shape[2], C = dx.shape[3], row = W * factor * C;
  visit_fast(dy.dtype, [&](auto type) {
    using T = decltype(type);
    for_pixel_rows(context, dx.shape[0], H, row * factor, [&](int64_t n, int64_t h) {
      const T* from = dy.as<T>() + (n * H + h) * factor * row;
      for (int64_t w = 0; w < W; ++w)
        for_vectors(0, C, [&](int64_t c, int64_t lanes) {
          V sum{};
          for (int64_t i = 0; i < factor; ++i)
            for (int64_t j = 0; j < factor; ++j) sum += load_n(from + i * row + (w * factor + j) * C + c, lanes);
          store_n(dx.as<T>() + ((n * H + h) * W + w) * C + c, sum, lanes);
        });
    });
  });
}

}  // namespace plumage::cpu
