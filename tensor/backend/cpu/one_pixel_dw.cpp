// Gradient of large layers' 1x1 filters, by Strassen's algorithm:
//   dw[k, c] = sum over pixels of dy[pixel, k] x[pixel, c]
// Each thread adds up a region of dw that stays in its second cache over blocks of pixels, and brings in the next block meanwhile.
// Next: onednn_conv.cpp.
#include "tensor/backend/cpu/one_pixel_tiles.h"
#include "tensor/backend/cpu/strassen.h"

namespace plumage::cpu::one_pixel {
namespace {

using strassen::kColumns, strassen::kProducts, strassen::kRows;
constexpr int kPackSlot = 0, kSumSlot = 1;
constexpr int64_t kWidest = 256, kRegion = 131072;  // channels and sums of a region, about
constexpr int64_t kBlock = 128;                    // pixels: half of them are the depth of a factor
constexpr int64_t kTasks = 8;
constexpr int64_t kFewestWeights = 131072;         // of fewer, packing eats what seven products save
constexpr int64_t kThird = kPanelRows / 3;         // rows of dw come in tiles of one, two or three thirds
constexpr int64_t kLeft = round_up(kPanelRows, kLanes);  // floats of a depth of a left factor: whole vectors

class FilterGradient {
 public:
  FilterGradient(In x, In dy, Out dw, int64_t stride)
      : x_(x, dy.shape, stride), dy_(dy.as<float>()), dw_(dw.as<float>()), pixels_(pixels_of(dy.shape)), k_(dw.shape[0]),
        c_(dw.shape[3]), wide_(pieces(c_, kWidest, kColumns)), tall_(pieces(k_, kRegion / wide_.size, kRows)),
        slices_(pixels_, kBlock, std::max<int64_t>(kTasks / (wide_.number * tall_.number), 1)) {}

  void run(Context& context) const {
    const int64_t regions = wide_.number * tall_.number, region = tall_.size * wide_.size;
    auto* packs = static_cast<float*>(context.scratch(context.threads() * (right_floats() + left_floats()) * 4, kPackSlot));
    auto* sums = static_cast<float*>(context.scratch(regions * slices_.number * region * 4, kSumSlot));
    parallel(context, regions * slices_.number, 1, [&](int64_t first, int64_t last) {
      float* pack = packs + omp_get_thread_num() * (right_floats() + left_floats());
      for (int64_t task = first; task < last; ++task)
        add_up(task / regions, task % regions % tall_.number, task % regions / tall_.number, sums + task * region, pack);
    });
    parallel_rows(context, k_, slices_.number * c_, [&](int64_t first, int64_t last) {
      for (int64_t k = first; k < last; ++k)
        for (int64_t c = 0; c < c_; c += kLanes) {
          const int64_t of_region = c / wide_.size * tall_.number + k / tall_.size;
          const float* from = sums + of_region * region + k % tall_.size * wide_.size + c % wide_.size;
          V sum = load(from);
          for (int64_t slice = 1; slice < slices_.number; ++slice) sum += load(from + slice * regions * region);
          store(dw_ + k * c_ + c, sum);
        }
    });
  }

 private:
  static Chunks pieces(int64_t count, int64_t most, int64_t unit) {
    return Chunks(count, round_up(ceil_div(count, ceil_div(count, most)), unit), count);
  }
  int64_t right_floats() const { return kProducts * kBlock / 2 * wide_.size / 2; }
  static int64_t left_floats() { return kProducts * kBlock / 2 * kLeft; }

  // Rows and columns of a region over the pixels of a slice: sums [tall][wide_.size].
  void add_up(int64_t slice, int64_t row, int64_t column, float* sums, float* right) const {
    const int64_t k = tall_.begin(row), tall = tall_.end(row) - k, c = wide_.begin(column), wide = wide_.end(column) - c;
    const int64_t tiles = ceil_div(tall, kRows) * (wide / kColumns);
    float* left = right + right_floats();
    for (int64_t m = slices_.begin(slice); m < slices_.end(slice); m += kBlock) {
      const int64_t pixels = std::min(kBlock, slices_.end(slice) - m), half = ceil_div(pixels, 2), next = m + pixels;
      const Expected expected{x_, dy_ + next * k_ + k, k_, c, next, std::min(kBlock, slices_.end(slice) - next), tall * 4, wide * 4, tiles};
      pack_right(m, pixels, c, wide, right);
      int64_t tile = 0;
      for (int64_t i = 0; i < tall; i += kRows) {
        const int64_t high = std::min(kRows, tall - i);
        auto multiply = high <= 2 * kThird ? add_tile<kThird> : high <= 4 * kThird ? add_tile<2 * kThird> : add_tile<kPanelRows>;
        const int64_t below = high <= 2 * kThird ? kThird : high <= 4 * kThird ? 2 * kThird : kPanelRows;
        pack_left(m, pixels, k + i, below, left);
        for (int64_t j = 0; j < wide; j += kColumns, ++tile) {
          strassen::Factors factors{half, {}, right + j / 2 * kProducts * half, {}};
          for (int p = 0; p < kProducts; ++p) {
            factors.left[p] = {left + p * half * kLeft, 1};
            factors.ahead[p] = expected.share(tile * kProducts + p, half, left);
          }
          multiply(factors, sums + i * wide_.size + j, wide_.size, m > slices_.begin(slice));
        }
      }
    }
  }

  // The next pixels' rows of x and of dy at the region's channels: each product brings in one of them, or none.
  struct Expected {
    const Pixels& x;
    const float* dy;
    int64_t k, c, first, pixels, dy_bytes, x_bytes, tiles;
    Ahead share(int64_t product, int64_t depth, const float* otherwise) const {
      const int64_t products = tiles * kProducts, row = product * 2 * pixels / products;
      if (pixels <= 0 || row == (product + 1) * 2 * pixels / products) return {reinterpret_cast<const char*>(otherwise), 0};
      if (row < pixels) return Ahead::share(x.row(first + row) + c, x_bytes, 0, 1, depth);
      return Ahead::share(dy + (row - pixels) * k, dy_bytes, 0, 1, depth);
    }
  };

  // The first half of the pixels above the second, which may be one fewer.
  void pack_right(int64_t m, int64_t pixels, int64_t c, int64_t wide, float* right) const {
    const int64_t half = ceil_div(pixels, 2);
    for (int64_t j = 0; j < wide; j += kColumns, right += kProducts * half * kPanelColumns)
      for (int64_t l = 0; l < half; ++l) {
        const float* upper = x_.row(m + l) + c + j;
        const float* lower = half + l < pixels ? x_.row(m + half + l) + c + j : nullptr;
        for (int64_t i = 0; i < kPanelColumns; i += kLanes) {
          V b21 = lower ? load(lower + i) : V{}, b22 = lower ? load(lower + kPanelColumns + i) : V{};
          strassen::right_factors(load(upper + i), load(upper + kPanelColumns + i), b21, b22,
                                  [&](int p, V v) { store(right + (p * half + l) * kPanelColumns + i, v); });
        }
      }
  }
  // Filters k.., `below` above `below`; what is read beyond them has no part in the sums.
  void pack_left(int64_t m, int64_t pixels, int64_t k, int64_t below, float* left) const {
    const int64_t half = ceil_div(pixels, 2);
    auto row = [&](int64_t pixel, int64_t from) {
      return k_ - from >= kLanes ? load(dy_ + pixel * k_ + from) : load_n(dy_ + pixel * k_ + from, std::max<int64_t>(k_ - from, 0));
    };
    for (int64_t l = 0; l < half; ++l)
      for (int64_t i = 0; i < kLeft; i += kLanes) {
        const bool both = half + l < pixels;
        V a12 = both ? row(m + half + l, k + i) : V{}, a22 = both ? row(m + half + l, k + below + i) : V{};
        strassen::left_factors(row(m + l, k + i), a12, row(m + l, k + below + i), a22,
                               [&](int p, V v) { store(left + (p * half + l) * kLeft + i, v); });
      }
  }

  template <int64_t kTall>
  static void add_tile(const strassen::Factors& factors, float* sums, int64_t row, bool add) {
    for (int64_t i = 0; i < 2 * kTall; ++i)
      for (int64_t j = 0; j < kColumns; j += 16) __builtin_prefetch(sums + i * row + j, 1);
    strassen::multiply<kTall>(factors, kLeft, [&](int down, int across, const Tile<kTall>& tile) {
      float* to = sums + down * kTall * row + across * kPanelColumns;
#pragma GCC unroll 12
      for (int i = 0; i < kTall; ++i)
        for (int h = 0; h < 2; ++h) {
          float* at = to + i * row + h * kLanes;
          store(at, add ? load(at) + tile[i][h] : tile[i][h]);
        }
    });
  }

  const Pixels x_;
  const float* dy_;
  float* dw_;
  int64_t pixels_, k_, c_;
  Chunks wide_, tall_, slices_;
};

}  // namespace

bool fits_dw(const Shape& w, const Shape& dy, const Window& window, DType type) {
  const bool whole_tiles = w[3] % kColumns == 0 && w[0] % (2 * kThird) == 0;
  return own_product(w, window, type) && whole_tiles && w[0] >= 256 && w[3] >= 256 && w[0] * w[3] >= kFewestWeights && pixels_of(dy) >= kFewestPixels;
}

void conv2d_dw(Context& context, In x, In dy, Out dw, Window window) { FilterGradient(x, dy, dw, window.stride).run(context); }

}  // namespace plumage::cpu::one_pixel
