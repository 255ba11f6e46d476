// Loops over planes that the compiler vectorises: no branches in them, a block of pixels passes all colour
// steps while it is in the first-level cache.
#include "data/recolour.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "tensor/philox.h"
#include "tensor/view_steps.h"

namespace plumage {
namespace {

using views::luminance, views::mirror, views::mirror_coordinate, views::unit;

constexpr int64_t kBlock = 1024;

/// Some pixels of the three planes.
struct Block {
  float *r, *g, *b;
  int64_t count;
};

/// factor * colour + (1 - factor) * (what is blended with), cut to [0, 1].
void blend_constant(Block px, float factor, float other) {
  float rest = (1 - factor) * other;
  for (float* plane : {px.r, px.g, px.b})
    for (int64_t i = 0; i < px.count; ++i) plane[i] = unit(factor * plane[i] + rest);
}

void blend_luminance(Block px, float factor) {
  for (int64_t i = 0; i < px.count; ++i) views::blend_luminance(px.r[i], px.g[i], px.b[i], factor);
}

void turn_hue(Block px, float turn) {
  for (int64_t i = 0; i < px.count; ++i) {
    float r = px.r[i], g = px.g[i], b = px.b[i];
    views::turn_hue(r, g, b, turn);
    px.r[i] = r;
    px.g[i] = g;
    px.b[i] = b;
  }
}

double luminance_sum(Block px) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < px.count; ++i) sum += luminance(px.r[i], px.g[i], px.b[i]);
  return sum;
}

template <class Function>
void for_blocks(Planes& planes, Function function) {
  for (int64_t i = 0; i < planes.pixels(); i += kBlock)
    function(Block{planes.plane(0) + i, planes.plane(1) + i, planes.plane(2) + i,
                   std::min(kBlock, planes.pixels() - i)});
}

constexpr int kLanes = 16;
typedef float Lanes __attribute__((vector_size(4 * kLanes)));
typedef Lanes AnyLanes __attribute__((aligned(4), may_alias));  // wherever they lie

/// out[x] = weight[0] * lines[0][x] + sum over t of weight[t] * (lines[-t][x] + lines[t][x]) for n vectors of
/// columns, whose sums stay in registers.
template <int n>
void weigh_strip(const std::vector<float>& weight, const float* const* lines, int64_t x, float* out) {
  auto at = [x](const float* line, int i) -> Lanes {
    return *reinterpret_cast<const AnyLanes*>(line + x + i * kLanes);
  };
  Lanes sum[n];
  for (int i = 0; i < n; ++i) sum[i] = weight[0] * at(lines[0], i);
  for (int64_t t = 1; t < int64_t(weight.size()); ++t)
    for (int i = 0; i < n; ++i) sum[i] += weight[size_t(t)] * (at(lines[-t], i) + at(lines[t], i));
  for (int i = 0; i < n; ++i) *reinterpret_cast<AnyLanes*>(out + x + i * kLanes) = sum[i];
}

void weigh_lines(const std::vector<float>& weight, const float* const* lines, int64_t count, float* out) {
  int64_t x = 0;
  for (; x + 4 * kLanes <= count; x += 4 * kLanes) weigh_strip<4>(weight, lines, x, out);
  for (; x + kLanes <= count; x += kLanes) weigh_strip<1>(weight, lines, x, out);
  for (; x < count; ++x) {
    out[x] = weight[0] * lines[0][x];
    for (int64_t t = 1; t < int64_t(weight.size()); ++t)
      out[x] += weight[size_t(t)] * (lines[-t][x] + lines[t][x]);
  }
}

}  // namespace

const std::array<float, 4096>& normal_levels() {
  static const std::array<float, 4096> levels = [] {
    std::array<float, 4096> out{};
    double squares = 0;
    for (int i = 0; i < 2048; ++i) {
      double share = (i + 0.5) / 4096, low = -5, high = 0;
      for (int step = 0; step < 50; ++step) {
        double middle = (low + high) / 2;
        (0.5 * std::erfc(-middle / std::sqrt(2.0)) < share ? low : high) = middle;
      }
      out[size_t(i)] = float(low);
      out[size_t(4095 - i)] = float(-low);
      squares += 2 * low * low;
    }
    for (float& level : out) level /= float(std::sqrt(squares / 4096));
    return out;
  }();
  return levels;
}

Planes::Planes(int64_t width, int64_t height)
    : width_(width), height_(height), values_(std::make_unique<float[]>(size_t(3 * width * height))) {}

Planes::Planes(const Image& image, bool flip)
    : width_(image.width),
      height_(image.height),
      values_(std::make_unique_for_overwrite<float[]>(size_t(3 * image.width * image.height))) {
  float *r = plane(0), *g = plane(1), *b = plane(2);
  // The same bits as a division of floats by 255, for each of the 256 levels, and a third of its time.
  auto share = [](uint8_t level) { return float(double(level) * (1.0 / 255)); };
  for (int64_t y = 0; y < height_; ++y, r += width_, g += width_, b += width_) {
    const uint8_t* row = image.row(y);
    for (int64_t x = 0; x < width_; ++x) {
      r[x] = share(row[3 * x]);
      g[x] = share(row[3 * x + 1]);
      b[x] = share(row[3 * x + 2]);
    }
    if (flip)
      for (float* line : {r, g, b}) std::reverse(line, line + width_);
  }
}

void Planes::store(float* out, const Normalization& normalization) const {
  const float *r = plane(0), *g = plane(1), *b = plane(2);
  std::array<float, 3> mean = normalization.mean, scale;
  for (size_t c = 0; c < 3; ++c) scale[c] = 1 / normalization.std[c];
  for (int64_t i = 0; i < pixels(); ++i) {
    out[3 * i] = (r[i] - mean[0]) * scale[0];
    out[3 * i + 1] = (g[i] - mean[1]) * scale[1];
    out[3 * i + 2] = (b[i] - mean[2]) * scale[2];
  }
}

void rotate(Planes& planes, float radians) {
  int64_t width = planes.width(), height = planes.height();
  float cosine = std::cos(radians), sine = std::sin(radians);
  float middle_x = float(width - 1) / 2, middle_y = float(height - 1) / 2;
  Planes out(width, height);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      float dx = float(x) - middle_x, dy = float(y) - middle_y;
      float from_x = mirror_coordinate(middle_x + cosine * dx - sine * dy, width);
      float from_y = mirror_coordinate(middle_y + sine * dx + cosine * dy, height);
      int64_t x0 = int64_t(std::floor(from_x)), y0 = int64_t(std::floor(from_y));
      float right = from_x - float(x0), below = from_y - float(y0);
      int64_t x1 = std::min(x0 + 1, width - 1), y1 = std::min(y0 + 1, height - 1);
      x0 = std::max(x0, int64_t(0));
      y0 = std::max(y0, int64_t(0));
      for (int c = 0; c < 3; ++c) {
        const float *upper = planes.plane(c) + y0 * width, *lower = planes.plane(c) + y1 * width;
        float above_value = upper[x0] + right * (upper[x1] - upper[x0]);
        float below_value = lower[x0] + right * (lower[x1] - lower[x0]);
        out.plane(c)[y * width + x] = above_value + below * (below_value - above_value);
      }
    }
  }
  planes = std::move(out);
}

void recolour(Planes& planes, const AugmentParameters& parameters) {
  const AugmentParameters& p = parameters;
  // Contrast alone looks at the whole picture: its mean is gathered in one sweep, all else is done in
  // another.
  float mean = 0;
  auto run = [&](Block px, auto begin, auto end) {
    for (auto step = begin; step != end; ++step) {
      if (*step == ColourStep::brightness) blend_constant(px, p.brightness, 0);
      if (*step == ColourStep::contrast) blend_constant(px, p.contrast, mean);
      if (*step == ColourStep::saturation) blend_luminance(px, p.saturation);
      if (*step == ColourStep::hue) turn_hue(px, p.hue);
    }
  };
  auto contrast = p.order.end();
  if (p.jitter) {
    contrast = std::find(p.order.begin(), p.order.end(), ColourStep::contrast);
    double sum = 0;
    for_blocks(planes, [&](Block px) {
      run(px, p.order.begin(), contrast);
      if (contrast != p.order.end()) sum += luminance_sum(px);
    });
    mean = float(sum / double(planes.pixels()));
  }
  if (!p.jitter && !p.grayscale) return;
  for_blocks(planes, [&](Block px) {
    run(px, contrast, p.order.end());
    if (p.grayscale) blend_luminance(px, 0);
  });
}

void blur(Planes& planes, float sigma) {
  int64_t width = planes.width(), height = planes.height(),
          radius = std::max(int64_t(1), int64_t(std::ceil(4 * sigma)));
  std::vector<float> weights(size_t(radius + 1));
  double total = 0;
  for (int64_t t = 0; t <= radius; ++t) {
    double distance = double(t) / double(sigma);
    weights[size_t(t)] = float(std::exp(-0.5 * distance * distance));
    total += (t ? 2 : 1) * double(weights[size_t(t)]);
  }
  for (float& weight : weights) weight = float(double(weight) / total);
  std::vector<float> padded(size_t(width + 2 * radius));
  auto across = std::make_unique_for_overwrite<float[]>(size_t(width * height));
  std::vector<const float*> columns,
      rows;  // the padded line shifted by -radius .. radius; rows -radius .. height + radius
  for (int64_t t = 0; t <= 2 * radius; ++t) columns.push_back(padded.data() + t);
  for (int64_t y = -radius; y < height + radius; ++y)
    rows.push_back(across.get() + mirror(y, height) * width);
  for (int c = 0; c < 3; ++c) {
    for (int64_t y = 0; y < height; ++y) {
      const float* line = planes.plane(c) + y * width;
      std::copy(line, line + width, padded.begin() + radius);
      for (int64_t t = 1; t <= radius; ++t) {
        padded[size_t(radius - t)] = line[mirror(-t, width)];
        padded[size_t(radius + width - 1 + t)] = line[mirror(width - 1 + t, width)];
      }
      weigh_lines(weights, columns.data() + radius, width, across.get() + y * width);
    }
    for (int64_t y = 0; y < height; ++y)
      weigh_lines(weights, rows.data() + radius + y, width, planes.plane(c) + y * width);
  }
}

void add_noise(Planes& planes, float std, uint64_t seed) {
  const auto& levels = normal_levels();
  PhiloxKey key{seed, Purpose::augment, 0};
  int64_t count = 3 * planes.pixels();
  float* values = planes.plane(0);
  for (int64_t i = 0; i < count; i += 8) {  // eight numbers of 12 bits from four words
    auto words = philox(key, uint64_t(i / 8));
    for (int64_t j = 0; j < std::min(int64_t(8), count - i); ++j)
      values[i + j] += std * levels[views::normal_level(words, j)];
  }
}

}  // namespace plumage
