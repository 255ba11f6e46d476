// Convolution with 3x3 filters, stride 1, by Winograd's algorithms (tensor/backend/cpu/winograd_transforms.h). Output tiles
// of m x m pixels and their n x n inputs become n^2 matrix products [tiles, C] x [C, K], one for each point.
//   y = A' [(G g G') . (B' d B)] A      dw = G' [sum of (A dy A') . (B' x B)] G
#include "tensor/backend/cpu/conv.h"
#include "tensor/backend/cpu/gemm.h"
#include "tensor/backend/cpu/winograd_transforms.h"

namespace plumage::cpu::winograd {
namespace {

constexpr int kThreadSlot = 0, kPanelSlot = 1, kSumSlot = 2;
constexpr int64_t kDepth = 256;  // a panel of b this deep stays in the first cache
constexpr int64_t kChunk = 64;   // depth of the filters that a thread transforms at a time
constexpr int64_t kBlockFloats = 180000;  // transforms of a block of tiles: with their products they stay in the second cache
constexpr int64_t kBatch = 240;  // tiles that the gradient of the filters takes at a time

template <class F> constexpr int64_t kPoints = F::kIn * F::kIn;  // elements of a transformed tile
template <class F> using Transformed = V[F::kIn][F::kIn];
template <class F> using Pixels = V[F::kOut][F::kOut];
using Filter = V[3][3];

// An image batch [N,H,W,C] seen in tiles, those of an output of `rows` x `columns` pixels cut into squares of `step`.
template <int step>
struct Tiles {
  int64_t height, width, channels, down, across, count;
  Tiles(const Shape& image, int64_t rows, int64_t columns)
      : height(image[1]), width(image[2]), channels(image[3]), down((rows + step - 1) / step),
        across((columns + step - 1) / step), count(image[0] * down * across) {}

  /// f(c, lanes, d) for all channels: d are the size x size pixels at (step i - pad, step j - pad), zeros outside the image.
  template <int size, class F>
  PLUMAGE_INLINE void read(const float* x, int64_t tile, int64_t pad, F&& f) const {
    int64_t top = tile / across % down * step - pad, left = tile % across * step - pad;
    const float* corner = x + ((tile / (down * across) * height + top) * width + left) * channels;
    bool whole = top >= 0 && left >= 0 && top + size <= height && left + size <= width;
    for_vectors(0, channels, [&](int64_t c, int64_t lanes) {
      V d[size][size];
#pragma GCC unroll 6
      for (int i = 0; i < size; ++i)
#pragma GCC unroll 6
        for (int j = 0; j < size; ++j) {
          bool inside = whole || (top + i >= 0 && top + i < height && left + j >= 0 && left + j < width);
          d[i][j] = inside ? load_n(corner + (i * width + j) * channels + c, lanes) : V{};
        }
      f(c, lanes, d);
    });
  }
  /// Writes the pixels of a tile, f(c, lanes, d) giving them.
  template <class F>
  PLUMAGE_INLINE void write(float* y, int64_t tile, const Epilogue* epilogue, F&& f) const {
    int64_t top = tile / across % down * step, left = tile % across * step;
    int64_t place = ((tile / (down * across) * height + top) * width + left) * channels;
    float* corner = y + place;
    const float* residual = epilogue && epilogue->residual ? epilogue->residual.as<float>() + place : nullptr;
    int64_t rows = std::min<int64_t>(step, height - top), columns = std::min<int64_t>(step, width - left);
    for_vectors(0, channels, [&](int64_t c, int64_t lanes) {
      V d[step][step];
      f(c, lanes, d);
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) {
          int64_t at = (i * width + j) * channels + c;
          V v = d[i][j];
          if (epilogue) {
            v += load_n(epilogue->shift.as<float>() + c, lanes);
            if (residual) v += load_n(residual + at, lanes);
            if (epilogue->relu) v = vrelu(v);
          }
          store_n(corner + at, v, lanes);
        }
    });
  }
};

// to[point][row][channels] of n x n vectors
template <int n>
PLUMAGE_INLINE void store_points(const V (&d)[n][n], float* to, int64_t apart, int64_t lanes) {
#pragma GCC unroll 6
  for (int i = 0; i < n; ++i)
#pragma GCC unroll 6
    for (int j = 0; j < n; ++j) store_n(to + (n * i + j) * apart, d[i][j], lanes);
}
template <int n>
PLUMAGE_INLINE void load_points(V (&d)[n][n], const float* from, int64_t apart, int64_t lanes) {
#pragma GCC unroll 6
  for (int i = 0; i < n; ++i)
#pragma GCC unroll 6
    for (int j = 0; j < n; ++j) d[i][j] = load_n(from + (n * i + j) * apart, lanes);
}

int64_t padded(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// u = the filters of output i, channels j and on, up to kLanes of them; turned: by half a turn.
template <class F>
PLUMAGE_INLINE void transform_filter(const float* w, int64_t c, int64_t i, int64_t j, int64_t lanes, bool turned, Transformed<F>& u) {
  Filter g;
  for (int tap = 0; tap < 9; ++tap) {
    int to = turned ? 8 - tap : tap;
    g[to / 3][to % 3] = load_n(w + (i * 9 + tap) * c + j, lanes);
  }
  both<3, F::kIn>(F::filter, g, u);
}

// The filters [K,3,3,C], transformed, as panels of b: for the forward pass [C, K]; turned round, for the gradient of
// the images, [K, C]. A thread makes a piece of a panel, kChunk deep, in all points.
template <class F>
const float* filter_panels(Context& context, const float* w, int64_t k, int64_t c, bool turned) {
  int64_t depth = turned ? k : c, columns = turned ? c : k, matrix = padded(columns, kPanelColumns) * depth;
  int64_t chunks = (depth + kChunk - 1) / kChunk, each = kPoints<F> * kPanelColumns * kChunk;
  auto* panels = static_cast<float*>(context.scratch(kPoints<F> * matrix * 4, kPanelSlot));
  auto* buffers = static_cast<float*>(context.scratch(context.threads() * each * 4, kThreadSlot));
  parallel_rows(context, (columns + kPanelColumns - 1) / kPanelColumns * chunks, 9 * kPanelColumns * kChunk, [&](int64_t begin, int64_t end) {
    float* plain = buffers + omp_get_thread_num() * each;  // [point][column][depth]
    for (int64_t item = begin; item < end; ++item) {
      int64_t column = item / chunks * kPanelColumns, first = item % chunks * kChunk, last = std::min(depth, first + kChunk);
      int64_t wide = std::min(kPanelColumns, columns - column);
      float* panel = panels + column * depth + first * kPanelColumns;
      Transformed<F> u;
      if (turned) {  // the lanes are columns
        for (int64_t i = first; i < last; ++i, panel += kPanelColumns)
          for (int64_t j = 0; j < kPanelColumns; j += kLanes) {
            transform_filter<F>(w, c, i, column + j, std::max<int64_t>(wide - j, 0), true, u);
            store_points(u, panel + j, matrix, kLanes);
          }
        continue;
      }
      for (int64_t i = 0; i < wide; ++i)
        for_vectors(first, last, [&](int64_t j, int64_t lanes) {
          transform_filter<F>(w, c, column + i, j, lanes, false, u);
          store_points(u, plain + i * kChunk + j - first, kPanelColumns * kChunk, lanes);
        });
      for (int64_t p = 0; p < kPoints<F>; ++p)
        pack_panels(wide, last - first, plain + p * kPanelColumns * kChunk, kChunk, 1, kPanelColumns, panel + p * matrix);
    }
  });
  return panels;
}

// y = the correlation of x with filters that have become `panels`
template <class F>
void correlate(Context& context, const float* x, const Shape& x_shape, const float* panels, float* y, const Shape& y_shape, int64_t pad,
               const Epilogue* epilogue = nullptr) {
  Tiles<F::kOut> in(x_shape, y_shape[1], y_shape[2]), out(y_shape, y_shape[1], y_shape[2]);
  int64_t c = in.channels, k = out.channels, matrix = padded(k, kPanelColumns) * c;
  // A block of tiles, its transforms and its results stay in the second cache. Rows are a line longer than the
  // channels, lest those of a product fall on each other in the first.
  int64_t block = std::clamp<int64_t>(kBlockFloats / kPoints<F> / std::max(c, k) / kPanelRows, 1, 8) * kPanelRows;
  int64_t c_row = padded(c, 16) + 16, k_row = padded(k, 16) + 16, each = kPoints<F> * block * (c_row + k_row);
  auto* buffers = static_cast<float*>(context.scratch(context.threads() * each * 4, kThreadSlot));
  parallel(context, (in.count + block - 1) / block, 1, [&](int64_t first, int64_t last) {
    float *points = buffers + omp_get_thread_num() * each, *products = points + kPoints<F> * block * c_row;
    for (int64_t b = first; b < last; ++b) {
      int64_t begin = b * block, tiles = std::min(block, in.count - begin);
      for (int64_t t = 0; t < tiles; ++t)
        in.template read<F::kIn>(x, begin + t, pad, [&](int64_t i, int64_t lanes, const Transformed<F>& d) {
          Transformed<F> u;
          both<F::kIn, F::kIn>(F::input, d, u);
          store_points(u, points + t * c_row + i, block * c_row, lanes);
        });
      for (int64_t p = 0; p < kPoints<F>; ++p)
        for (int64_t j = 0; j < k; j += kPanelColumns)
          for (int64_t l = 0; l < c; l += kDepth)
            for (int64_t i = 0; i < tiles; i += kPanelRows)
              multiply_rows(std::min(kDepth, c - l), points + (p * block + i) * c_row + l, c_row,
                            panels + p * matrix + j * c + l * kPanelColumns, products + (p * block + i) * k_row + j, k_row,
                            std::min(kPanelRows, tiles - i), std::min(kPanelColumns, k - j), l > 0);
      for (int64_t t = 0; t < tiles; ++t)
        out.write(y, begin + t, epilogue, [&](int64_t i, int64_t lanes, Pixels<F>& d) {
          Transformed<F> m;
          load_points(m, products + t * k_row + i, block * k_row, lanes);
          both<F::kIn, F::kOut>(F::output, m, d);
        });
    }
  });
}

// Transformed tiles as the depth of a product: [point][channels in panels of `unit`][tile][unit].
struct DeepPanels {
  float* data;
  int64_t channels, unit;
  // Three lines more than the panels, lest the points of a tile fall on each other in the first cache.
  int64_t matrix() const { return padded(channels, unit) * kBatch + 48; }
  float* at(int64_t point, int64_t tile, int64_t channel) const {
    return data + point * matrix() + channel / unit * unit * kBatch + tile * unit + channel % unit;
  }
  /// unit is a multiple of kLanes, so that a vector of channels lies in one panel; lanes beyond the last are padding.
  template <int n>
  PLUMAGE_INLINE void put(const V (&d)[n][n], int64_t tile, int64_t channel) const {
    float* to = at(0, tile, channel);
#pragma GCC unroll 6
    for (int i = 0; i < n; ++i)
#pragma GCC unroll 6
      for (int j = 0; j < n; ++j) store(to + (n * i + j) * matrix(), d[i][j]);
  }
};

// Tiles are the depth of the products [K, tiles] x [tiles, C]. Batches of tiles follow each other, so the order of the
// sum is fixed; within one the threads share first the transforms, then the products.
template <class F>
void filter_gradient(Context& context, In x, In dy, Out dw, int64_t pad) {
  Tiles<F::kOut> in(x.shape, dy.shape[1], dy.shape[2]), out(dy.shape, dy.shape[1], dy.shape[2]);
  const int64_t c = in.channels, k = out.channels;
  DeepPanels a{nullptr, k, 4 * kPanelRows}, b{nullptr, c, kPanelColumns};
  a.data = static_cast<float*>(context.scratch(kPoints<F> * (a.matrix() + b.matrix()) * 4, kPanelSlot));
  b.data = a.data + kPoints<F> * a.matrix();
  auto* sums = static_cast<float*>(context.scratch(kPoints<F> * k * c * 4, kSumSlot));  // [point][K][C]
  for (int64_t begin = 0; begin < in.count; begin += kBatch) {
    int64_t tiles = std::min(kBatch, in.count - begin), columns = (c + kPanelColumns - 1) / kPanelColumns;
    parallel(context, tiles, 8, [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t) {
        Transformed<F> u;
        in.template read<F::kIn>(x.as<float>(), begin + t, pad, [&](int64_t i, int64_t, const Transformed<F>& d) {
          both<F::kIn, F::kIn>(F::input, d, u);
          b.put(u, t, i);
        });
        out.template read<F::kOut>(dy.as<float>(), begin + t, 0, [&](int64_t i, int64_t, const Pixels<F>& d) {
          both<F::kOut, F::kIn>(F::output_gradient, d, u);
          a.put(u, t, i);
        });
      }
    });
    parallel(context, kPoints<F> * columns, 1, [&](int64_t first, int64_t last) {
      for (int64_t item = first; item < last; ++item) {
        int64_t p = item / columns, j = item % columns * kPanelColumns;
        for (int64_t i = 0; i < k; i += kPanelRows)
          multiply_panels(tiles, a.at(p, 0, i), a.unit, b.at(p, 0, j), sums + (p * k + i) * c + j, c, std::min(kPanelRows, k - i),
                          std::min(kPanelColumns, c - j), begin > 0);
      }
    });
  }
  parallel_rows(context, k, 9 * c, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i)
      for_vectors(0, c, [&](int64_t j, int64_t lanes) {
        Transformed<F> u;
        Filter g;
        load_points(u, sums + i * c + j, k * c, lanes);
        both<F::kIn, 3>(F::filter_gradient, u, g);
        for (int tap = 0; tap < 9; ++tap) store_n(dw.as<float>() + (i * 9 + tap) * c + j, g[tap / 3][tap % 3], lanes);
      });
  });
}

// f(F2{}) or f(F4{}): the one with fewer products for the map y, unless so few tiles share the transforms of the filters
// that these decide.
template <class F>
void with_tiles(const Shape& y, int64_t filters, F&& f) {
  bool smaller = y[1] >= 7 && y[2] >= 7, shared = 256 * Tiles<4>(y, y[1], y[2]).count >= filters;
  if (smaller && shared) f(F4{});
  else f(F2{});
}

}  // namespace

bool fits(const Shape& w, const Shape& y, const Window& window, DType type) {
  return type == DType::f32 && w[1] == 3 && w[2] == 3 && window.stride == 1 && window.pad <= 2 && w[0] >= 32 && w[3] >= 32 &&
         y[1] >= 5 && y[2] >= 5 && w[0] * w[3] <= 512 * 256;  // larger filters, transformed, leave the caches
}

void conv2d(Context& context, In x, In w, Out y, Window window, const Epilogue* epilogue) {
  with_tiles(y.shape, w.shape[0] * w.shape[3], [&](auto f) {
    const float* panels = filter_panels<decltype(f)>(context, w.as<float>(), w.shape[0], w.shape[3], false);
    correlate<decltype(f)>(context, x.as<float>(), x.shape, panels, y.as<float>(), y.shape, window.pad, epilogue);
  });
}

void conv2d_dx(Context& context, In dy, In w, Out dx, Window window) {
  with_tiles(dx.shape, w.shape[0] * w.shape[3], [&](auto f) {
    const float* panels = filter_panels<decltype(f)>(context, w.as<float>(), w.shape[0], w.shape[3], true);
    correlate<decltype(f)>(context, dy.as<float>(), dy.shape, panels, dx.as<float>(), dx.shape, 2 - window.pad);
  });
}

void conv2d_dw(Context& context, In x, In dy, Out dw, Window window) {
  with_tiles(dy.shape, 0, [&](auto f) { filter_gradient<decltype(f)>(context, x, dy, dw, window.pad); });
}

}  // namespace plumage::cpu::winograd
