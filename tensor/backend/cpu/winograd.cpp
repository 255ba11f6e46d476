// Convolution with 3x3 filters, stride 1 or 2 or of a map seen doubled, by Winograd's algorithms (winograd_transforms.h). Output
// tiles of m x m pixels and their n x n inputs become n^2 matrix products [tiles, C] x [C, K], one for each point.
//   y = A' [(G g G') . (B' d B)] A      Next: winograd_dw.cpp.
#include "tensor/backend/cpu/winograd_tiles.h"

namespace plumage::cpu::winograd {
namespace {

constexpr int kThreadSlot = 0, kPanelSlot = 1, kPointSlot = 2, kSumSlot = 4;  // 3: phases.cpp
constexpr int64_t kDepth = 256;  // a panel of b this deep stays in the first cache
constexpr int64_t kPiece = 32;   // depths of filters that are transformed at a time
constexpr int64_t kMostTiles = 8 * kPanelRows, kColumnTiles = 6 * kPanelRows;  // at a time, of all columns or of a panel's
constexpr int64_t kBlockFloats = 180000;  // transforms of a block of tiles: with their products they stay in the second cache
constexpr int64_t kPanelFloats = int64_t{1} << 20;  // transformed filters beyond this leave the second cache
constexpr int64_t kBatchFloats = int64_t{1} << 22;  // transforms of the tiles that share such filters

// Filters [K,R,R,C], which become panels of b: for the forward pass of [C, K]; turned by half a turn, for the gradient of the
// images, of [K, C].
struct Filters {
  const float* w;
  int64_t k, c;
  bool turned;
  int64_t depth() const { return turned ? k : c; }
  int64_t columns() const { return turned ? c : k; }
  int64_t panels() const { return ceil_div(columns(), kPanelColumns); }
};

template <class F> int64_t panel_floats(int64_t depth) { return kPoints<F> * kPanelColumns * depth; }

// Panel j, transformed, at depths first..last of [point][depth][kPanelColumns].
template <class F>
PLUMAGE_ONE_COPY void make_panel(const Filters& from, int64_t j, int64_t first, int64_t last, float* panel) {
  constexpr int kTaps = F::kTaps * F::kTaps;
  alignas(64) float laid_out[kTaps * kPiece * kPanelColumns];
  const int64_t column = j * kPanelColumns, known = from.columns() - column;
  for (int64_t begin = first; begin < last; begin += kPiece) {
    const int64_t depth = std::min(kPiece, last - begin);
    if (!from.turned)
      for (int64_t tap = 0; tap < kTaps; ++tap)
        pack_panels(std::min(known, kPanelColumns), depth, from.w + (column * kTaps + tap) * from.c + begin, kTaps * from.c, 1, kPanelColumns,
                    laid_out + tap * kPiece * kPanelColumns);
    for (int64_t l = 0; l < depth; ++l)
      for (int64_t i = 0; i < kPanelColumns; i += kLanes) {
        both<F::kTaps, F::kIn>(
            F::filter,
            [&](int r, int s) {
              const int tap = r * F::kTaps + s;
              return from.turned ? load_n(from.w + ((begin + l) * kTaps + kTaps - 1 - tap) * from.c + column + i, std::max<int64_t>(known - i, 0))
                                 : load(laid_out + (tap * kPiece + l) * kPanelColumns + i);
            },
            [&](int r, int s, V u) { store(panel + ((r * F::kIn + s) * from.depth() + begin + l) * kPanelColumns + i, u); });
      }
  }
}

// All of them.
template <class F>
void make_panels(Context& context, const Filters& from, float* panels) {
  const int64_t pieces = (from.depth() + kPiece - 1) / kPiece;
  parallel_rows(context, from.panels() * pieces, kPoints<F> * kPanelColumns * kPiece, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      int64_t begin = i % pieces * kPiece;
      make_panel<F>(from, i / pieces, begin, std::min(begin + kPiece, from.depth()), panels + i / pieces * panel_floats<F>(from.depth()));
    }
  });
}

// y = the correlation of x with the filters; channels of x beyond theirs are padding.
template <class F>
class Correlation {
 public:
  Correlation(const float* x, const Shape& x_shape, const Filters& filters, float* y, const Shape& y_shape, int64_t pad,
              const Epilogue& epilogue, const Statistics* statistics = nullptr)
      : out_(y_shape), in_(x_shape, out_.down, out_.across), x_(x), filters_(filters), y_(y), pad_(pad),
        epilogue_(epilogue), statistics_(statistics), c_(filters.depth()), k_(out_.channels), c_row_(round_up(c_, 16) + 16), columns_(filters.panels()),
        panel_(panel_floats<F>(c_)), streams_(streams(y, y_shape.count(), k_) && epilogue.residual.data != y) {}

  void run(Context& context, FilterOrder* order) {
    static const char maker = 0;
    const bool large = columns_ * panel_ > kPanelFloats, many = in_.count > batch();
    const int64_t cuts = std::clamp<int64_t>((context.threads() + columns_ - 1) / columns_, 1, std::max<int64_t>(in_.count / kPanelRows, 1));
    if (!large || order || many || cuts > 1)  // else each panel is needed once
      panels_ = static_cast<const float*>(ordered_filters(context, order, &maker, filters_.w, columns_ * panel_ * 4, kPanelSlot, [&](void* to) {
        make_panels<F>(context, filters_, static_cast<float*>(to));
      }));
    if (large) by_columns(context, cuts);
    else by_tiles(context);
  }

 private:
  // Transforms of tiles, [point][tile][channel]. Rows are a line longer than the channels, lest those of a product fall on each other
  // in the first cache, and points an odd number of lines apart, lest those of a tile do. Products [point][tile][column], likewise.
  struct Products {
    float* data;
    int64_t row, point;  // steps
  };

  static int64_t apart(int64_t tiles, int64_t row) { return round_up(tiles * row, 32) + 48; }
  int64_t rows_of(int64_t floats) const { return floats / kPoints<F> / std::max(c_, k_) / kPanelRows * kPanelRows; }
  int64_t batch() const { return std::clamp(rows_of(kBatchFloats), kPanelRows, round_up(in_.count, kPanelRows)); }

  // What one thread goes through in order: parts of `capacity` tiles or, where statistics are asked for, their chunks.
  struct Parts {
    const Statistics* statistics;
    int64_t capacity, tiles, first, number;
    int64_t begin(int64_t part) const {
      const int64_t tile = statistics ? (statistics->first_row(first + part) - statistics->before) * statistics->across : part * capacity;
      return std::clamp<int64_t>(tile, 0, tiles);
    }
  };
  Parts parts_of(int64_t capacity) const {
    if (!statistics_) return {nullptr, capacity, in_.count, 0, ceil_div(in_.count, capacity)};
    const int64_t first = statistics_->chunk_of(statistics_->before);
    const int64_t last = statistics_->chunk_of(statistics_->before + in_.count / in_.across - 1);
    return {statistics_, capacity, in_.count, first, last - first + 1};
  }
  // Where the i-th of `cuts` parts of the `batch` tiles from `begin` on begins; between chunks of the statistics.
  int64_t cut(int64_t begin, int64_t batch, int64_t i, int64_t cuts) const {
    const int64_t at = batch * i / cuts;
    if (!statistics_ || at == 0 || at == batch) return at;
    const int64_t chunk = statistics_->chunk_of(statistics_->before + (begin + at) / in_.across);
    return std::clamp<int64_t>((statistics_->first_row(chunk) - statistics_->before) * in_.across - begin, 0, batch);
  }
  using Chunk = typename Tiles<F::kOut>::Chunk;
  Chunk chunk_at(int64_t tile) const {
    if (!statistics_) return {};
    const int64_t row = statistics_->before + tile / in_.across, chunk = statistics_->chunk_of(row);
    return {statistics_->sums.of(0, chunk), statistics_->sums.padded, row == statistics_->first_row(chunk) && tile % in_.across == 0};
  }

  // Small filters, which stay in the second cache: each thread takes a block of tiles from pixels to pixels, so that its
  // transforms and products stay there too, and brings in the images of the next.
  void by_tiles(Context& context) const {
    const int64_t share = round_up(ceil_div(in_.count, context.threads()), kPanelRows);  // so that every thread has a block
    const int64_t capacity = std::min(share, std::clamp(rows_of(kBlockFloats), kPanelRows, kMostTiles));
    const int64_t k_row = round_up(k_, 16) + 16, point = apart(capacity, c_row_), product = apart(capacity, k_row);
    const int64_t floats = kPoints<F> * (point + product);
    auto* buffers = static_cast<float*>(context.scratch(context.threads() * floats * 4, kThreadSlot));
    const Parts parts = parts_of(capacity);
    const int64_t grain = std::clamp<int64_t>(capacity * parts.number / in_.count, 1, std::max<int64_t>(parts.number / context.threads(), 1));
    parallel(context, parts.number, grain, [&](int64_t first, int64_t last) {
      float* points = buffers + omp_get_thread_num() * floats;
      Products products{points + kPoints<F> * point, k_row, product};
      for (int64_t begin = parts.begin(first), end = parts.begin(last), next; begin < end; begin = next) {
        const int64_t tiles = std::min(capacity, end - begin);
        next = begin + tiles;
        transform_inputs(points, point, begin, 0, tiles);
        const auto [images, bytes] = in_.rows_of(x_, next, std::min(next + capacity, in_.count));
        for (int64_t j = 0; j < columns_; ++j) {
          auto ahead = [&, images = images, bytes = bytes](int64_t point, int64_t call, int64_t calls, int64_t deep) {
            return Ahead::share(images, bytes, (j * kPoints<F> + point) * calls + call, columns_ * kPoints<F> * calls, deep);
          };
          multiply(points, point, tiles, j, panels_ + j * panel_, {products.data + j * kPanelColumns, products.row, products.point},
                   ahead);
        }
        transform_outputs(products, begin, tiles, 0, k_);
      }
    });
  }

  // Large filters, a panel of which is used for many tiles: the threads share the transforms of the images, then the panels, to
  // the pixels. A panel that is needed once is made where it is used.
  void by_columns(Context& context, int64_t cuts) const {
    const int64_t capacity = batch(), point = apart(capacity, c_row_), product = apart(kColumnTiles, kPanelColumns), own = panels_ ? 0 : panel_;
    const int64_t floats = kPoints<F> * product + own;
    auto* points = static_cast<float*>(context.scratch(kPoints<F> * point * 4, kPointSlot));
    auto* buffers = static_cast<float*>(context.scratch(context.threads() * floats * 4, kThreadSlot));
    for (int64_t begin = 0; begin < in_.count; begin += capacity) {
      const int64_t batch = std::min(capacity, in_.count - begin);
      parallel(context, batch, 1, [&](int64_t first, int64_t last) { transform_inputs(points, point, begin, first, last); });
      parallel(context, columns_ * cuts, 1, [&](int64_t first, int64_t last) {
        float *made = buffers + omp_get_thread_num() * floats, *products = made + own;
        for (int64_t item = first; item < last; ++item) {
          const int64_t j = item / cuts, from = cut(begin, batch, item % cuts, cuts), to = cut(begin, batch, item % cuts + 1, cuts);
          if (!panels_) make_panel<F>(filters_, j, 0, c_, made);
          for (int64_t t = from; t < to; t += kColumnTiles) {
            const int64_t tiles = std::min(kColumnTiles, to - t);
            auto ahead = [&](int64_t p, int64_t call, int64_t calls, int64_t deep) {  // the transforms at the next point
              return Ahead::share(points + std::min(p + 1, kPoints<F> - 1) * point + t * c_row_, tiles * c_row_ * 4, call, calls, deep);
            };
            multiply(points + t * c_row_, point, tiles, j, panels_ ? panels_ + j * panel_ : made, {products, kPanelColumns, product}, ahead);
            transform_outputs({products - j * kPanelColumns, kPanelColumns, product}, begin + t, tiles, j * kPanelColumns,
                              std::min(k_, (j + 1) * kPanelColumns));
          }
        }
      });
    }
  }

  // B' d B of tiles first..last of those that start at tile `begin`.
  void transform_inputs(float* points, int64_t point, int64_t begin, int64_t first, int64_t last) const {
    for (int64_t t = first; t < last; ++t)
      in_.template read<F::kPatch>(x_, begin + t, pad_, [&](int64_t i, auto lanes, auto&& pixel) {
        float* to = points + t * c_row_ + i;
        both<F::kPatch, F::kIn>(F::input, pixel, [&](int r, int s, V u) { store_n(to + (r * F::kIn + s) * point, u, lanes); });
      });
  }

  // The products of `tiles` tiles with panel j at all points; ahead(point, call, calls, depth): what a call brings in meanwhile.
  template <class A>
  void multiply(const float* points, int64_t point, int64_t tiles, int64_t j, const float* panel, const Products& to, A&& ahead) const {
    const int64_t n = std::min(kPanelColumns, k_ - j * kPanelColumns);
    const int64_t pieces = ceil_div(c_, kDepth), calls = pieces * (ceil_div(tiles, kPanelRows));
    for (int64_t p = 0; p < kPoints<F>; ++p)
      for (int64_t l = 0, call = 0; l < c_; l += kDepth)
        for (int64_t i = 0; i < tiles; i += kPanelRows, ++call) {
          int64_t deep = std::min(kDepth, c_ - l);
          multiply_rows(deep, points + p * point + i * c_row_ + l, c_row_, panel + (p * c_ + l) * kPanelColumns,
                        to.data + p * to.point + i * to.row, to.row, std::min(kPanelRows, tiles - i), n, l > 0, ahead(p, call, calls, deep));
        }
  }

  // A' m A of tiles begin.., `tiles` of them, at columns first..last.
  void transform_outputs(const Products& from, int64_t begin, int64_t tiles, int64_t first, int64_t last) const {
    for (int64_t t = 0; t < tiles; ++t)
      out_.write(y_, begin + t, first, last, epilogue_, streams_, chunk_at(begin + t), [&](int64_t i, auto lanes, auto&& pixel) {
        const float* m = from.data + t * from.row + i;
        both<F::kIn, F::kOut>(F::output, [&](int r, int s) { return load_n(m + (r * F::kIn + s) * from.point, lanes); }, pixel);
      });
    if (streams_) stream_end();
  }

  Tiles<F::kOut> out_;
  Tiles<F::kStep> in_;
  const float* x_;
  const Filters filters_;
  const float* panels_ = nullptr;  // [column][point][depth][kPanelColumns], unless made where they are used
  float* y_;
  int64_t pad_;
  const Epilogue epilogue_;
  const Statistics* statistics_;
  int64_t c_, k_, c_row_, columns_, panel_;
  bool streams_;
};

}  // namespace

bool fits_dw(const Shape& w, const Shape& y, const Window& window, DType type) {
  const int64_t least = y[1] >= 16 && y[2] >= 16 ? 16 : 32;  // channels: small maps of fewer have better kernels
  const bool windows = window.up == 1 ? (window.stride == 1 && window.pad <= 2) || (window.stride == 2 && window.pad == 1)
                                      : window.up == 2 && window.stride == 1 && window.pad == 1;
  return type == DType::f32 && w[1] == 3 && w[2] == 3 && windows && w[0] >= least && w[3] >= least && y[1] >= 4 && y[2] >= 4 &&
         w[0] * w[3] <= 8192 * Tiles<4>(y).count;  // few tiles: the filters' transforms cost more
}

bool fits(const Shape& w, const Shape& y, const Window& window, DType type) {
  return fits_dw(w, y, window, type) && (window.stride == 1 || (y[1] >= 8 && y[2] >= 8));  // small strided maps: oneDNN is as fast
}

Statistics::Statistics(Context& context, const Shape& y, const Window& window, int64_t groups)
    : sums(groups, y[3], round_up(y[3], kLanes), Chunks(0, 1, 1)) {
  with_tiles(y, window, [&](auto f) {
    const Tiles<decltype(f)::kOut> tiles(y);
    across = tiles.across, rows = y[0] / groups * tiles.down;
    const Chunks chunks(rows, 1, MomentSums::kMost);
    run = chunks.size, sums.number = chunks.number;
    auto pixels = [&](int64_t row) { return (row / tiles.down * y[1] + row % tiles.down * f.kOut) * y[2]; };
    for (int64_t i = 0; i < chunks.number; ++i) sums.rows[size_t(i)] = pixels(chunks.end(i)) - pixels(chunks.begin(i));
  });
  sums.memory = static_cast<float*>(context.scratch(sums.floats() * 4, kSumSlot));
}

void conv2d(Context& context, In x, In w, Out y, Window window, const Epilogue& epilogue, FilterOrder* order, Statistics* statistics) {
  with_tiles(y.shape, window, [&](auto f) {
    Filters filters{w.as<float>(), w.shape[0], w.shape[3], false};
    Correlation<decltype(f)>(x.as<float>(), x.shape, filters, y.as<float>(), y.shape, window.pad, epilogue, statistics).run(context, order);
    if (statistics) statistics->before += Tiles<f.kOut>(y.shape).count / statistics->across;
  });
}

void conv2d_stats(Context& context, In x, In w, Out y, Out mean, Out variance, Window window) {
  Statistics statistics(context, y.shape, window, mean.shape[0]);
  conv2d(context, x, w, y, window, {}, nullptr, &statistics);
  combine(context, statistics.sums, mean, variance);
}

void conv2d_dx(Context& context, In dy, In w, In onto, Out dx, Window window) {
  Filters filters{w.as<float>(), w.shape[0], w.shape[3], true};
  auto with = [&](auto f, int64_t pad) {
    Correlation<decltype(f)>(dy.as<float>(), dy.shape, filters, dx.as<float>(), dx.shape, pad, {{}, onto, false}).run(context, nullptr);
  };
  if (window.up == 2) with(DoubledBack{}, window.pad);
  else if (window.stride == 2) with(StridedBack{}, 0);
  else with_tiles(dx.shape, window, [&](auto f) { with(f, 2 - window.pad); });
}

}  // namespace plumage::cpu::winograd
