// Two separable passes over fixed-point weights, sixteen rows or sixteen bytes of a row at a time. Next in the walk: data/augment.cpp.
#include "data/resize.h"

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "tensor/errors.h"
#include "tensor/view_steps.h"

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors wider than the machine's pass between functions of this file only

namespace plumage {
namespace {

using views::kPrecision;
constexpr int64_t kLargestSide = 65535;

constexpr int kLanes = 16;
[[maybe_unused]] constexpr uint16_t kAllLanes = 0xffff;

typedef uint8_t Bytes16 __attribute__((vector_size(16)));
typedef uint8_t Bytes32 __attribute__((vector_size(32)));
typedef Bytes32 AnyBytes32 __attribute__((aligned(1), may_alias));  // wherever it lies
typedef uint16_t Halves16 __attribute__((vector_size(32)));
typedef int32_t Lanes16 __attribute__((vector_size(64)));

/// For each output position of one axis: the first source pixel and the weights from there on.
struct Axis {
  std::vector<int64_t> first, count;
  std::vector<int32_t> weights;  // [outputs, taps]
  int64_t taps = 0;

  const int32_t* at(int64_t i) const { return weights.data() + i * taps; }
  int64_t end(int64_t i) const { return first[size_t(i)] + count[size_t(i)]; }  // never less than that of i - 1
  int64_t outputs() const { return int64_t(first.size()); }
};

Axis make_axis(const views::Axis& from, int64_t outputs) {
  Axis axis;
  axis.taps = from.taps();
  axis.first.resize(size_t(outputs));
  axis.count.resize(size_t(outputs));
  axis.weights.assign(size_t(outputs * axis.taps), 0);
  std::vector<double> raw(size_t(axis.taps), 0.0);
  for (int64_t i = 0; i < outputs; ++i) {
    views::Taps taps(from, i);
    double sum = 0;
    for (int64_t t = 0; t < taps.count; ++t) sum += raw[size_t(t)] = taps.weight(t);
    if (!(sum > 0)) raw[0] = sum = 1;
    for (int64_t t = 0; t < taps.count; ++t)
      axis.weights[size_t(i * axis.taps + t)] = views::Taps::fixed(raw[size_t(t)], sum);
    axis.first[size_t(i)] = taps.first;
    axis.count[size_t(i)] = taps.count;
  }
  return axis;
}

/// A thread's last axis across (0) or down (1): the pictures of a data set come in few sizes.
const Axis& kept_axis(int which, const views::Axis& from, int64_t outputs) {
  struct Kept {
    views::Axis from;
    Axis axis;
  };
  thread_local std::array<Kept, 2> kept;
  Kept& k = kept[size_t(which)];
  if (k.axis.outputs() != outputs || !(k.from == from)) k = {from, make_axis(from, outputs)};
  return k.axis;
}

/// Two blocks of 16 x 16 bytes, side by side, each turned: column i of the left one becomes the first half of v[i],
/// that of the right one the second. Each round deals two halves of the rows together like cards.
void turn(Bytes32 (&v)[kLanes]) {
  for (int round = 0; round < 4; ++round) {
    Bytes32 dealt[kLanes];
    for (int i = 0; i < kLanes / 2; ++i) {
      Bytes32 a = v[i], b = v[i + kLanes / 2];
      dealt[2 * i] = __builtin_shufflevector(a, b, 0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39, 16, 48, 17, 49,
                                             18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55);
      dealt[2 * i + 1] = __builtin_shufflevector(a, b, 8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47, 24, 56,
                                                 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63);
    }
    std::copy(dealt, dealt + kLanes, v);
  }
}

// By doubling: g++ 12 takes vectors apart where a number grows or shrinks to a quarter at once. AVX-512 can, if told.
Lanes16 widened(const Bytes16& bytes) {
#ifdef __AVX512F__
  return (Lanes16)_mm512_maskz_cvtepu8_epi32(kAllLanes, (__m128i)bytes);
#else
  return __builtin_convertvector(__builtin_convertvector(bytes, Halves16), Lanes16);
#endif
}

// Many rounded weights may add up to a little more than one.
Bytes16 rounded(Lanes16 sum) {
  Lanes16 level = sum >> kPrecision;
#ifdef __AVX512F__
  return (Bytes16)_mm512_maskz_cvtusepi32_epi8(kAllLanes, (__m512i)level);
#else
  level = level > 255 ? Lanes16{} + 255 : level;
  return __builtin_convertvector(__builtin_convertvector(level, Halves16), Bytes16);
#endif
}

/// The pass along rows, sixteen rows at a time: turned so that a vector holds one byte of each, all rows share their
/// weights; then turned back. Source pixels low .. high-1 are looked at.
class RowPass {
 public:
  RowPass(const Axis& axis, int64_t low, int64_t high)
      : axis_(axis), low_(low), in_bytes_((high - low) * 3), out_bytes_(axis.outputs() * 3),
        in_(size_t(in_bytes_ + kBlock)), out_(size_t(out_bytes_ + kBlock)), spare_(size_t(out_bytes_)) {}

  /// `count` rows of at most sixteen, from `in` (pixel `low` of the first) to `out`; strides in bytes.
  void run(const uint8_t* in, int64_t in_stride, int64_t count, uint8_t* out, int64_t out_stride) {
    const uint8_t* from[kLanes];
    uint8_t* to[kLanes];
    for (int64_t r = 0; r < kLanes; ++r) {  // what is missing of sixteen is read twice and written nowhere
      from[r] = in + std::min(r, count - 1) * in_stride;
      to[r] = r < count ? out + r * out_stride : spare_.data();
    }
    int64_t at = 0;
    for (; at + kBlock <= in_bytes_; at += kBlock) load<kBlock>(from, at, kBlock);
    if (at < in_bytes_) load<0>(from, at, size_t(in_bytes_ - at));
    for (int64_t i = 0; i < axis_.outputs(); ++i) pixel(i);
    for (at = 0; at + kBlock <= out_bytes_; at += kBlock) store<kBlock>(to, at, kBlock);
    if (at < out_bytes_) store<0>(to, at, size_t(out_bytes_ - at));
  }

 private:
  static constexpr int kBlock = 2 * kLanes;

  // `whole`: bytes of each row, known when this is compiled; 0: as many as `bytes` says.
  template <int whole>
  void load(const uint8_t* const (&from)[kLanes], int64_t at, size_t bytes) {
    Bytes32 block[kLanes] = {};
    for (int r = 0; r < kLanes; ++r) {
      if constexpr (whole) block[r] = *reinterpret_cast<const AnyBytes32*>(from[r] + at);
      else std::memcpy(&block[r], from[r] + at, bytes);
    }
    turn(block);
    for (int i = 0; i < kLanes; ++i) {
      in_[size_t(at + i)] = __builtin_shufflevector(block[i], block[i], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
      in_[size_t(at + i + kLanes)] =
          __builtin_shufflevector(block[i], block[i], 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
    }
  }

  template <int whole>
  void store(uint8_t* const (&to)[kLanes], int64_t at, size_t bytes) {
    Bytes32 block[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      block[i] = __builtin_shufflevector(out_[size_t(at + i)], out_[size_t(at + i + kLanes)], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
                                         11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
    }
    turn(block);
    for (int r = 0; r < kLanes; ++r) {
      if constexpr (whole) *reinterpret_cast<AnyBytes32*>(to[r] + at) = block[r];
      else std::memcpy(to[r] + at, &block[r], bytes);
    }
  }

  void pixel(int64_t i) {
    const Bytes16* in = in_.data() + (axis_.first[size_t(i)] - low_) * 3;
    const int32_t* weight = axis_.at(i);
    Lanes16 half = Lanes16{} + (1 << (kPrecision - 1)), red = half, green = half, blue = half;
    for (int64_t t = 0; t < axis_.count[size_t(i)]; ++t, in += 3) {
      red += widened(in[0]) * weight[t];
      green += widened(in[1]) * weight[t];
      blue += widened(in[2]) * weight[t];
    }
    out_[size_t(i * 3)] = rounded(red);
    out_[size_t(i * 3 + 1)] = rounded(green);
    out_[size_t(i * 3 + 2)] = rounded(blue);
  }

  const Axis& axis_;
  int64_t low_, in_bytes_, out_bytes_;
  std::vector<Bytes16> in_, out_;  // byte column by byte column
  std::vector<uint8_t> spare_;
};

/// `vectors` times sixteen bytes of the pass down, from `count` rows that are `bytes` apart. Several share a weight.
template <int vectors>
void blend(const uint8_t* rows, int64_t bytes, const int32_t* weight, int64_t count, Bytes16 (&level)[vectors]) {
  Lanes16 sum[vectors];
  for (Lanes16& some : sum) some = Lanes16{} + (1 << (kPrecision - 1));
  for (int64_t t = 0; t < count; ++t) {
    for (int v = 0; v < vectors; ++v) {
      Bytes16 some;
      std::memcpy(&some, rows + t * bytes + v * kLanes, kLanes);
      sum[v] += widened(some) * weight[t];
    }
  }
  for (int v = 0; v < vectors; ++v) level[v] = rounded(sum[v]);
}

/// A row of the pass down: `bytes` of it from `count` rows that begin at `rows`, with room for a vector behind the last.
void resize_column(const uint8_t* rows, int64_t bytes, const int32_t* weight, int64_t count, uint8_t* out) {
  Bytes16 four[4], one[1];
  int64_t at = 0;
  for (; at + int64_t(sizeof four) <= bytes; at += sizeof four) {
    blend(rows + at, bytes, weight, count, four);
    for (int v = 0; v < 4; ++v) std::memcpy(out + at + v * kLanes, &four[v], kLanes);
  }
  for (; at < bytes; at += kLanes) {
    blend(rows + at, bytes, weight, count, one);
    std::memcpy(out + at, one, size_t(std::min<int64_t>(kLanes, bytes - at)));
  }
}

struct Extent {
  int64_t low, high;  // source positions low .. high-1 that an axis looks at
};

Extent extent(const Axis& axis) {
  Extent e{axis.first[0], 0};
  for (int64_t i = 0; i < axis.outputs(); ++i) {
    e.low = std::min(e.low, axis.first[size_t(i)]);
    e.high = std::max(e.high, axis.end(i));
  }
  return e;
}

Image resize_axes(const PixelView& source, const Axis& across, const Axis& down) {
  auto [left, right] = extent(across);
  auto [top, bottom] = extent(down);
  Image out = Image::unfilled(across.outputs(), down.outputs());
  int64_t bytes = across.outputs() * 3;
  // Rows held.. of the pass along them, as few as an output looks at and sixteen new ones: they stay in the cache.
  auto narrowed = std::make_unique_for_overwrite<uint8_t[]>(size_t((down.taps + kLanes) * bytes + kLanes));
  int64_t held = top;
  auto narrowed_row = [&](int64_t y) { return narrowed.get() + (y - held) * bytes; };
  RowPass pass(across, left, right);
  int64_t done = 0;  // rows of `out`
  for (int64_t y = top; y < bottom; y += kLanes) {
    if (int64_t wanted = std::min(down.first[size_t(done)], y); wanted > held) {
      std::memmove(narrowed.get(), narrowed_row(wanted), size_t((y - wanted) * bytes));
      held = wanted;
    }
    int64_t below = std::min(y + kLanes, bottom);
    pass.run(source.rgb + y * source.stride + left * 3, source.stride, below - y, narrowed_row(y), bytes);
    for (; done < out.height && down.end(done) <= below; ++done) {
      resize_column(narrowed_row(down.first[size_t(done)]), bytes, down.at(done), down.count[size_t(done)], out.row(done));
    }
  }
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

void check_crop(int64_t left, int64_t top, int64_t width, int64_t height, int64_t picture_width, int64_t picture_height) {
  bool inside = width > 0 && height > 0 && left >= 0 && top >= 0 && left <= picture_width - width &&
                top <= picture_height - height;
  if (!inside)
    throw InputError(message("crop: ", width, "x", height, " at (", left, ", ", top, ") of a picture of ",
                             picture_width, "x", picture_height, " pixels; it must be inside and not empty"));
}

PixelView crop(const Image& image, int64_t left, int64_t top, int64_t width, int64_t height) {
  check_crop(left, top, width, height, image.width, image.height);
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
  views::Axis across{source.width, 0, box.left, (box.right - box.left) / double(width)};
  views::Axis down{source.height, 0, box.top, (box.bottom - box.top) / double(height)};
  return resize_axes(source, kept_axis(0, across, width), kept_axis(1, down, height));
}

std::array<views::Axis, 2> center_crop_axes(int64_t width, int64_t height, int64_t short_side, int64_t size) {
  check_crop(0, 0, 1, 1, width, height);  // that there are pixels
  check_size("a short side", short_side);
  check_size("a crop", size);
  if (size > short_side)
    throw InputError(message("resize: a crop of ", size, " pixels out of a short side of ", short_side,
                             "; the crop must not be larger"));
  int64_t shorter = std::min(width, height), longer = std::max(width, height);
  int64_t long_side = short_side * longer / shorter;  // rounds down, as torchvision does
  auto axis = [&](int64_t from, int64_t to) {
    return views::Axis{from, round_half_even(double(to - size) / 2), 0, double(from) / double(to)};
  };
  return {axis(width, width > height ? long_side : short_side), axis(height, width > height ? short_side : long_side)};
}

Image resize_center_crop(const Image& image, int64_t short_side, int64_t size) {
  auto [across, down] = center_crop_axes(image.width, image.height, short_side, size);
  return resize_axes(view(image), kept_axis(0, across, size), kept_axis(1, down, size));
}

}  // namespace plumage
