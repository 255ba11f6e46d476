// Convolution with filters of one pixel: a matrix product, pixels [M, C] times filters [C, K], at the rate of the arithmetic as
// long as memory keeps up. So each thread takes a block of pixels against all filters, reads it where it lies and meanwhile brings
// in the next; what else happens to the results happens while they are in registers. Large products go by Strassen's algorithm.
// Next: one_pixel_dw.cpp.
#include <type_traits>

#include "tensor/backend/cpu/one_pixel_tiles.h"
#include "tensor/backend/cpu/strassen.h"

namespace plumage::cpu::one_pixel {
namespace {

constexpr int kCopySlot = 0, kPanelSlot = 1, kSumSlot = 3;
constexpr int64_t kDeepest = 512;  // twelve rows of this stay in the first cache and do not fight for its lines
constexpr int64_t kChunks = MomentSums::kMost;  // of a group's pixels, at most

// How a block of pixels is multiplied. Both ways have tiles of kRows x kColumns results; of a block, `floats` are copied; the panels of
// kColumns filters are `panel` floats; `steps` depths go by in a tile.

// A tile is one product.
struct Plain {
  static constexpr int64_t kRows = kPanelRows, kColumns = kPanelColumns;
  static constexpr int64_t kBlockFloats = 65536;   // of pixels: with the next ones and the filters that meet them in the second cache
  static constexpr int64_t kPanelsFloats = 80000;  // of the panels that a tile's rows meet before the next rows do: results lie side by side
  const Pixels& pixels;
  int64_t depth, pitch;
  explicit Plain(const Pixels& pixels) : pixels(pixels), depth(pixels.channels), pitch(round_up(depth, 16) + 16) {}
  int64_t floats(int64_t rows) const { return rows * pitch; }
  int64_t panel() const { return depth * kColumns; }
  int64_t steps() const { return depth; }

  // Rows of a block that the kernel, which takes kPanelRows, can read where they lie. The others are copied.
  int64_t in_place(int64_t rows) const { return pixels.stride == 1 ? rows / kPanelRows * kPanelRows : 0; }
  void prepare(int64_t top, int64_t rows, float* copy) const {
    for (int64_t i = in_place(rows); i < rows; ++i) {
      const float* from = pixels.row(top + i);
      for_vectors(0, depth, [&](int64_t c, int64_t lanes) { store_n(copy + i * pitch + c, load_n(from + c, lanes), lanes); });
    }
  }
  // The tile at row i of the block.
  void compute(int64_t i, int64_t top, int64_t rows, const float* copy, const float* panel, Ahead ahead, const Place& t, const Place& next,
               const WayOut& out) const {
    const bool copied = i >= in_place(rows);
    const float* a = copied ? copy + i * pitch : pixels.row(top + i);
    const int64_t row = copied ? pitch : depth;
    Sums sums = {};
    if (out.reads()) {  // a tensor in each third
      const int64_t third = ceil_div(depth, WayOut::kRead);
      for (int64_t read = 0, l = 0; l < depth; ++read, l += third)
        accumulate<true, true>(std::min(third, depth - l), a + l, row, 1, panel + l * kColumns, sums, {ahead.at + l * ahead.step, ahead.step},
                               out.ahead(read, next));
    } else {
      accumulate<true>(depth, a, row, 1, panel, sums, ahead);
    }
    out.settle(t, sums);
  }

  // Panels of w[column * of_column + depth * of_depth], columns first..last.
  static void make_panels(const float* w, int64_t first, int64_t last, int64_t depth, int64_t of_column, int64_t of_depth, float* panels) {
    pack_panels(last - first, depth, w + first * of_column, of_column, of_depth, kPanelColumns, panels);
  }
};

// A tile is seven products: training's large layers. What a pixel comes to depends by rounding on the others of its tile.
struct Strassen {
  static constexpr int64_t kRows = strassen::kRows, kColumns = strassen::kColumns;
  static constexpr int64_t kBlockFloats = 32768, kPanelsFloats = 120000;
  static constexpr int64_t kPiece = 64;  // depths of filters that are laid out at a time
  const Pixels& pixels;
  int64_t depth, half, pitch;
  explicit Strassen(const Pixels& pixels) : pixels(pixels), depth(pixels.channels), half(depth / 2), pitch(half + 16) {}
  static bool takes(int64_t depth, int64_t columns) { return depth >= 128 && columns >= 128 && depth % 32 == 0 && columns % kColumns == 0; }
  int64_t factor() const { return kPanelRows * pitch; }
  int64_t floats(int64_t rows) const { return ceil_div(rows, kRows) * strassen::kProducts * factor(); }
  int64_t panel() const { return strassen::kProducts * half * kPanelColumns; }
  int64_t steps() const { return strassen::kProducts * half; }

  // Of two of the left factors, which are quarters of the pixels: they can be read where they lie.
  bool in_place(int64_t i, int64_t rows) const { return pixels.stride == 1 && depth <= kDeepest && i + kRows <= rows; }
  void prepare(int64_t top, int64_t rows, float* copy) const {
    for (int64_t i = 0; i < rows; ++i) {
      if (i % kRows >= kPanelRows) continue;
      const float* upper = pixels.row(top + i);
      const float* lower = i + kPanelRows < rows ? pixels.row(top + i + kPanelRows) : nullptr;
      const bool copied = !in_place(i / kRows * kRows, rows);
      float* to = copy + i / kRows * strassen::kProducts * factor() + i % kRows * pitch;
      for (int64_t l = 0; l < half; l += kLanes) {
        V a21 = lower ? load(lower + l) : V{}, a22 = lower ? load(lower + half + l) : V{};
        strassen::left_factors(load(upper + l), load(upper + half + l), a21, a22, [&](int p, V v) {
          if (copied || !(p == 2 || p == 3)) store(to + p * factor() + l, v);
        });
      }
    }
  }
  void compute(int64_t i, int64_t top, int64_t rows, const float* copy, const float* panel, Ahead ahead, const Place& t, const Place& next,
               const WayOut& out) const {
    strassen::Factors factors{half, {}, panel, {}, {}};
    for (int p = 0; p < strassen::kProducts; ++p) {
      factors.left[p] = {copy + (i / kRows * strassen::kProducts + p) * factor(), pitch};
      factors.ahead[p] = {ahead.at + p * half * ahead.step, ahead.step};
      factors.ahead_rows[p] = out.ahead(p / 2, next, p % 2 * kPanelColumns);
    }
    if (in_place(i, rows)) {
      factors.left[2] = {pixels.row(top + i), depth};
      factors.left[3] = {pixels.row(top + i + kPanelRows) + half, depth};
    }
    auto quarter = [&](int down, int across) {
      int64_t below = down * kPanelRows;
      return Place{t.row + below, t.column + across * kPanelColumns, std::clamp<int64_t>(t.m - below, 0, kPanelRows), kPanelColumns,
                   t.sums ? t.sums + across * kPanelColumns : nullptr, t.source ? t.source + across * kPanelColumns : nullptr,
                   t.first && down == 0};
    };
    auto settled = [&](int down, int across, Sums& tile) {
      if (Place place = quarter(down, across); place.m > 0) settle(out, place, tile);
    };
    if (out.reads()) strassen::multiply<kPanelRows, true>(factors, 1, settled);
    else strassen::multiply<kPanelRows>(factors, 1, settled);
  }
  __attribute__((noinline)) static void settle(const WayOut& out, const Place& place, Sums& tile) { out.settle(place, tile); }

  static void make_panels(const float* w, int64_t first, int64_t, int64_t depth, int64_t of_column, int64_t of_depth, float* panels) {
    constexpr int64_t kQuarter = kPiece * kPanelColumns;
    alignas(64) float quarters[4 * kQuarter];
    const int64_t half = depth / 2;
    for (int64_t l = 0; l < half; l += kPiece) {
      const int64_t deep = std::min(kPiece, half - l);
      for (int q = 0; q < 4; ++q)
        pack_panels(kPanelColumns, deep, w + (first + q % 2 * kPanelColumns) * of_column + (l + q / 2 * half) * of_depth, of_column, of_depth,
                    kPanelColumns, quarters + q * kQuarter);
      for (int64_t i = 0; i < deep * kPanelColumns; i += kLanes) {
        const float* at = quarters + i;
        strassen::right_factors(load(at), load(at + kQuarter), load(at + 2 * kQuarter), load(at + 3 * kQuarter),
                                [&](int p, V v) { store(panels + (p * half + l) * kPanelColumns + i, v); });
      }
    }
  }
};

// y [M, K] = pixels times panels [K / kColumns][panel].
template <class Way>
class Product {
 public:
  /// normalize: what Normalize has of the source, whose groups are those of the sums.
  Product(const Pixels& pixels, const float* panels, Out y, const Epilogue& epilogue, const MomentSums* sums, const NormSource& source,
          const float* normalize)
      : pixels_(pixels), way_(pixels_), panels_(panels), normalize_(normalize), out_(y, epilogue, sums, source), tall_(tall(pixels.channels)),
        across_(std::max<int64_t>(Way::kPanelsFloats / way_.panel(), 1)), groups_(sums ? sums->groups : 1),
        chunks_(chunks_of(y.shape, pixels.channels, groups_)) {}

  /// Of a group's pixels: each is summed up for itself, and the work of one thread.
  static Chunks chunks_of(const Shape& y, int64_t depth, int64_t groups) {
    int64_t rows = pixels_of(y) / groups;
    return Chunks(rows, round_up(ceil_div(rows, kChunks), tall(depth)), rows);
  }

  void run(Context& context) const {
    const int64_t parts = groups_ * chunks_.number, panels = ceil_div(out_.columns(), Way::kColumns);
    const int64_t cuts = std::clamp<int64_t>(kChunks / 2 / parts, 1, std::max<int64_t>(panels / 4, 1));  // of the columns: pixels are few
    auto* copies = static_cast<float*>(context.scratch(context.threads() * way_.floats(tall_) * 4, kCopySlot));
    parallel(context, parts * cuts, 1, [&](int64_t first, int64_t last) {
      float* copy = copies + omp_get_thread_num() * way_.floats(tall_);
      for (int64_t i = first; i < last; ++i)
        chunk(i / cuts / chunks_.number, i / cuts % chunks_.number, panels * (i % cuts) / cuts, panels * (i % cuts + 1) / cuts, copy);
    });
  }

 private:
  static int64_t tall(int64_t depth) {
    return std::clamp(Way::kBlockFloats / depth / Way::kRows * Way::kRows, Way::kRows, 16 * kPanelRows);
  }

  // Pixels of a chunk against the filters of panels first..last.
  void chunk(int64_t group, int64_t chunk, int64_t first, int64_t last, float* copy) const {
    const int64_t begin = group * chunks_.count + chunks_.begin(chunk), end = group * chunks_.count + chunks_.end(chunk);
    float* sums = out_.sums_of(group, chunk);
    const float* source = normalize_ ? Normalize::of(normalize_, out_.padded(), group).mean : nullptr;
    for (int64_t top = begin; top < end; top += tall_) {
      const int64_t rows = std::min(tall_, end - top), next = top + rows, following = std::min(tall_, groups_ * chunks_.count - next);
      const int64_t tiles = ceil_div(rows, Way::kRows), calls = tiles * (last - first);
      way_.prepare(top, rows, copy);
      auto place_at = [&](int64_t top, int64_t i, int64_t rows, int64_t panel) {
        const int64_t j = panel * Way::kColumns;
        return Place{top + i, j, std::clamp<int64_t>(rows - i, 0, Way::kRows), std::min(Way::kColumns, out_.columns() - j),
                     sums ? sums + j : nullptr, source ? source + j : nullptr, top + i == begin};
      };
      auto place_of = [&](int64_t call) {
        const int64_t begun = call / (tiles * across_) * across_, across = std::min(across_, last - first - begun);
        const int64_t in_group = call - begun * tiles;
        return place_at(top, in_group / across * Way::kRows, rows, first + begun + in_group % across);
      };
      for (int64_t call = 0; call < calls; ++call) {
        const Place place = place_of(call), then = call + 1 < calls ? place_of(call + 1) : place_at(next, 0, following, first);
        way_.compute(place.row - top, top, rows, copy, panels_ + place.column / Way::kColumns * way_.panel(),
                     ahead(next, following, call, calls), place, then, out_);
      }
    }
    if (out_.streams()) stream_end();
  }

  // What a call brings in of the following rows: its share of their range, or where they lie apart, a row.
  Ahead ahead(int64_t top, int64_t rows, int64_t call, int64_t calls) const {
    const int64_t row = pixels_.channels * 4;
    if (pixels_.stride > 1 && rows > 0)
      return {reinterpret_cast<const char*>(pixels_.row(top + rows * call / calls)), ceil_div(row, way_.steps())};
    return Ahead::share(rows ? pixels_.row(top) : panels_, rows * row, call, calls, way_.steps());
  }

  const Pixels pixels_;
  const Way way_;
  const float *panels_, *normalize_;
  const WayOut out_;
  int64_t tall_, across_, groups_;
  Chunks chunks_;
};

template <class Way>
int64_t panel_bytes(int64_t columns, const Pixels& pixels) { return ceil_div(columns, Way::kColumns) * Way(pixels).panel() * 4; }

// Panels of w[column * of_column + depth * of_depth].
template <class Way>
void make_panels(Context& context, const float* w, int64_t columns, const Pixels& pixels, int64_t of_column, int64_t of_depth, float* panels) {
  const int64_t panel = Way(pixels).panel();
  parallel_rows(context, ceil_div(columns, Way::kColumns), panel, [&](int64_t first, int64_t last) {
    for (int64_t j = first; j < last; ++j)
      Way::make_panels(w, j * Way::kColumns, std::min(columns, (j + 1) * Way::kColumns), pixels.channels, of_column, of_depth, panels + j * panel);
  });
}

// y = pixels times filters, which are w[column * of_column + depth * of_depth].
template <class Way>
void multiply(Context& context, const Pixels& pixels, const float* w, int64_t of_column, int64_t of_depth, Out y, const Epilogue& epilogue,
              FilterOrder* order, const MomentSums* sums, const NormSource& source = {}, const float* normalize = nullptr) {
  static const char maker = 0;
  const int64_t columns = y.shape[3];
  const void* panels = ordered_filters(context, order, &maker, w, panel_bytes<Way>(columns, pixels), kPanelSlot, [&](void* to) {
    make_panels<Way>(context, w, columns, pixels, of_column, of_depth, static_cast<float*>(to));
  });
  Product<Way>(pixels, static_cast<const float*>(panels), y, epilogue, sums, source, normalize).run(context);
}

// Deeper products need a copy of all pixels, large filters of few pixels one of their own: for that of the images' gradient, oneDNN needs
// none.
bool plain_pays(int64_t depth, int64_t columns, int64_t pixels) {
  return depth >= 32 && depth <= kDeepest && columns >= 32 && depth * columns <= kDeepest * pixels;
}
bool strassen_pays(int64_t depth, int64_t columns, int64_t pixels) { return Strassen::takes(depth, columns) && pixels >= kFewestPixels; }

// f(Plain or Strassen type)
template <class F>
void with_way(int64_t depth, int64_t columns, int64_t pixels, F&& f) {
  if (strassen_pays(depth, columns, pixels)) f(std::type_identity<Strassen>());
  else f(std::type_identity<Plain>());
}

}  // namespace

bool fits_frozen(const Shape& w, const Shape& y, const Window& window, DType type) {
  return own_product(w, window, type) && plain_pays(w[3], w[0], pixels_of(y));
}

bool fits(const Shape& w, const Shape& y, const Window& window, DType type) {
  return own_product(w, window, type) && (plain_pays(w[3], w[0], pixels_of(y)) || strassen_pays(w[3], w[0], pixels_of(y)));
}

bool fits_dx(const Shape& w, const Shape& dy, const Window& window, DType type) {
  const int64_t depth = w[0], columns = w[3], pixels = pixels_of(dy);
  if (!own_product(w, window, type) || window.stride > 1) return false;
  return plain_pays(depth, columns, pixels) || (strassen_pays(depth, columns, pixels) && depth * columns <= kDeepest * pixels);
}

void conv2d_frozen(Context& context, In x, In w, Out y, Window window, const Epilogue& epilogue, FilterOrder* order) {
  multiply<Plain>(context, Pixels(x, y.shape, window.stride), w.as<float>(), w.shape[3], 1, y, epilogue, order, nullptr);
}

void conv2d(Context& context, In x, In w, Out y, Window window) {
  const Pixels pixels(x, y.shape, window.stride);
  with_way(pixels.channels, y.shape[3], pixels_of(y.shape), [&](auto way) {
    multiply<typename decltype(way)::type>(context, pixels, w.as<float>(), w.shape[3], 1, y, {}, nullptr, nullptr);
  });
}

void conv2d_stats(Context& context, In x, In w, Out y, Out mean, Out variance, Window window) {
  const Pixels pixels(x, y.shape, window.stride);
  const int64_t groups = mean.shape[0], k = y.shape[3];
  with_way(pixels.channels, k, pixels_of(y.shape), [&](auto way) {
    using Way = typename decltype(way)::type;
    MomentSums sums(groups, k, round_up(k, kPanelColumns), Product<Way>::chunks_of(y.shape, pixels.channels, groups));
    sums.memory = static_cast<float*>(context.scratch(sums.floats() * 4, kSumSlot));
    multiply<Way>(context, pixels, w.as<float>(), w.shape[3], 1, y, {}, nullptr, &sums);
    combine(context, sums, mean, variance);
  });
}

void conv2d_dx(Context& context, In dy, In w, In onto, Out dx, const NormSource& source) {
  const Pixels pixels(dy, dx.shape, 1);
  const int64_t c = dx.shape[3];
  with_way(pixels.channels, c, pixels_of(dx.shape), [&](auto way) {
    using Way = typename decltype(way)::type;
    const Epilogue epilogue{{}, onto, false};
    if (!source) return multiply<Way>(context, pixels, w.as<float>(), 1, c, dx, epilogue, nullptr, nullptr);
    const int64_t groups = source.norm.mean.shape[0];
    MomentSums sums(groups, c, round_up(c, kPanelColumns), Product<Way>::chunks_of(dx.shape, pixels.channels, groups));
    sums.memory = static_cast<float*>(context.scratch((sums.floats() + groups * Normalize::kRows * sums.padded) * 4, kSumSlot));
    float* normalize = sums.memory + sums.floats();
    Normalize::prepare(source.norm, sums.padded, normalize);
    multiply<Way>(context, pixels, w.as<float>(), 1, c, dx, epilogue, nullptr, &sums, source, normalize);
    add_up(context, sums, source.sums);
  });
}

}  // namespace plumage::cpu::one_pixel
