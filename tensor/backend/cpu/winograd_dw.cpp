// Gradient of 3x3 filters, stride 1 or 2 or of a map seen doubled, by Winograd's algorithms: tiles are the depth of n^2 products
// [K, tiles] x [tiles, C].
//   dw = G' [sum of (A dy A') . (B' x B)] G
#include "tensor/backend/cpu/winograd_tiles.h"

namespace plumage::cpu::winograd {
namespace {

constexpr int kThreadSlot = 0, kPanelSlot = 1, kSumSlot = 2;
constexpr int64_t kSmallSums = 210000;  // floats: below, sums and transforms of a thread stay in its second cache
constexpr int64_t kSlices = 16, kSliceBatch = 48, kSharedBatch = 256;  // tiles that are transformed at a time

// Transformed tiles as the depth of a product: [point][channels in panels of `unit`][tile][unit].
struct DeepPanels {
  int64_t channels, unit, depth;
  float* data = nullptr;
  // Three lines more than the panels, lest the points of a tile fall on each other in the first cache.
  int64_t matrix() const { return round_up(channels, unit) * depth + 48; }
  float* at(int64_t point, int64_t tile, int64_t channel) const {
    return data + point * matrix() + channel / unit * unit * depth + tile * unit + channel % unit;
  }
  /// What puts an element of n x n points. unit is a multiple of kLanes, so that a vector of channels lies in one panel; lanes beyond
  /// the last are padding.
  template <int n>
  PLUMAGE_INLINE auto put(int64_t tile, int64_t channel) const {
    return [to = at(0, tile, channel), apart = matrix()](int i, int j, V u) { store(to + (n * i + j) * apart, u); };
  }
};

// Channels of x beyond the filters' are padding.
template <class F>
class FilterGradient {
  static constexpr int kTaps = F::kTaps * F::kTaps;

 public:
  FilterGradient(In x, In dy, Out dw, int64_t pad)
      : out_(dy.shape), in_(x.shape, out_.down, out_.across), x_(x.as<float>()), dy_(dy.as<float>()),
        dw_(dw.as<float>()), pad_(pad), c_(dw.shape[3]), k_(out_.channels), sums_(kPoints<F> * k_ * c_) {}

  void run(Context& context) const {
    if (sums_ <= kSmallSums) by_slices(context);
    else if (in_.count <= kSharedBatch) by_columns(context);
    else by_points(context);
  }

 private:
  // Transforms of a batch of tiles: a of dy, b of x.
  struct Batch {
    DeepPanels a, b;
    Batch(int64_t tiles, int64_t c, int64_t k) : a{k, 4 * kPanelRows, tiles}, b{c, kPanelColumns, tiles} {}
    int64_t floats() const { return round_up(kPoints<F> * (a.matrix() + b.matrix()), 16); }
    Batch in(float* buffer) const {
      Batch batch = *this;
      batch.a.data = buffer, batch.b.data = buffer + kPoints<F> * a.matrix();
      return batch;
    }
  };

  // Small filters: a slice of the tiles is one thread's work from pixels to sums; the slices' sums are added in order.
  void by_slices(Context& context) const {
    Chunks slices(in_.count, kSliceBatch, kSlices);
    Batch shape(kSliceBatch, c_, k_);
    auto* sums = static_cast<float*>(context.scratch(slices.number * sums_ * 4, kSumSlot));
    auto* buffers = static_cast<float*>(context.scratch(context.threads() * shape.floats() * 4, kPanelSlot));
    parallel(context, slices.number, 1, [&](int64_t first, int64_t last) {
      Batch batch = shape.in(buffers + omp_get_thread_num() * shape.floats());
      for (int64_t slice = first; slice < last; ++slice)
        for (int64_t begin = slices.begin(slice); begin < slices.end(slice); begin += kSliceBatch) {
          int64_t tiles = std::min(kSliceBatch, slices.end(slice) - begin);
          transform(batch, begin, 0, tiles);
          multiply(batch, tiles, sums + slice * sums_, begin > slices.begin(slice), 0, kPoints<F> * columns(), begin + tiles);
        }
    });
    parallel(context, sums_, kGrain, [&](int64_t first, int64_t last) {
      for (int64_t slice = 1; slice < slices.number; ++slice)
        for (int64_t i = first; i < last; ++i) sums[i] += sums[slice * sums_ + i];
    }, 16);
    finish(context, sums);
  }

  // Large filters: batches of tiles follow each other; within one the threads share first the transforms, then the points.
  void by_points(Context& context) const {
    Chunks batches(in_.count, 1, (in_.count + kSharedBatch - 1) / kSharedBatch);
    Batch shape(batches.size, c_, k_);
    auto* sums = static_cast<float*>(context.scratch(sums_ * 4, kSumSlot));
    Batch batch = shape.in(static_cast<float*>(context.scratch(shape.floats() * 4, kPanelSlot)));
    for (int64_t i = 0; i < batches.number; ++i) {
      int64_t begin = batches.begin(i), tiles = batches.end(i) - begin;
      parallel(context, tiles, 8, [&](int64_t first, int64_t last) { transform(batch, begin, first, last); });
      parallel(context, kPoints<F> * columns(), 1, [&](int64_t first, int64_t last) { multiply(batch, tiles, sums, i > 0, first, last, in_.count); });
    }
    finish(context, sums);
  }

  // Large filters of so few tiles that one batch has them all: the threads share its transforms, then the panels of x's channels, each
  // a group of dy's channels at a time from its products at all points, which stay in the second cache, to the filters.
  void by_columns(Context& context) const {
    Batch shape(in_.count, c_, k_);
    Batch batch = shape.in(static_cast<float*>(context.scratch(shape.floats() * 4, kPanelSlot)));
    parallel(context, in_.count, 8, [&](int64_t first, int64_t last) { transform(batch, 0, first, last); });
    const int64_t unit = batch.a.unit, point = unit * kPanelColumns + 48, groups = ceil_div(k_, unit), floats = kPoints<F> * point;
    auto* buffers = static_cast<float*>(context.scratch(context.threads() * floats * 4, kThreadSlot));
    parallel(context, columns() * groups, 1, [&](int64_t first, int64_t last) {
      float* sums = buffers + omp_get_thread_num() * floats;
      for (int64_t item = first; item < last; ++item) {
        const int64_t j = item / groups * kPanelColumns, k = item % groups * unit, rows = std::min(unit, k_ - k), n = std::min(kPanelColumns, c_ - j);
        for (int64_t p = 0; p < kPoints<F>; ++p)
          for (int64_t i = 0; i < rows; i += kPanelRows) {  // meanwhile dy's transforms at the next point
            Ahead ahead = Ahead::share(batch.a.at(std::min(p + 1, kPoints<F> - 1), 0, k), in_.count * unit * 4, i / kPanelRows,
                                       ceil_div(rows, kPanelRows), in_.count);
            multiply_panels(in_.count, batch.a.at(p, 0, k + i), unit, batch.b.at(p, 0, j), sums + p * point + i * kPanelColumns, kPanelColumns,
                            std::min(kPanelRows, rows - i), n, false, ahead);
          }
        for (int64_t i = 0; i < rows; ++i)
          for_vectors(0, n, [&](int64_t c, auto lanes) {
            finish(sums + i * kPanelColumns + c, point, lanes, dw_ + (k + i) * kTaps * c_ + j + c);
          });
      }
    });
  }

  int64_t columns() const { return ceil_div(c_, kPanelColumns); }

  // Tiles first..last of the batch that starts at tile `begin`.
  void transform(const Batch& batch, int64_t begin, int64_t first, int64_t last) const {
    for (int64_t t = first; t < last; ++t) {
      in_.template read<F::kPatch>(x_, begin + t, pad_, [&](int64_t i, auto, auto&& pixel) {
        both<F::kPatch, F::kIn>(F::input, pixel, batch.b.template put<F::kIn>(t, i));
      });
      out_.template read<F::kOut>(dy_, begin + t, 0, [&](int64_t i, auto, auto&& pixel) {
        both<F::kOut, F::kIn>(F::output_gradient, pixel, batch.a.template put<F::kIn>(t, i));
      });
    }
  }

  // sums[point][K][C] of panels first..last of x's channels, all points' counted through; meanwhile the images of tiles `next`.. are
  // brought in.
  void multiply(const Batch& batch, int64_t tiles, float* sums, bool add, int64_t first, int64_t last, int64_t next) const {
    const int64_t across = ceil_div(k_, kPanelRows), calls = (last - first) * across, half = calls / 2;
    const int64_t end = std::min(next + tiles, in_.count);
    const auto [x, x_bytes] = in_.rows_of(x_, next, end);
    const auto [dy, dy_bytes] = out_.rows_of(dy_, next, end);
    for (int64_t call = 0; call < calls; ++call) {
      int64_t item = first + call / across, p = item / columns(), j = item % columns() * kPanelColumns, i = call % across * kPanelRows;
      Ahead ahead = call < half ? Ahead::share(x, x_bytes, call, half, tiles)
                                : Ahead::share(dy, dy_bytes, call - half, calls - half, tiles);
      multiply_panels(tiles, batch.a.at(p, 0, i), batch.a.unit, batch.b.at(p, 0, j), sums + (p * k_ + i) * c_ + j, c_,
                      std::min(kPanelRows, k_ - i), std::min(kPanelColumns, c_ - j), add, ahead);
    }
  }

  void finish(Context& context, const float* sums) const {
    parallel_rows(context, k_, kTaps * c_, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i)
        for_vectors(0, c_, [&](int64_t j, auto lanes) { finish(sums + i * c_ + j, k_ * c_, lanes, dw_ + i * kTaps * c_ + j); });
    });
  }
  // A vector of a filter from its sums at all points.
  template <class N>
  PLUMAGE_INLINE void finish(const float* sums, int64_t apart, N lanes, float* dw) const {
    both<F::kIn, F::kTaps>(
        F::filter_gradient, [&](int i, int j) { return load_n(sums + (i * F::kIn + j) * apart, lanes); },
        [&](int i, int j, V g) { store_n(dw + (i * F::kTaps + j) * c_, g, lanes); });
  }

  Tiles<F::kOut> out_;
  Tiles<F::kStep> in_;
  const float *x_, *dy_;
  float* dw_;
  int64_t pad_, c_, k_, sums_;
};

}  // namespace

void conv2d_dw(Context& context, In x, In dy, Out dw, Window window) {
  with_tiles(dy.shape, window, [&](auto f) { FilterGradient<decltype(f)>(x, dy, dw, window.pad).run(context); });
}

}  // namespace plumage::cpu::winograd
