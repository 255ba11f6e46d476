// Convolution with filters of one pixel: a matrix product, pixels [M, C] times filters [C, K], at the rate of the arithmetic as
// long as memory keeps up. So each thread takes a block of pixels against all filters, reads it where it lies and meanwhile brings
// in the next; what else happens to the results happens while they are in registers. Next: onednn_conv.cpp.
#include "tensor/backend/cpu/conv.h"
#include "tensor/backend/cpu/gemm_tile.h"
#include "tensor/backend/cpu/moments.h"

namespace plumage::cpu::one_pixel {
namespace {

constexpr int kCopySlot = 0, kPanelSlot = 1, kSumSlot = 3;
constexpr int64_t kDeepest = 512;        // twelve rows of this stay in the first cache and do not fight for its lines
constexpr int64_t kBlockFloats = 65536;  // of pixels: with the next ones and the filters that meet them in the second cache
constexpr int64_t kPanelsFloats = 80000;  // of the panels that a tile's rows meet before the next rows do: results lie side by side
constexpr int64_t kTallest = 16 * kPanelRows;
constexpr int64_t kChunks = 64;  // of a group's pixels, at most

int64_t pixels_of(const Shape& image) { return image[0] * image[1] * image[2]; }

// The pixels that the filters see, as rows of a matrix.
struct Pixels {
  const float* data;
  int64_t channels, stride, height, width, down, across;  // of the image in memory; of what is seen
  Pixels(In x, const Shape& seen, int64_t stride)
      : data(x.as<float>()), channels(x.shape[3]), stride(stride), height(x.shape[1]), width(x.shape[2]), down(seen[1]), across(seen[2]) {}
  const float* row(int64_t i) const {
    if (stride == 1) return data + i * channels;
    int64_t n = i / (down * across), p = i / across % down, q = i % across;
    return data + ((n * height + p * stride) * width + q * stride) * channels;
  }
};

// y [M, K] = pixels times panels [K / kPanelColumns][C][kPanelColumns].
class Product {
 public:
  Product(const Pixels& pixels, const float* panels, Out y, const Epilogue& epilogue, const MomentSums* sums)
      : pixels_(pixels), panels_(panels), y_(y.as<float>()), epilogue_(epilogue), sums_(sums), depth_(pixels.channels),
        pitch_(round_up(depth_, 16) + 16), columns_(y.shape[3]), tall_(tall(depth_)),
        across_(std::max<int64_t>(kPanelsFloats / (depth_ * kPanelColumns), 1)), groups_(sums ? sums->groups : 1),
        chunks_(chunks_of(y.shape, depth_, groups_)), streams_(streams(y_, y.count(), columns_) && epilogue.residual.data != y.data) {}

  /// Of a group's pixels: each is summed up for itself, and the work of one thread.
  static Chunks chunks_of(const Shape& y, int64_t depth, int64_t groups) {
    int64_t rows = pixels_of(y) / groups;
    return Chunks(rows, round_up(ceil_div(rows, kChunks), tall(depth)), rows);
  }

  void run(Context& context) const {
    const int64_t parts = groups_ * chunks_.number, panels = ceil_div(columns_, kPanelColumns);
    const int64_t cuts = std::clamp<int64_t>(kChunks / 2 / parts, 1, std::max<int64_t>(panels / 4, 1));  // of the columns: pixels are few
    auto* copies = static_cast<float*>(context.scratch(context.threads() * tall_ * pitch_ * 4, kCopySlot));
    parallel(context, parts * cuts, 1, [&](int64_t first, int64_t last) {
      float* copy = copies + omp_get_thread_num() * tall_ * pitch_;
      for (int64_t i = first; i < last; ++i)
        chunk(i / cuts / chunks_.number, i / cuts % chunks_.number, panels * (i % cuts) / cuts, panels * (i % cuts + 1) / cuts, copy);
    });
  }

 private:
  struct Place {
    int64_t row, column, m, n;
    float* sums;  // of its chunk and columns, if asked for
    bool first;   // of its chunk
  };

  static int64_t tall(int64_t depth) { return std::min(kBlockFloats / depth / kPanelRows * kPanelRows, kTallest); }

  // Pixels of a chunk against the filters of panels first..last.
  void chunk(int64_t group, int64_t chunk, int64_t first, int64_t last, float* copy) const {
    const int64_t begin = group * chunks_.count + chunks_.begin(chunk), end = group * chunks_.count + chunks_.end(chunk);
    for (int64_t top = begin; top < end; top += tall_) {
      const int64_t rows = std::min(tall_, end - top), next = top + rows, following = std::min(tall_, groups_ * chunks_.count - next);
      const int64_t tiles = ceil_div(rows, kPanelRows), calls = tiles * (last - first);
      copy_rows(top, rows, copy);
      for (int64_t call = 0; call < calls; ++call) {
        const int64_t begun = call / (tiles * across_) * across_, across = std::min(across_, last - first - begun);
        const int64_t in_group = call - begun * tiles;
        const int64_t i = in_group / across * kPanelRows, j = (first + begun + in_group % across) * kPanelColumns;
        Place place{top + i, j, std::min(kPanelRows, rows - i), std::min(kPanelColumns, columns_ - j),
                  sums_ ? sums_->of(group, chunk) + j : nullptr, top + i == begin};
        bool copied = i >= in_place(rows);
        compute(place, copied ? copy + i * pitch_ : pixels_.row(top + i), copied ? pitch_ : depth_, ahead(next, following, call, calls));
      }
    }
    if (streams_) stream_end();
  }

  // Rows of a block that the kernel, which takes kPanelRows, can read where they lie. The others are copied.
  int64_t in_place(int64_t rows) const { return pixels_.stride == 1 ? rows / kPanelRows * kPanelRows : 0; }
  void copy_rows(int64_t top, int64_t rows, float* copy) const {
    for (int64_t i = in_place(rows); i < rows; ++i) {
      const float* from = pixels_.row(top + i);
      for_vectors(0, depth_, [&](int64_t c, int64_t lanes) { store_n(copy + i * pitch_ + c, load_n(from + c, lanes), lanes); });
    }
  }

  // What a call brings in of the following rows: its share of their range, or where they lie apart, a row.
  Ahead ahead(int64_t top, int64_t rows, int64_t call, int64_t calls) const {
    if (pixels_.stride > 1 && rows > 0) return {reinterpret_cast<const char*>(pixels_.row(top + rows * call / calls)), 4};
    return Ahead::share(rows ? pixels_.row(top) : panels_, rows * depth_ * 4, call, calls, depth_);
  }

  void compute(const Place& t, const float* a, int64_t pitch, Ahead ahead) const {
    const float* residual = epilogue_.residual ? epilogue_.residual.as<float>() + t.row * columns_ + t.column : nullptr;
    for (int64_t i = 0; residual && i < t.m; ++i)
      for (int64_t j = 0; j < kPanelColumns; j += 16) __builtin_prefetch(residual + i * columns_ + j);
    Sums sums = {};
    accumulate<true>(depth_, a, pitch, 1, panels_ + t.column * depth_, sums, ahead);
    if (t.m == kPanelRows && t.n == kPanelColumns) settle<true>(t, sums, residual);
    else settle<false>(t, sums, residual);
  }

  // What else happens to a tile; then it is stored.
  template <bool kWhole>
  PLUMAGE_INLINE void settle(const Place& t, Sums& tile, const float* residual) const {
    const int m = kWhole ? int(kPanelRows) : int(t.m);
    auto lanes = [&](int h) { return kWhole ? kLanes : std::clamp<int64_t>(t.n - h * kLanes, 0, kLanes); };
    auto each = [&](auto&& f) {
#pragma GCC unroll 12
      for (int i = 0; i < kPanelRows; ++i) {
        if (!kWhole && i == m) break;
        f(tile[i][0], i, 0);
        f(tile[i][1], i, 1);
      }
    };
    if (epilogue_.shift) {
      const float* from = epilogue_.shift.as<float>() + t.column;
      const V shift[2] = {load_n(from, lanes(0)), load_n(from + kLanes, lanes(1))};
      each([&](V& v, int, int h) { v += shift[h]; });
    }
    if (residual) each([&](V& v, int i, int h) { v += load_n(residual + i * columns_ + h * kLanes, lanes(h)); });
    if (epilogue_.relu) each([&](V& v, int, int) { v = vrelu(v); });
    if (t.sums) {
      float *of_center = t.sums, *of_sum = t.sums + sums_->padded, *of_squares = t.sums + 2 * sums_->padded;
      V center[2] = {}, sum[2] = {}, squares[2] = {};
      if (t.first) each([&](V& v, int, int h) { center[h] += v / float(m); });  // of the first rows: near enough to the chunk's
      else center[0] = load(of_center), center[1] = load(of_center + kLanes);
      each([&](V& v, int, int h) {
        V d = v - center[h];
        sum[h] += d;
        squares[h] += d * d;
      });
      for (int64_t h = 0, at = 0; h < 2; ++h, at += kLanes) {
        store(of_center + at, center[h]);
        store(of_sum + at, t.first ? sum[h] : load(of_sum + at) + sum[h]);
        store(of_squares + at, t.first ? squares[h] : load(of_squares + at) + squares[h]);
      }
    }
    float* y = y_ + t.row * columns_ + t.column;
    if (kWhole && streams_) each([&](V& v, int i, int h) { stream(y + i * columns_ + h * kLanes, v); });
    else each([&](V& v, int i, int h) { store_n(y + i * columns_ + h * kLanes, v, lanes(h)); });
  }

  const Pixels pixels_;
  const float* panels_;
  float* y_;
  const Epilogue epilogue_;
  const MomentSums* sums_;
  int64_t depth_, pitch_, columns_, tall_, across_, groups_;
  Chunks chunks_;
  bool streams_;
};

int64_t panel_bytes(int64_t columns, int64_t depth) { return round_up(columns, kPanelColumns) * depth * 4; }

// Panels of w[column * of_column + depth * of_depth].
void make_panels(Context& context, const float* w, int64_t columns, int64_t depth, int64_t of_column, int64_t of_depth, float* panels) {
  parallel_rows(context, ceil_div(columns, kPanelColumns), kPanelColumns * depth, [&](int64_t first, int64_t last) {
    for (int64_t j = first * kPanelColumns; j < last * kPanelColumns; j += kPanelColumns)
      pack_panels(std::min(kPanelColumns, columns - j), depth, w + j * of_column, of_column, of_depth, kPanelColumns, panels + j * depth);
  });
}

void forward(Context& context, In x, In w, Out y, Window window, const Epilogue& epilogue, FilterOrder* order, const MomentSums* sums) {
  static const char maker = 0;
  const int64_t k = w.shape[0], c = w.shape[3];
  const void* panels = ordered_filters(context, order, &maker, w.data, panel_bytes(k, c), kPanelSlot, [&](void* to) {
    make_panels(context, w.as<float>(), k, c, c, 1, static_cast<float*>(to));
  });
  Product(Pixels(x, y.shape, window.stride), static_cast<const float*>(panels), y, epilogue, sums).run(context);
}

// Deeper products need a copy of all pixels, large filters of few pixels one of their own.
bool pays(int64_t depth, int64_t columns, int64_t pixels) {
  return depth >= 32 && depth <= kDeepest && columns >= 32 && depth * columns <= kDeepest * pixels && !onednn::has_wider_vectors();
}
bool one_pixel(const Shape& w, const Window& window, DType type) { return type == DType::f32 && w[1] == 1 && w[2] == 1 && window.pad == 0; }

}  // namespace

bool fits(const Shape& w, const Shape& y, const Window& window, DType type) {
  return one_pixel(w, window, type) && pays(w[3], w[0], pixels_of(y));
}

bool fits_dx(const Shape& w, const Shape& dy, const Window& window, DType type) {
  return one_pixel(w, window, type) && window.stride == 1 && pays(w[0], w[3], pixels_of(dy));
}

void conv2d(Context& context, In x, In w, Out y, Window window, const Epilogue& epilogue, FilterOrder* order) {
  forward(context, x, w, y, window, epilogue, order, nullptr);
}

void conv2d_stats(Context& context, In x, In w, Out y, Out mean, Out variance, Window window) {
  const int64_t groups = mean.shape[0], k = y.shape[3];
  MomentSums sums{groups, k, round_up(k, kPanelColumns), Product::chunks_of(y.shape, x.shape[3], groups)};
  sums.memory = static_cast<float*>(context.scratch(sums.floats() * 4, kSumSlot));
  forward(context, x, w, y, window, {}, nullptr, &sums);
  combine(context, sums, mean, variance);
}

void conv2d_dx(Context& context, In dy, In w, In onto, Out dx) {
  const int64_t k = w.shape[0], c = w.shape[3];
  auto* panels = static_cast<float*>(context.scratch(panel_bytes(c, k), kPanelSlot));
  make_panels(context, w.as<float>(), c, k, 1, c, panels);
  Product(Pixels(dy, dx.shape, 1), panels, dx, {{}, onto, false}, nullptr).run(context);
}

}  // namespace plumage::cpu::one_pixel
