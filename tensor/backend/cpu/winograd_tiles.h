// An image batch in the tiles of Winograd's algorithms, read from and written to memory. For winograd.cpp (images) and
// winograd_dw.cpp (gradient of the filters).
#pragma once
#include "tensor/backend/cpu/conv.h"
#include "tensor/backend/cpu/gemm.h"
#include "tensor/backend/cpu/winograd_transforms.h"

namespace plumage::cpu::winograd {

template <class F> constexpr int64_t kPoints = F::kIn * F::kIn;  // elements of a transformed tile
template <class F> using Transformed = V[F::kIn][F::kIn];
template <class F> using Patch = V[F::kPatch][F::kPatch];
template <class F> using Pixels = V[F::kOut][F::kOut];
template <class F> using Filter = V[F::kTaps][F::kTaps];

// An image batch [N,H,W,C] seen in down x across tiles an image, `step` pixels apart.
template <int step>
struct Tiles {
  int64_t height, width, channels, down, across, count;
  Tiles(const Shape& image, int64_t down, int64_t across)
      : height(image[1]), width(image[2]), channels(image[3]), down(down), across(across), count(image[0] * down * across) {}
  /// Those that cover the image.
  explicit Tiles(const Shape& image) : Tiles(image, ceil_div(image[1], step), ceil_div(image[2], step)) {}

  /// f(c, lanes, d) for all channels: d are the size x size pixels at (step i - pad, step j - pad), zeros outside the image.
  template <int size, class F>
  PLUMAGE_INLINE void read(const float* x, int64_t tile, int64_t pad, F&& f) const {
    int64_t top = tile / across % down * step - pad, left = tile % across * step - pad;
    const float* corner = x + ((tile / (down * across) * height + top) * width + left) * channels;
    auto with = [&](auto inside) {
      for_vectors(0, channels, [&](int64_t c, int64_t lanes) {
        V d[size][size];
#pragma GCC unroll 7
        for (int i = 0; i < size; ++i)
#pragma GCC unroll 7
          for (int j = 0; j < size; ++j) d[i][j] = inside(i, j) ? load_n(corner + (i * width + j) * channels + c, lanes) : V{};
        f(c, lanes, d);
      });
    };
    if (top >= 0 && left >= 0 && top + size <= height && left + size <= width) with([](int, int) { return true; });
    else with([&](int i, int j) { return top + i >= 0 && top + i < height && left + j >= 0 && left + j < width; });
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
  /// Writes the pixels of a tile at channels first..last, f(c, lanes, d) giving them; past the cache if `streamed`.
  template <class F>
  PLUMAGE_INLINE void write(float* y, int64_t tile, int64_t first, int64_t last, const Epilogue& epilogue, bool streamed, const Chunk& chunk,
                            F&& f) const {
    int64_t top = tile / across % down * step, left = tile % across * step;
    int64_t place = ((tile / (down * across) * height + top) * width + left) * channels;
    float* corner = y + place;
    const float* residual = epilogue.residual ? epilogue.residual.as<float>() + place : nullptr;
    const int64_t rows = std::min<int64_t>(step, height - top), columns = std::min<int64_t>(step, width - left);
    const int64_t to_row = width * channels, to_column = channels;  // by value, like what follows: stores might change what lies in memory
    const float* shift = epilogue.shift.as<float>();
    const bool relu = epilogue.relu;
    for_vectors(first, last, [=](int64_t c, int64_t lanes) {
      V d[step][step];
      f(c, lanes, d);
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) {
          const int64_t at = i * to_row + j * to_column + c;
          V v = d[i][j];
          if (shift) v += load_n(shift + c, lanes);
          if (residual) v += load_n(residual + at, lanes);
          if (relu) v = vrelu(v);
          d[i][j] = v;
          if (streamed) stream(corner + at, v);
          else store_n(corner + at, v, lanes);
        }
      if (!chunk.sums) return;
      float *of_center = chunk.sums + c, *of_sum = of_center + chunk.padded, *of_squares = of_sum + chunk.padded;
      V center{}, sum{}, squares{};
      auto each = [&](auto&& add) {
        for (int64_t i = 0; i < rows; ++i)
          for (int64_t j = 0; j < columns; ++j) add(d[i][j]);
      };
      if (chunk.begins) {  // the mean of the first tile is near enough to the chunk's
        each([&](V v) { center += v; });
        center /= float(rows * columns);
      } else {
        center = load(of_center), sum = load(of_sum), squares = load(of_squares);
      }
      each([&](V v) {
        const V from_center = v - center;
        sum += from_center;
        squares += from_center * from_center;
      });
      store(of_center, center), store(of_sum, sum), store(of_squares, squares);
    });
  }
};

// to[point][row][channels] of n x n vectors
template <int n>
PLUMAGE_INLINE void store_points(const V (&d)[n][n], float* to, int64_t apart, int64_t lanes) {
#pragma GCC unroll 7
  for (int i = 0; i < n; ++i)
#pragma GCC unroll 7
    for (int j = 0; j < n; ++j) store_n(to + (n * i + j) * apart, d[i][j], lanes);
}
template <int n>
PLUMAGE_INLINE void load_points(V (&d)[n][n], const float* from, int64_t apart, int64_t lanes) {
#pragma GCC unroll 7
  for (int i = 0; i < n; ++i)
#pragma GCC unroll 7
    for (int j = 0; j < n; ++j) d[i][j] = load_n(from + (n * i + j) * apart, lanes);
}

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
