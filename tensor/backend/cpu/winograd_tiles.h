// An image batch in the tiles of Winograd's algorithms, read from and written to memory. For winograd.cpp (images) and
// winograd_dw.cpp (gradient of the filters).
#pragma once
#include "tensor/backend/cpu/conv.h"
#include "tensor/backend/cpu/gemm.h"
#include "tensor/backend/cpu/winograd_transforms.h"

namespace plumage::cpu::winograd {

template <class F> constexpr int64_t kPoints = F::kIn * F::kIn;  // elements of a transformed tile

// An image batch [N,H,W,C] seen in down x across tiles an image, `step` pixels apart.
template <int step>
struct Tiles {
  int64_t height, width, channels, down, across, count;
  Tiles(const Shape& image, int64_t down, int64_t across)
      : height(image[1]), width(image[2]), channels(image[3]), down(down), across(across), count(image[0] * down * across) {}
  /// Those that cover the image.
  explicit Tiles(const Shape& image) : Tiles(image, ceil_div(image[1], step), ceil_div(image[2], step)) {}

  /// f(c, lanes, pixel) for all channels: pixel(i, j) of the size x size at (step i - pad, step j - pad), zeros outside the image.
  template <int size, class F>
  PLUMAGE_INLINE void read(const float* x, int64_t tile, int64_t pad, F&& f) const {
    int64_t top = tile / across % down * step - pad, left = tile % across * step - pad;
    const float* corner = x + ((tile / (down * across) * height + top) * width + left) * channels;
    if (top >= 0 && left >= 0 && top + size <= height && left + size <= width) {
      for_vectors(0, channels, [&](int64_t c, auto lanes) {
        f(c, lanes, [&](int i, int j) { return load_n(corner + (i * width + j) * channels + c, lanes); });
      });
    } else {  // without branches: where a tile lies is not known before
      bool inside[size][size];
      for (int i = 0; i < size; ++i)
        for (int j = 0; j < size; ++j) inside[i][j] = top + i >= 0 && top + i < height && left + j >= 0 && left + j < width;
      for_vectors(0, channels, [&](int64_t c, auto lanes) {
        f(c, lanes, [&](int i, int j) { return load_if(inside[i][j], corner + (i * width + j) * channels + c, lanes); });
      });
    }
  }
  struct Range { const float* from; int64_t bytes; };
  /// Where the image rows of tiles first..last begin, about, and their size.
  Range rows_of(const float* x, int64_t first, int64_t last) const {
    if (first >= last) return {x, 0};
    auto row = [&](int64_t tile) { return tile / (down * across) * height + std::min(tile / across % down * step, height - 1); };
    int64_t pitch = width * channels, end = std::min(row(last - 1) + step, count / (down * across) * height);
    return {x + row(first) * pitch, (end - row(first)) * pitch * int64_t(sizeof(float))};
  }
  /// Where a tile's statistics are added up: the sums of its chunk, none if not asked for; the chunk's first tile begins them.
  struct Chunk {
    float* sums = nullptr;
    int64_t padded = 0;
    bool begins = false;
  };
  /// Writes the pixels of a tile at channels first..last, which transform(c, lanes, put) hands to put(i, j, pixel); past the cache if
  /// `streamed`.
  template <class F>
  PLUMAGE_INLINE void write(float* y, int64_t tile, int64_t first, int64_t last, const Epilogue& epilogue, bool streamed, const Chunk& chunk,
                            F&& transform) const {
    const int64_t top = tile / across % down * step, left = tile % across * step;
    const int64_t place = ((tile / (down * across) * height + top) * width + left) * channels;
    const int64_t rows = std::min<int64_t>(step, height - top), columns = std::min<int64_t>(step, width - left);
    const int64_t to_row = width * channels, to_column = channels;  // by value, like what follows: stores might change what lies in memory
    float* corner = y + place;
    const float* residual = epilogue.residual ? epilogue.residual.as<float>() + place : nullptr;
    const float* shift = epilogue.shift.as<float>();
    const bool relu = epilogue.relu;
    float *of_center = chunk.sums, *of_sum = of_center + chunk.padded, *of_squares = of_sum + chunk.padded;
    auto with = [=](auto inside) {
      if (chunk.begins)  // the mean of the first tile is near enough to the chunk's
        for_vectors(first, last, [=](int64_t c, auto lanes) {
          V center{};
          transform(c, lanes, [&](int i, int j, V v) {
            if (inside(i, j)) center += v;
          });
          store(of_center + c, center / float(rows * columns)), store(of_sum + c, V{}), store(of_squares + c, V{});
        });
      for_vectors(first, last, [=](int64_t c, auto lanes) {
        V center{}, sum{}, squares{};
        if (of_center) center = load(of_center + c), sum = load(of_sum + c), squares = load(of_squares + c);
        transform(c, lanes, [&](int i, int j, V v) {
          if (!inside(i, j)) return;
          const int64_t at = i * to_row + j * to_column + c;
          if (shift) v += load_n(shift + c, lanes);
          if (residual) v += load_n(residual + at, lanes);
          if (relu) v = vrelu(v);
          if (streamed) stream(corner + at, v);
          else store_n(corner + at, v, lanes);
          const V from_center = v - center;
          sum += from_center;
          squares += from_center * from_center;
        });
        if (of_center) store(of_sum + c, sum), store(of_squares + c, squares);
      });
    };
    if (rows == step && columns == step) with([](int, int) { return true; });
    else with([=](int i, int j) { return i < rows && j < columns; });
  }
};

// f(F4{}), F5{} or F2{}: the one with the fewest products for maps of this size; f(Strided{}) at stride 2,
// f(Doubled{}) of a map seen doubled, f(F4Of4{}) for 4x4.
template <class F>
void with_tiles(const Shape& y, const Window& window, F&& f) {
  auto products = [&](auto tiles) {
    using T = decltype(tiles);
    return Tiles<T::kOut>(y).count * kPoints<T>;
  };
  const int64_t two = products(F2{}), four = products(F4{}), five = products(F5{});
  if (window.kernel_h == 4) f(F4Of4{});
  else if (window.up == 2) f(Doubled{});
  else if (window.stride == 2) f(Strided{});
  else if (five < 0.85 * double(std::min(two, four))) f(F5{});  // its transforms cost more
  else if (four < two) f(F4{});
  else f(F2{});
}

}  // namespace plumage::cpu::winograd
