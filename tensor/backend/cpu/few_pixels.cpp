// Convolution of images that have only a few pixels left (the last stages of a network on small images). Most windows
// hang over the edge there: a 3x3 filter on 2x2 pixels meets 4 of its 9 taps. So each pair of an input and an output
// pixel that a tap connects is one matrix product with the batch as its rows, and nothing is multiplied by padding.
#include <vector>

#include "tensor/backend/cpu/conv.h"
#include "tensor/backend/cpu/gemm.h"

namespace plumage::cpu::few_pixels {
namespace {

constexpr int kSlotA = 2, kSlotB = 3;
constexpr int64_t kDepth = 256;  // a panel of b this deep stays in the first cache

struct Connection { int64_t in, out, tap; };

std::vector<Connection> connections(const Shape& x, const Shape& w, const Shape& y, const Window& window) {
  std::vector<Connection> list;
  for (int64_t p = 0; p < y[1]; ++p)
    for (int64_t q = 0; q < y[2]; ++q)
      for (int64_t r = 0; r < w[1]; ++r)
        for (int64_t s = 0; s < w[2]; ++s) {
          int64_t h = p * window.stride + r - window.pad, v = q * window.stride + s - window.pad;
          if (h >= 0 && h < x[1] && v >= 0 && v < x[2]) list.push_back({h * x[2] + v, p * y[2] + q, r * w[2] + s});
        }
  return list;
}

// `count` matrices [rows, depth] as panels; matrix i begins at from + i * apart.
class Panels {
 public:
  Panels(Context& context, int slot, int64_t count, int64_t apart, int64_t rows, int64_t depth, const float* from, int64_t row,
         int64_t step, int64_t unit)
      : unit_(unit), depth_(depth), panels_((rows + unit - 1) / unit) {
    data_ = static_cast<float*>(context.scratch(count * size() * int64_t(sizeof(float)), slot));
    parallel_rows(context, count * panels_, unit * depth, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t first = i % panels_ * unit;
        pack_panels(std::min(unit, rows - first), depth, from + i / panels_ * apart + first * row, row, step, unit, data_ + i * unit * depth);
      }
    });
  }
  /// Panel `panel` of matrix i, from `depth` on.
  const float* at(int64_t i, int64_t panel, int64_t depth) const { return data_ + i * size() + (panel * depth_ + depth) * unit_; }
  int64_t count() const { return panels_; }
  int64_t depth() const { return depth_; }

 private:
  int64_t size() const { return panels_ * unit_ * depth_; }
  int64_t unit_, depth_, panels_;
  float* data_;
};

struct Pair { int64_t a, b; };

// c + place * apart, an [m, n] matrix with rows ldc long, = sum of a[i] b[j] over the pairs of that place.
void sum_products(Context& context, const std::vector<std::vector<Pair>>& places, const Panels& a, const Panels& b, int64_t m,
                  int64_t n, float* c, int64_t apart, int64_t ldc) {
  parallel_rows(context, int64_t(places.size()) * b.count(), m * a.depth(), [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      int64_t panel = item / int64_t(places.size()), place = item % int64_t(places.size()), j = panel * kPanelColumns;
      float* to = c + place * apart + j;
      auto rows = [&](int64_t depth, const float* b_panel, auto&& a_panel, bool add) {
        for (int64_t i = 0; i < a.count(); ++i)
          multiply_panels(depth, a_panel(i), kPanelRows, b_panel, to + i * kPanelRows * ldc, ldc, std::min(kPanelRows, m - i * kPanelRows),
                          std::min(kPanelColumns, n - j), add);
      };
      bool add = false;
      for (const Pair& pair : places[size_t(place)])
        for (int64_t l = 0; l < a.depth(); l += kDepth, add = true)
          rows(std::min(kDepth, a.depth() - l), b.at(pair.b, panel, l), [&](int64_t i) { return a.at(pair.a, i, l); }, add);
      if (!add) rows(0, b.at(0, 0, 0), [&](int64_t) { return a.at(0, 0, 0); }, false);  // no tap reaches this place: zeros
    }
  });
}

}  // namespace

bool fits(const Shape& x, const Shape& w, const Shape& y, DType type) {
  return type == DType::f32 && w[1] * w[2] > 1 && y[1] * y[2] <= 16 && x[1] * x[2] <= 64 && x[0] >= 2 * kPanelRows && x[3] >= 16 &&
         w[0] >= 16;
}

void conv2d(Context& context, In x, In w, Out y, Window window) {
  int64_t n = x.shape[0], c = x.shape[3], k = w.shape[0], in = x.shape[1] * x.shape[2], out = y.shape[1] * y.shape[2];
  int64_t taps = w.shape[1] * w.shape[2];
  std::vector<std::vector<Pair>> places(static_cast<size_t>(out));
  for (auto [i, o, tap] : connections(x.shape, w.shape, y.shape, window)) places[size_t(o)].push_back({i, tap});
  Panels a(context, kSlotA, in, c, n, c, x.as<float>(), in * c, 1, kPanelRows);
  Panels b(context, kSlotB, taps, c, k, c, w.as<float>(), taps * c, 1, kPanelColumns);
  sum_products(context, places, a, b, n, k, y.as<float>(), k, out * k);
}

void conv2d_dx(Context& context, In dy, In w, Out dx, Window window) {
  int64_t n = dx.shape[0], c = dx.shape[3], k = w.shape[0], in = dx.shape[1] * dx.shape[2], out = dy.shape[1] * dy.shape[2];
  int64_t taps = w.shape[1] * w.shape[2];
  std::vector<std::vector<Pair>> places(static_cast<size_t>(in));
  for (auto [i, o, tap] : connections(dx.shape, w.shape, dy.shape, window)) places[size_t(i)].push_back({o, tap});
  Panels a(context, kSlotA, out, k, n, k, dy.as<float>(), out * k, 1, kPanelRows);
  Panels b(context, kSlotB, taps, c, c, k, w.as<float>(), 1, taps * c, kPanelColumns);
  sum_products(context, places, a, b, n, c, dx.as<float>(), c, in * c);
}

void conv2d_dw(Context& context, In x, In dy, Out dw, Window window) {
  int64_t n = x.shape[0], c = x.shape[3], k = dw.shape[0], in = x.shape[1] * x.shape[2], out = dy.shape[1] * dy.shape[2];
  int64_t taps = dw.shape[1] * dw.shape[2];
  std::vector<std::vector<Pair>> places(static_cast<size_t>(taps));
  for (auto [i, o, tap] : connections(x.shape, dw.shape, dy.shape, window)) places[size_t(tap)].push_back({o, i});
  Panels a(context, kSlotA, out, k, k, n, dy.as<float>(), 1, out * k, kPanelRows);
  Panels b(context, kSlotB, in, c, c, n, x.as<float>(), 1, in * c, kPanelColumns);
  sum_products(context, places, a, b, k, c, dw.as<float>(), c, taps * c);
}

}  // namespace plumage::cpu::few_pixels
