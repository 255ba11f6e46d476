// Filters of seven or eight pixels at stride 2 on pictures, the first layer of most networks: 2 x 2 pixels become one of four times the
// channels, and the filters 4x4 at stride 1, for which Winograd's algorithm needs a quarter of the products. A few images at a time,
// so that they stay in the cache.    Next: winograd.cpp.
#include "tensor/backend/cpu/conv.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu::phases {
namespace {

constexpr int kSlot = 3;  // winograd uses those before
constexpr int64_t kTaps = 4;
constexpr int64_t kGroupFloats = int64_t{1} << 20;  // of the images that are taken together

// Pixel (2i + a, 2j + b), channel c is pixel (i, j), channel (2a + b) C + c of the phases, which are padded to whole vectors; tap
// 2t + a - odd of a filter is tap t of phase a.
struct Phases {
  int64_t images, height, width, channels, pitch, down, across, odd;
  Window window;
  Phases(const Shape& x, const Window& w)
      : images(x[0]), height(x[1]), width(x[2]), channels(x[3]), pitch(round_up(4 * x[3], kLanes)), down(ceil_div(x[1], 2)),
        across(ceil_div(x[2], 2)), odd(w.pad % 2), window{kTaps, kTaps, 1, (w.pad + w.pad % 2) / 2} {}
  int64_t group() const { return std::clamp<int64_t>(kGroupFloats / (down * across * pitch), 1, images); }
  Shape shape(int64_t n) const { return {n, down, across, pitch}; }
  Shape filters(int64_t k) const { return {k, kTaps, kTaps, 4 * channels}; }

  // Images first.. of x, n of them.
  void split(Context& context, const float* x, int64_t first, int64_t n, float* to) const {
    parallel_rows(context, n * down, across * pitch, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        float* pixels = to + row * across * pitch;
        std::fill_n(pixels, across * pitch, 0.f);
        for (int64_t a = 0; a < std::min<int64_t>(2, height - row % down * 2); ++a) {
          const float* from = x + ((first + row / down) * height + row % down * 2 + a) * width * channels;
          for (int64_t j = 0; j < width; ++j)
            for (int64_t c = 0; c < channels; ++c) pixels[j / 2 * pitch + (2 * a + j % 2) * channels + c] = from[j * channels + c];
        }
      }
    });
  }

  // f(place in w, in the phases' filters) for each of w's numbers [k, size, size, C].
  template <class F>
  void each_weight(int64_t k, int64_t size, F&& f) const {
    for (int64_t i = 0; i < k * size * size; ++i) {
      const int64_t r = i / size % size + odd, s = i % size + odd;
      const int64_t tap = (i / (size * size) * kTaps + r / 2) * kTaps + s / 2, phase = r % 2 * 2 + s % 2;
      for (int64_t c = 0; c < channels; ++c) f(i * channels + c, (tap * 4 + phase) * channels + c);
    }
  }
};

}  // namespace

bool fits(const Shape& w, const Shape& y, const Window& window, DType type) {
  const int64_t size = w[1] + window.pad % 2;
  return type == DType::f32 && window.up == 1 && window.stride == 2 && w[1] == w[2] && (size == 7 || size == 8) && w[3] <= 4 && w[0] >= 32 &&
         y[1] >= 8 && y[2] >= 8 && !onednn::has_wider_vectors();
}

namespace {

void correlate(Context& context, In x, In w, Out y, Window window, const Epilogue& epilogue, winograd::Statistics* statistics) {
  const Phases phases(x.shape, window);
  const int64_t group = phases.group(), filters = phases.filters(w.shape[0]).count(), image = y.count() / phases.images;
  auto* phased_w = static_cast<float*>(context.scratch((round_up(filters, 16) + phases.shape(group).count()) * 4, kSlot));
  float* phased_x = phased_w + round_up(filters, 16);
  std::fill_n(phased_w, filters, 0.f);
  phases.each_weight(w.shape[0], w.shape[1], [&](int64_t from, int64_t to) { phased_w[to] = w.as<float>()[from]; });
  for (int64_t first = 0; first < phases.images; first += group) {
    const int64_t n = std::min(group, phases.images - first);
    Shape part = y.shape;
    part.set(0, n);
    Epilogue way_out = epilogue;
    if (epilogue.residual) way_out.residual.data = epilogue.residual.as<float>() + first * image;
    phases.split(context, x.as<float>(), first, n, phased_x);
    winograd::conv2d(context, {phased_x, phases.shape(n)}, {phased_w, phases.filters(w.shape[0])}, {y.as<float>() + first * image, part},
                     phases.window, way_out, nullptr, statistics);
  }
}

}  // namespace

void conv2d(Context& context, In x, In w, Out y, Window window, const Epilogue& epilogue) {
  correlate(context, x, w, y, window, epilogue, nullptr);
}

void conv2d_stats(Context& context, In x, In w, Out y, Out mean, Out variance, Window window) {
  winograd::Statistics statistics(context, y.shape, Phases(x.shape, window).window, mean.shape[0]);
  correlate(context, x, w, y, window, {}, &statistics);
  combine(context, statistics.sums, mean, variance);
}

void conv2d_dw(Context& context, In x, In dy, Out dw, Window window) {
  const Phases phases(x.shape, window);
  const int64_t group = phases.group(), filters = phases.filters(dw.shape[0]).count(), image = dy.count() / phases.images;
  auto* phased_dw = static_cast<float*>(context.scratch((round_up(filters, 16) + phases.shape(group).count()) * 4, kSlot));
  float* phased_x = phased_dw + round_up(filters, 16);
  for (int64_t first = 0; first < phases.images; first += group) {
    const int64_t n = std::min(group, phases.images - first);
    Shape part = dy.shape;
    part.set(0, n);
    phases.split(context, x.as<float>(), first, n, phased_x);
    winograd::conv2d_dw(context, {phased_x, phases.shape(n)}, {dy.as<float>() + first * image, part},
                        {phased_dw, phases.filters(dw.shape[0])}, phases.window);
    phases.each_weight(dw.shape[0], dw.shape[1], [&](int64_t to, int64_t from) {
      dw.as<float>()[to] = phased_dw[from] + (first > 0 ? dw.as<float>()[to] : 0.f);
    });
  }
}

}  // namespace plumage::cpu::phases
