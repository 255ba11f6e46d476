// Two separable passes over fixed-point weights. A pass works on whole pixels (four lanes, one unused) or
// whole rows. Next in the walk: data/augment.cpp.
#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/errors.h"

namespace plumage {
namespace {

constexpr int kPrecision =
    22;  // fraction bits of a weight: 8 bits of pixel and 2 of headroom remain in int32
constexpr int64_t kLargestSide = 65535;

typedef uint8_t Bytes4 __attribute__((vector_size(4)));
typedef int32_t Lanes4 __attribute__((vector_size(16)));

/// For each output position of one axis: the first source pixel and the weights from there on.
struct Axis {
  std::vector<int64_t> first, count;
  std::vector<int32_t> weights;  // [outputs, taps]
  int64_t taps = 0;

  const int32_t* at(int64_t i) const { return weights.data() + i * taps; }
  int64_t outputs() const { return int64_t(first.size()); }
};

/// Outputs begin .. begin + outputs - 1 of a resize of [low, high) to `full` pixels; the source has `size`.
Axis make_axis(int64_t size, double low, double high, int64_t full, int64_t begin, int64_t outputs) {
  double scale = (high - low) / double(full), stretch = std::max(scale, 1.0);
  Axis axis;
  axis.taps = std::min(int64_t(std::ceil(stretch)) * 2 + 1, size);
  axis.first.resize(size_t(outputs));
  axis.count.resize(size_t(outputs));
  axis.weights.assign(size_t(outputs * axis.taps), 0);
  std::vector<double> raw(size_t(axis.taps), 0.0);
  for (int64_t i = 0; i < outputs; ++i) {
    double center = low + (double(begin + i) + 0.5) * scale;
    int64_t first = std::clamp(int64_t(center - stretch + 0.5), int64_t(0), size - 1);
    int64_t last = std::clamp(int64_t(center + stretch + 0.5), first + 1, size);
    int64_t count = std::min(last - first, axis.taps);
    double sum = 0;
    for (int64_t t = 0; t < count; ++t) {
      raw[size_t(t)] = std::max(0.0, 1 - std::abs((double(first + t) - center + 0.5) / stretch));
      sum += raw[size_t(t)];
    }
    if (!(sum > 0)) raw[0] = sum = 1;
    for (int64_t t = 0; t < count; ++t)
      axis.weights[size_t(i * axis.taps + t)] = int32_t(0.5 + raw[size_t(t)] / sum * (1 << kPrecision));
    axis.first[size_t(i)] = first;
    axis.count[size_t(i)] = count;
  }
  return axis;
}

/// One row, [width, 3] to [outputs, 3]. Both buffers have a spare byte: pixels are read and written four
/// bytes wide.
void resize_row(const uint8_t* in, const Axis& axis, uint8_t* out) {
  for (int64_t i = 0; i < axis.outputs(); ++i) {
    const uint8_t* pixel = in + axis.first[size_t(i)] * 3;
    const int32_t* weight = axis.at(i);
    Lanes4 sum = Lanes4{} + (1 << (kPrecision - 1));
    for (int64_t t = 0; t < axis.count[size_t(i)]; ++t, pixel += 3) {
      Bytes4 bytes;
      std::memcpy(&bytes, pixel, 4);
      sum += __builtin_convertvector(bytes, Lanes4) * weight[t];
    }
    Lanes4 level = sum >> kPrecision;
    level =
        level > 255 ? Lanes4{} + 255 : level;  // many rounded weights may add up to a little more than one
    Bytes4 rounded = __builtin_convertvector(level, Bytes4);
    std::memcpy(out + i * 3, &rounded, 4);
  }
}

/// All rows of `in` (from source row `in_top` on, `bytes` each) to the axis's rows.
void resize_columns(const std::vector<uint8_t>& in, int64_t in_top, int64_t bytes, const Axis& axis,
                    Image& out) {
  std::vector<int32_t> sums(size_t(bytes), 0);
  for (int64_t y = 0; y < axis.outputs(); ++y) {
    std::fill(sums.begin(), sums.end(), 1 << (kPrecision - 1));
    const uint8_t* row = in.data() + (axis.first[size_t(y)] - in_top) * bytes;
    for (int64_t t = 0; t < axis.count[size_t(y)]; ++t, row += bytes) {
      int32_t weight = axis.at(y)[t];
      int32_t* sum = sums.data();
      for (int64_t i = 0; i < bytes; ++i) sum[i] += weight * row[i];
    }
    uint8_t* target = out.row(y);
    for (int64_t i = 0; i < bytes; ++i) target[i] = uint8_t(std::min(sums[size_t(i)] >> kPrecision, 255));
  }
}

Image resize_axes(const PixelView& source, const Axis& across, const Axis& down) {
  int64_t top = source.height, bottom = 0;  // the source rows that the second pass will ask for
  for (int64_t y = 0; y < down.outputs(); ++y) {
    top = std::min(top, down.first[size_t(y)]);
    bottom = std::max(bottom, down.first[size_t(y)] + down.count[size_t(y)]);
  }
  Image out(across.outputs(), down.outputs());
  int64_t bytes = across.outputs() * 3;
  std::vector<uint8_t> narrowed(size_t((bottom - top) * bytes + 1));
  std::vector<uint8_t> row(size_t(source.width * 3 + 1));
  for (int64_t y = top; y < bottom; ++y) {
    std::memcpy(row.data(), source.rgb + y * source.stride, size_t(source.width * 3));
    resize_row(row.data(), across, narrowed.data() + (y - top) * bytes);
  }
  resize_columns(narrowed, top, bytes, down, out);
  return out;
}

void check_size(const char* what, int64_t size) {
  if (size < 1 || size > kLargestSide)
    throw InputError(message("resize: ", what, " of ", size, " pixels; it must be 1 to ", kLargestSide));
}

/// Half to even, as Python's round.
int64_t round_half_even(double x) { return int64_t(std::nearbyint(x)); }

}  // namespace

PixelView view(const Image& image) { return crop(image, 0, 0, image.width, image.height); }

PixelView crop(const Image& image, int64_t left, int64_t top, int64_t width, int64_t height) {
  bool inside = width > 0 && height > 0 && left >= 0 && top >= 0 && left <= image.width - width &&
                top <= image.height - height;
  if (!inside)
    throw InputError(message("crop: ", width, "x", height, " at (", left, ", ", top, ") of a picture of ",
                             image.width, "x", image.height, " pixels; it must be inside and not empty"));
  return {image.row(top) + left * 3, width, height, image.width * 3};
}

Image resize(const PixelView& source, int64_t width, int64_t height) {
  return resize(source, width, height, {0, 0, double(source.width), double(source.height)});
}

Image resize(const PixelView& source, int64_t width, int64_t height, const Box& box) {
  check_size("a width", width);
  check_size("a height", height);
  bool inside = box.left >= 0 && box.top >= 0 && box.right <= double(source.width) && box.left < box.right &&
                box.bottom <= double(source.height) && box.top < box.bottom;
  if (!inside)
    throw InputError(message("resize: box (", box.left, ", ", box.top, ", ", box.right, ", ", box.bottom,
                             ") of a picture of ", source.width, "x", source.height,
                             " pixels; it must be inside and not empty"));
  return resize_axes(source, make_axis(source.width, box.left, box.right, width, 0, width),
                     make_axis(source.height, box.top, box.bottom, height, 0, height));
}

Image resize_center_crop(const Image& image, int64_t short_side, int64_t size) {
  PixelView source = view(image);
  check_size("a short side", short_side);
  check_size("a crop", size);
  if (size > short_side)
    throw InputError(message("resize: a crop of ", size, " pixels out of a short side of ", short_side,
                             "; the crop must not be larger"));
  bool wide = source.width > source.height;
  int64_t shorter = std::min(source.width, source.height), longer = std::max(source.width, source.height);
  int64_t long_side = short_side * longer / shorter;  // rounds down, as torchvision does
  int64_t width = wide ? long_side : short_side, height = wide ? short_side : long_side;
  int64_t left = round_half_even(double(width - size) / 2), top = round_half_even(double(height - size) / 2);
  return resize_axes(source, make_axis(source.width, 0, double(source.width), width, left, size),
                     make_axis(source.height, 0, double(source.height), height, top, size));
}

}  // namespace plumage
