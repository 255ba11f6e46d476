// Pooling and nearest upsampling of images [N,H,W,C], with their gradients.
#include <vector>

#include "tensor/backend/ref/elements.h"

namespace plumage::ref {
namespace {

/// Calls g(out, in, r * S + s) for every output element and each element inside the image that its window
/// covers. `before` is called with the output first, `after` last.
template <class Before, class Each, class After>
void over_windows(const Shape& x, const Shape& y, const Window& window, Before before, Each each,
                  After after) {
  int64_t N = x[0], H = x[1], W = x[2], C = x[3], P = y[1], Q = y[2];
  for (int64_t n = 0; n < N; ++n)
    for (int64_t p = 0; p < P; ++p)
      for (int64_t q = 0; q < Q; ++q)
        for (int64_t c = 0; c < C; ++c) {
          int64_t out = ((n * P + p) * Q + q) * C + c;
          before(out);
          for (int64_t r = 0; r < window.kernel_h; ++r)
            for (int64_t s = 0; s < window.kernel_w; ++s) {
              int64_t h = p * window.stride + r - window.pad, w = q * window.stride + s - window.pad;
              if (h < 0 || h >= H || w < 0 || w >= W) continue;
              each(out, ((n * H + h) * W + w) * C + c, r * window.kernel_w + s);
            }
          after(out);
        }
}

void nothing(int64_t) {}

void write_all(const std::vector<double>& sums, const Out& y) {
  Writer out(y);
  for (int64_t i = 0; i < y.count(); ++i) out.set(i, sums[size_t(i)]);
}

}  // namespace

void max_pool(Context&, In x, Out y, Out argmax, Window window) {
  Reader in(x);
  Writer out(y);
  double best = 0;
  int64_t where = -1;
  over_windows(
      x.shape, y.shape, window, [&](int64_t) { where = -1; },
      [&](int64_t, int64_t i, int64_t place) {
        double v = in[i];
        if (where >= 0 && !(v > best) && !(std::isnan(v) && !std::isnan(best))) return;
        best = v;
        where = place;
      },
      [&](int64_t o) {
        out.set(o, best);
        argmax.as<int32_t>()[o] = int32_t(where);
      });
}

void max_pool_bwd(Context&, In dy, In argmax, Out dx, Window window) {
  Reader g(dy);
  std::vector<double> sums(size_t(dx.count()), 0.0);
  over_windows(
      dx.shape, dy.shape, window, nothing,
      [&](int64_t o, int64_t i, int64_t place) {
        if (argmax.as<int32_t>()[o] == place) sums[size_t(i)] += g[o];
      },
      nothing);
  write_all(sums, dx);
}

void avg_pool(Context&, In x, Out y, Window window) {
  Reader in(x);
  Writer out(y);
  double sum = 0, area = double(window.kernel_h * window.kernel_w);
  over_windows(
      x.shape, y.shape, window, [&](int64_t) { sum = 0; }, [&](int64_t, int64_t i, int64_t) { sum += in[i]; },
      [&](int64_t o) { out.set(o, sum / area); });
}

void avg_pool_bwd(Context&, In dy, Out dx, Window window) {
  Reader g(dy);
  std::vector<double> sums(size_t(dx.count()), 0.0);
  double area = double(window.kernel_h * window.kernel_w);
  over_windows(
      dx.shape, dy.shape, window, nothing,
      [&](int64_t o, int64_t i, int64_t) { sums[size_t(i)] += g[o] / area; }, nothing);
  write_all(sums, dx);
}

void global_avg_pool(Context&, In x, Out y) {
  int64_t N = x.shape[0], pixels = x.shape[1] * x.shape[2], C = x.shape[3];
  Reader in(x);
  Writer out(y);
  for (int64_t n = 0; n < N; ++n)
    for (int64_t c = 0; c < C; ++c) {
      double sum = 0;
      for (int64_t p = 0; p < pixels; ++p) sum += in[(n * pixels + p) * C + c];
      out.set(n * C + c, sum / double(pixels));
    }
}

void global_avg_pool_bwd(Context&, In dy, Out dx) {
  int64_t N = dx.shape[0], pixels = dx.shape[1] * dx.shape[2], C = dx.shape[3];
  Reader g(dy);
  Writer out(dx);
  for (int64_t n = 0; n < N; ++n)
    for (int64_t p = 0; p < pixels; ++p)
      for (int64_t c = 0; c < C; ++c) out.set((n * pixels + p) * C + c, g[n * C + c] / double(pixels));
}

void upsample(Context&, In x, Out y, int factor) {
  int64_t N = y.shape[0], H = y.shape[1], W = y.shape[2], C = y.shape[3], h = x.shape[1], w = x.shape[2];
  Reader in(x);
  Writer out(y);
  for (int64_t n = 0; n < N; ++n)
    for (int64_t i = 0; i < H; ++i)
      for (int64_t j = 0; j < W; ++j)
        for (int64_t c = 0; c < C; ++c)
          out.set(((n * H + i) * W + j) * C + c, in[((n * h + i / factor) * w + j / factor) * C + c]);
}

void upsample_bwd(Context&, In dy, Out dx, int factor) {
  int64_t N = dy.shape[0], H = dy.shape[1], W = dy.shape[2], C = dy.shape[3], h = dx.shape[1],
          w = dx.shape[2];
  Reader g(dy);
  std::vector<double> sums(size_t(dx.count()), 0.0);
  for (int64_t n = 0; n < N; ++n)
    for (int64_t i = 0; i < H; ++i)
      for (int64_t j = 0; j < W; ++j)
        for (int64_t c = 0; c < C; ++c)
          sums[size_t(((n * h + i / factor) * w + j / factor) * C + c)] += g[((n * H + i) * W + j) * C + c];
  write_all(sums, dx);
}

}  // namespace plumage::ref
