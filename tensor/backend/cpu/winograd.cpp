// Convolution with 3x3 filters, stride 1, by Winograd's algorithms (tensor/backend/cpu/winograd_transforms.h). Output tiles
// of m x m pixels and their n x n inputs become n^2 matrix products [tiles, C] x [C, K], one for each point.
//   y = A' [(G g G') . (B' d B)] A      Next: winograd_dw.cpp.
#include "tensor/backend/cpu/winograd_tiles.h"

namespace plumage::cpu::winograd {
namespace {

constexpr int kThreadSlot = 0, kPanelSlot = 1;
constexpr int64_t kDepth = 256;  // a panel of b this deep stays in the first cache
constexpr int64_t kBlockFloats = 180000;  // transforms of a block of tiles: with their products they stay in the second cache
constexpr int64_t kPanelFloats = int64_t{1} << 20;  // transformed filters beyond this leave the second cache
constexpr int64_t kBatchFloats = int64_t{1} << 22;  // transforms of the tiles that share such filters

template <class F> int64_t panel_floats(int64_t depth, int64_t columns) { return kPoints<F> * padded(columns, kPanelColumns) * depth; }

// The filters [K,3,3,C], transformed, as panels of b: for the forward pass [C, K], from filters laid out [3,3,C,K] first;
// turned by half a turn, for the gradient of the images, [K, C].
template <class F>
void make_panels(Context& context, const float* w, int64_t k, int64_t c, bool turned, float* panels) {
  int64_t depth = turned ? k : c, columns = turned ? c : k, wide = padded(columns, kPanelColumns), matrix = wide * depth;
  int64_t of_tap = c, of_depth = 9 * c, known = c;  // steps from tap to tap and from depth to depth; columns in memory
  if (!turned) {
    auto* laid_out = static_cast<float*>(context.scratch(9 * matrix * 4, kThreadSlot));
    parallel_rows(context, 9, matrix, [&](int64_t begin, int64_t end) {
      for (int64_t tap = begin; tap < end; ++tap) pack_panels(k, c, w + tap * c, 9 * c, 1, wide, laid_out + tap * matrix);
    });
    w = laid_out, of_tap = matrix, of_depth = wide, known = wide;
  }
  parallel_rows(context, wide / kPanelColumns * depth, 9 * kPanelColumns, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t j = 0; j < kPanelColumns; j += kLanes) {
        int64_t column = row / depth * kPanelColumns + j, lanes = std::max<int64_t>(known - column, 0);
        Filter g;
        Transformed<F> u;
        for (int tap = 0; tap < 9; ++tap) {
          int to = turned ? 8 - tap : tap;
          g[to / 3][to % 3] = load_n(w + tap * of_tap + row % depth * of_depth + column, lanes);
        }
        both<3, F::kIn>(F::filter, g, u);
        store_points(u, panels + row * kPanelColumns + j, matrix, kLanes);
      }
  });
}

// y = the correlation of x with filters that have become `panels`, a block of tiles at a time.
template <class F>
class Correlation {
 public:
  Correlation(const float* x, const Shape& x_shape, const float* panels, float* y, const Shape& y_shape, int64_t pad, const Epilogue* epilogue)
      : in_(x_shape, y_shape[1], y_shape[2]), out_(y_shape, y_shape[1], y_shape[2]), x_(x), panels_(panels), y_(y), pad_(pad),
        epilogue_(epilogue), c_(in_.channels), k_(out_.channels), matrix_(padded(k_, kPanelColumns) * c_),
        streams_(streams(y, y_shape.count(), k_) && !(epilogue && epilogue->residual.data == y)) {}

  void run(Context& context) const {
    if (kPoints<F> * matrix_ > kPanelFloats) by_points(context);
    else by_tiles(context);
  }

 private:
  // Transforms and products of a block: [point][tile][channel]. Rows are a line longer than the channels, lest those of a
  // product fall on each other in the first cache.
  struct Block {
    int64_t capacity, c_row, k_row;
    float *points = nullptr, *products = nullptr;
    Block(int64_t capacity, int64_t c, int64_t k) : capacity(capacity), c_row(padded(c, 16) + 16), k_row(padded(k, 16) + 16) {}
    int64_t floats() const { return kPoints<F> * capacity * (c_row + k_row); }
    Block in(float* buffer) const {
      Block b = *this;
      b.points = buffer, b.products = buffer + kPoints<F> * capacity * c_row;
      return b;
    }
  };

  int64_t rows_of(int64_t floats) const { return floats / kPoints<F> / std::max(c_, k_) / kPanelRows * kPanelRows; }

  // Small filters, which stay in the second cache: each thread takes a block of tiles from pixels to pixels, so that its
  // transforms and products stay there too.
  void by_tiles(Context& context) const {
    int64_t share = padded((in_.count + context.threads() - 1) / context.threads(), kPanelRows);  // so that every thread has a block
    Block shape(std::min(share, std::clamp(rows_of(kBlockFloats), kPanelRows, 8 * kPanelRows)), c_, k_);
    auto* buffers = static_cast<float*>(context.scratch(context.threads() * shape.floats() * 4, kThreadSlot));
    parallel(context, (in_.count + shape.capacity - 1) / shape.capacity, 1, [&](int64_t first, int64_t last) {
      Block block = shape.in(buffers + omp_get_thread_num() * shape.floats());
      for (int64_t b = first; b < last; ++b) {
        int64_t begin = b * block.capacity, tiles = std::min(block.capacity, in_.count - begin);
        transform_inputs(block, begin, 0, tiles);
        multiply(block, tiles, 0, kPoints<F> * columns(), begin + tiles);
        transform_outputs(block, begin, 0, tiles);
      }
    });
  }

  // Large filters, which are read once for many tiles: the threads share the tiles, then the points, then the tiles.
  void by_points(Context& context) const {
    Block shape(std::clamp(rows_of(kBatchFloats), kPanelRows, padded(in_.count, kPanelRows)), c_, k_);
    Block block = shape.in(static_cast<float*>(context.scratch(shape.floats() * 4, kThreadSlot)));
    for (int64_t begin = 0; begin < in_.count; begin += block.capacity) {
      int64_t tiles = std::min(block.capacity, in_.count - begin);
      parallel(context, tiles, 1, [&](int64_t first, int64_t last) { transform_inputs(block, begin, first, last); });
      parallel(context, kPoints<F> * columns(), 1, [&](int64_t first, int64_t last) { multiply(block, tiles, first, last, in_.count); });
      parallel(context, tiles, 1, [&](int64_t first, int64_t last) { transform_outputs(block, begin, first, last); });
    }
  }

  int64_t columns() const { return (k_ + kPanelColumns - 1) / kPanelColumns; }

  // B' d B of tiles first..last of the block that starts at tile `begin`.
  void transform_inputs(const Block& block, int64_t begin, int64_t first, int64_t last) const {
    for (int64_t t = first; t < last; ++t)
      in_.template read<F::kIn>(x_, begin + t, pad_, [&](int64_t i, int64_t lanes, const Transformed<F>& d) {
        Transformed<F> u;
        both<F::kIn, F::kIn>(F::input, d, u);
        store_points(u, block.points + t * block.c_row + i, block.capacity * block.c_row, lanes);
      });
  }

  // The panels of filters first..last, all points' counted through; meanwhile the images of tiles `next`.. are brought in.
  void multiply(const Block& block, int64_t tiles, int64_t first, int64_t last, int64_t next) const {
    const int64_t pieces = (c_ + kDepth - 1) / kDepth, calls = (last - first) * pieces * ((tiles + kPanelRows - 1) / kPanelRows);
    const auto [from, bytes] = in_.rows_of(x_, next, std::min(next + tiles, in_.count));
    int64_t call = 0;
    for (int64_t item = first; item < last; ++item) {
      int64_t p = item / columns(), j = item % columns() * kPanelColumns;
      for (int64_t l = 0; l < c_; l += kDepth)
        for (int64_t i = 0; i < tiles; i += kPanelRows, ++call) {
          int64_t deep = std::min(kDepth, c_ - l);
          multiply_rows(deep, block.points + (p * block.capacity + i) * block.c_row + l, block.c_row,
                        panels_ + p * matrix_ + j * c_ + l * kPanelColumns, block.products + (p * block.capacity + i) * block.k_row + j,
                        block.k_row, std::min(kPanelRows, tiles - i), std::min(kPanelColumns, k_ - j), l > 0,
                        Ahead::share(from, bytes, call, calls, deep));
        }
    }
  }

  // A' m A of tiles first..last.
  void transform_outputs(const Block& block, int64_t begin, int64_t first, int64_t last) const {
    for (int64_t t = first; t < last; ++t)
      out_.write(y_, begin + t, epilogue_, streams_, [&](int64_t i, int64_t lanes, Pixels<F>& d) {
        Transformed<F> m;
        load_points(m, block.products + t * block.k_row + i, block.capacity * block.k_row, lanes);
        both<F::kIn, F::kOut>(F::output, m, d);
      });
    if (streams_) stream_end();
  }

  Tiles<F::kOut> in_, out_;
  const float *x_, *panels_;
  float* y_;
  int64_t pad_;
  const Epilogue* epilogue_;
  int64_t c_, k_, matrix_;
  bool streams_;
};

}  // namespace

bool fits(const Shape& w, const Shape& y, const Window& window, DType type) {
  return type == DType::f32 && w[1] == 3 && w[2] == 3 && window.stride == 1 && window.pad <= 2 && w[0] >= 32 && w[3] >= 32 &&
         y[1] >= 4 && y[2] >= 4 && w[0] * w[3] <= 8192 * Tiles<4>(y, y[1], y[2]).count;  // few tiles: the filters' transforms cost more
}

void conv2d(Context& context, In x, In w, Out y, Window window, const Epilogue* epilogue, FilterOrder* order) {
  with_tiles(y.shape, [&](auto f) {
    using F = decltype(f);
    static const char maker = 0;
    const int64_t k = w.shape[0], c = w.shape[3];
    const void* panels = ordered_filters(context, order, &maker, w.data, panel_floats<F>(c, k) * 4, kPanelSlot, [&](void* to) {
      make_panels<F>(context, w.as<float>(), k, c, false, static_cast<float*>(to));
    });
    Correlation<F>(x.as<float>(), x.shape, static_cast<const float*>(panels), y.as<float>(), y.shape, window.pad, epilogue).run(context);
  });
}

void conv2d_dx(Context& context, In dy, In w, In onto, Out dx, Window window) {
  Epilogue epilogue{{}, onto, false};
  with_tiles(dx.shape, [&](auto f) {
    using F = decltype(f);
    const int64_t k = w.shape[0], c = w.shape[3];
    auto* panels = static_cast<float*>(context.scratch(panel_floats<F>(k, c) * 4, kPanelSlot));
    make_panels<F>(context, w.as<float>(), k, c, true, panels);
    Correlation<F>(dy.as<float>(), dy.shape, panels, dx.as<float>(), dx.shape, 2 - window.pad, onto ? &epilogue : nullptr).run(context);
  });
}

}  // namespace plumage::cpu::winograd
