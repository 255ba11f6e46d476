// Convolution with 3x3 filters, stride 1, by Winograd's F(2x2, 3x3) (Lavin and Gray 2016): 16 products for 4 outputs
// where the direct way needs 36. Output tiles of 2x2 pixels become, with their 4x4 inputs, 16 matrix products
// [tiles, C] x [C, K]. All factors are 0, 1 and 1/2, so the rounding error stays near that of the direct way (which is
// why the faster F(4x4, 3x3) is not used).
//   y = A' [(G g G') . (B' d B)] A      dw = G' [sum of (A dy A') . (B' x B)] G
#include "tensor/backend/cpu/conv.h"
#include "tensor/backend/cpu/gemm.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu::winograd {
namespace {

constexpr int kThreadSlot = 0, kFilterSlot = 1, kPanelSlot = 2, kSumSlot = 3;
constexpr int64_t kPoints = 16;   // elements of a transformed tile
constexpr int64_t kDepth = 256;   // a panel of b this deep stays in the first cache
constexpr int64_t kBatch = 240;   // tiles that the gradient of the filters takes at a time

PLUMAGE_INLINE void transform_input(V (&d)[4][4]) {  // B' d B
  for (int j = 0; j < 4; ++j) {
    V a = d[0][j], b = d[1][j], c = d[2][j];
    d[0][j] = a - c;
    d[1][j] = b + c;
    d[2][j] = c - b;
    d[3][j] = b - d[3][j];
  }
  for (int i = 0; i < 4; ++i) {
    V a = d[i][0], b = d[i][1], c = d[i][2];
    d[i][0] = a - c;
    d[i][1] = b + c;
    d[i][2] = c - b;
    d[i][3] = b - d[i][3];
  }
}

PLUMAGE_INLINE void transform_output(const V (&m)[4][4], V (&y)[2][2]) {  // A' m A
  V t[2][4];
  for (int j = 0; j < 4; ++j) {
    t[0][j] = m[0][j] + m[1][j] + m[2][j];
    t[1][j] = m[1][j] - m[2][j] - m[3][j];
  }
  for (int i = 0; i < 2; ++i) {
    y[i][0] = t[i][0] + t[i][1] + t[i][2];
    y[i][1] = t[i][1] - t[i][2] - t[i][3];
  }
}

PLUMAGE_INLINE void transform_output_gradient(const V (&y)[2][2], V (&m)[4][4]) {  // A y A'
  V t[4][2];
  for (int j = 0; j < 2; ++j) {
    t[0][j] = y[0][j];
    t[1][j] = y[0][j] + y[1][j];
    t[2][j] = y[0][j] - y[1][j];
    t[3][j] = -y[1][j];
  }
  for (int i = 0; i < 4; ++i) {
    m[i][0] = t[i][0];
    m[i][1] = t[i][0] + t[i][1];
    m[i][2] = t[i][0] - t[i][1];
    m[i][3] = -t[i][1];
  }
}

PLUMAGE_INLINE void transform_filter(const V (&g)[3][3], V (&u)[4][4]) {  // G g G'
  V t[4][3];
  for (int j = 0; j < 3; ++j) {
    V even = 0.5f * (g[0][j] + g[2][j]), odd = 0.5f * g[1][j];
    t[0][j] = g[0][j];
    t[1][j] = even + odd;
    t[2][j] = even - odd;
    t[3][j] = g[2][j];
  }
  for (int i = 0; i < 4; ++i) {
    V even = 0.5f * (t[i][0] + t[i][2]), odd = 0.5f * t[i][1];
    u[i][0] = t[i][0];
    u[i][1] = even + odd;
    u[i][2] = even - odd;
    u[i][3] = t[i][2];
  }
}

PLUMAGE_INLINE void transform_filter_gradient(const V (&u)[4][4], V (&g)[3][3]) {  // G' u G
  V t[3][4];
  for (int j = 0; j < 4; ++j) {
    V even = 0.5f * (u[1][j] + u[2][j]), odd = 0.5f * (u[1][j] - u[2][j]);
    t[0][j] = u[0][j] + even;
    t[1][j] = odd;
    t[2][j] = even + u[3][j];
  }
  for (int i = 0; i < 3; ++i) {
    V even = 0.5f * (t[i][1] + t[i][2]), odd = 0.5f * (t[i][1] - t[i][2]);
    g[i][0] = t[i][0] + even;
    g[i][1] = odd;
    g[i][2] = even + t[i][3];
  }
}

// An image batch [N,H,W,C] seen in tiles, those of an output of `rows` x `columns` pixels.
struct Tiles {
  int64_t height, width, channels, down, across, count;
  Tiles(const Shape& image, int64_t rows, int64_t columns)
      : height(image[1]), width(image[2]), channels(image[3]), down((rows + 1) / 2), across((columns + 1) / 2),
        count(image[0] * down * across) {}

  /// f(c, lanes, d) for all channels: d are the size x size pixels at (2 i - pad, 2 j - pad), zeros outside the image.
  template <int size, class F>
  PLUMAGE_INLINE void read(const float* x, int64_t tile, int64_t pad, F&& f) const {
    int64_t top = tile / across % down * 2 - pad, left = tile % across * 2 - pad;
    const float* corner = x + ((tile / (down * across) * height + top) * width + left) * channels;
    bool whole = top >= 0 && left >= 0 && top + size <= height && left + size <= width;
    for_vectors(0, channels, [&](int64_t c, int64_t lanes) {
      V d[size][size];
#pragma GCC unroll 4
      for (int i = 0; i < size; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < size; ++j) {
          bool inside = whole || (top + i >= 0 && top + i < height && left + j >= 0 && left + j < width);
          d[i][j] = inside ? load_n(corner + (i * width + j) * channels + c, lanes) : V{};
        }
      f(c, lanes, d);
    });
  }
  /// Writes the 2x2 pixels of a tile, f(c, lanes, d) giving them.
  template <class F>
  PLUMAGE_INLINE void write(float* y, int64_t tile, const Epilogue* epilogue, F&& f) const {
    int64_t top = tile / across % down * 2, left = tile % across * 2;
    int64_t place = ((tile / (down * across) * height + top) * width + left) * channels;
    float* corner = y + place;
    const float* residual = epilogue && epilogue->residual ? epilogue->residual.as<float>() + place : nullptr;
    int64_t rows = std::min<int64_t>(2, height - top), columns = std::min<int64_t>(2, width - left);
    for_vectors(0, channels, [&](int64_t c, int64_t lanes) {
      V d[2][2];
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

// to[point][row][channels] of 4x4 vectors
PLUMAGE_INLINE void store_points(const V (&d)[4][4], float* to, int64_t apart, int64_t lanes) {
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) store_n(to + (4 * i + j) * apart, d[i][j], lanes);
}
PLUMAGE_INLINE void load_points(V (&d)[4][4], const float* from, int64_t apart, int64_t lanes) {
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) d[i][j] = load_n(from + (4 * i + j) * apart, lanes);
}

int64_t padded(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// The filters [K,3,3,C], transformed, as panels of b: for the forward pass [C, K]; turned round, for the gradient of
// the images, [K, C].
const float* filter_panels(Context& context, const float* w, int64_t k, int64_t c, bool turned) {
  auto* plain = static_cast<float*>(context.scratch(kPoints * k * c * 4, kFilterSlot));
  int64_t depth = turned ? k : c, columns = turned ? c : k, matrix = padded(columns, kPanelColumns) * depth;
  auto* panels = static_cast<float*>(context.scratch(kPoints * matrix * 4, kPanelSlot));
  parallel_rows(context, k, 9 * c, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for_vectors(0, c, [&](int64_t j, int64_t lanes) {
        V g[3][3], u[4][4];
        for (int tap = 0; tap < 9; ++tap) {
          int to = turned ? 8 - tap : tap;
          g[to / 3][to % 3] = load_n(w + (i * 9 + tap) * c + j, lanes);
        }
        transform_filter(g, u);
        store_points(u, plain + i * c + j, k * c, lanes);
      });
  });
  parallel_rows(context, kPoints, k * c, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p)
      pack_panels(columns, depth, plain + p * k * c, turned ? 1 : c, turned ? c : 1, kPanelColumns, panels + p * matrix);
  });
  return panels;
}

// y = the correlation of x with filters that have become `panels`
void correlate(Context& context, const float* x, const Shape& x_shape, const float* panels, float* y, const Shape& y_shape, int64_t pad,
               const Epilogue* epilogue = nullptr) {
  Tiles in(x_shape, y_shape[1], y_shape[2]), out(y_shape, y_shape[1], y_shape[2]);
  int64_t c = in.channels, k = out.channels, matrix = padded(k, kPanelColumns) * c;
  // A block of tiles, its transforms and its results stay in the second cache. Rows are a line longer than the
  // channels, lest those of a product fall on each other in the first.
  int64_t block = std::clamp<int64_t>(8192 / std::max(c, k) / kPanelRows, 1, 8) * kPanelRows;
  int64_t c_row = padded(c, 16) + 16, k_row = padded(k, 16) + 16, each = kPoints * block * (c_row + k_row);
  auto* buffers = static_cast<float*>(context.scratch(context.threads() * each * 4, kThreadSlot));
  parallel(context, (in.count + block - 1) / block, 1, [&](int64_t first, int64_t last) {
    float *points = buffers + omp_get_thread_num() * each, *products = points + kPoints * block * c_row;
    for (int64_t b = first; b < last; ++b) {
      int64_t begin = b * block, tiles = std::min(block, in.count - begin);
      for (int64_t t = 0; t < tiles; ++t)
        in.read<4>(x, begin + t, pad, [&](int64_t i, int64_t lanes, V(&d)[4][4]) {
          transform_input(d);
          store_points(d, points + t * c_row + i, block * c_row, lanes);
        });
      for (int64_t p = 0; p < kPoints; ++p)
        for (int64_t j = 0; j < k; j += kPanelColumns)
          for (int64_t l = 0; l < c; l += kDepth)
            for (int64_t i = 0; i < tiles; i += kPanelRows)
              multiply_rows(std::min(kDepth, c - l), points + (p * block + i) * c_row + l, c_row,
                            panels + p * matrix + j * c + l * kPanelColumns, products + (p * block + i) * k_row + j, k_row,
                            std::min(kPanelRows, tiles - i), std::min(kPanelColumns, k - j), l > 0);
      for (int64_t t = 0; t < tiles; ++t)
        out.write(y, begin + t, epilogue, [&](int64_t i, int64_t lanes, V(&d)[2][2]) {
          V m[4][4];
          load_points(m, products + t * k_row + i, block * k_row, lanes);
          transform_output(m, d);
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
  PLUMAGE_INLINE void put(const V (&d)[4][4], int64_t tile, int64_t channel) const {
    float* to = at(0, tile, channel);
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j) store(to + (4 * i + j) * matrix(), d[i][j]);
  }
};

}  // namespace

bool fits(const Shape& w, const Shape& y, const Window& window, DType type) {
  return type == DType::f32 && w[1] == 3 && w[2] == 3 && window.stride == 1 && window.pad <= 2 && w[0] >= 32 && w[3] >= 32 &&
         y[1] >= 5 && y[2] >= 5 && w[0] * w[3] <= 512 * 256;  // larger filters, transformed, leave the caches
}

void conv2d(Context& context, In x, In w, Out y, Window window, const Epilogue* epilogue) {
  const float* panels = filter_panels(context, w.as<float>(), w.shape[0], w.shape[3], false);
  correlate(context, x.as<float>(), x.shape, panels, y.as<float>(), y.shape, window.pad, epilogue);
}

void conv2d_dx(Context& context, In dy, In w, Out dx, Window window) {
  const float* panels = filter_panels(context, w.as<float>(), w.shape[0], w.shape[3], true);
  correlate(context, dy.as<float>(), dy.shape, panels, dx.as<float>(), dx.shape, 2 - window.pad);
}

// Tiles are the depth of 16 products [K, tiles] x [tiles, C]. Batches of tiles follow each other, so the order of the
// sum is fixed; within one the threads share first the transforms, then the products.
void conv2d_dw(Context& context, In x, In dy, Out dw, Window window) {
  Tiles in(x.shape, dy.shape[1], dy.shape[2]), out(dy.shape, dy.shape[1], dy.shape[2]);
  const int64_t c = in.channels, k = out.channels;
  DeepPanels a{nullptr, k, 4 * kPanelRows}, b{nullptr, c, kPanelColumns};
  a.data = static_cast<float*>(context.scratch(kPoints * (a.matrix() + b.matrix()) * 4, kPanelSlot));
  b.data = a.data + kPoints * a.matrix();
  auto* sums = static_cast<float*>(context.scratch(kPoints * k * c * 4, kSumSlot));  // [point][K][C]
  for (int64_t begin = 0; begin < in.count; begin += kBatch) {
    int64_t tiles = std::min(kBatch, in.count - begin), columns = (c + kPanelColumns - 1) / kPanelColumns;
    parallel(context, tiles, 8, [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t) {
        in.read<4>(x.as<float>(), begin + t, window.pad, [&](int64_t i, int64_t, V(&d)[4][4]) {
          transform_input(d);
          b.put(d, t, i);
        });
        out.read<2>(dy.as<float>(), begin + t, 0, [&](int64_t i, int64_t, V(&d)[2][2]) {
          V m[4][4];
          transform_output_gradient(d, m);
          a.put(m, t, i);
        });
      }
    });
    parallel(context, kPoints * columns, 1, [&](int64_t first, int64_t last) {
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
        V u[4][4], g[3][3];
        load_points(u, sums + i * c + j, k * c, lanes);
        transform_filter_gradient(u, g);
        for (int tap = 0; tap < 9; ++tap) store_n(dw.as<float>() + (i * 9 + tap) * c + j, g[tap / 3][tap % 3], lanes);
      });
  });
}

}  // namespace plumage::cpu::winograd
