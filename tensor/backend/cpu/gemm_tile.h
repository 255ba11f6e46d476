// The inner kernel of the own matrix products: a tile of sums kept in registers. For gemm.cpp and one_pixel.cpp.
#pragma once
#include "tensor/backend/cpu/gemm.h"

namespace plumage::cpu {

/// A tile of sums, kVectors a row: two, or one where there are few columns.
template <int64_t kRows, int64_t kVectors = 2> using Tile = V[kRows][kVectors];
using Sums = Tile<kPanelRows>;

/// sums += rows a[i * row + l * step] times panel of b, over l < depth. Three rows from each pointer are
/// addressed without further registers.
template <bool kAhead = false, bool kAheadRows = false, int64_t kRows, int64_t kVectors>
PLUMAGE_INLINE void accumulate(int64_t depth, const float* a, int64_t row, int64_t step, const float* b, Tile<kRows, kVectors>& sums,
                               Ahead ahead = {}, AheadRows ahead_rows = {}) {
  const float *a0 = a, *a1 = a + (kRows > 3 ? 3 : 0) * row, *a2 = a + (kRows > 6 ? 6 : 0) * row, *a3 = a + (kRows > 9 ? 9 : 0) * row;
  for (int64_t l = 0; l < depth; ++l, b += kPanelColumns) {
    V b0 = load(b), b1 = kVectors > 1 ? load(b + kLanes) : V{};
    if constexpr (kAhead) __builtin_prefetch(ahead.at, 0, 2), ahead.at += ahead.step;
    if constexpr (kAheadRows) {
      __builtin_prefetch(ahead_rows.at, 0, 2), __builtin_prefetch(ahead_rows.at + 64, 0, 2);
      ahead_rows.at += l + 1 < ahead_rows.rows ? ahead_rows.step : 0;
    }
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      const float* from = i < 3 ? a0 : i < 6 ? a1 : i < 9 ? a2 : a3;
      V x = splat(from[(i % 3) * row]);
      sums[i][0] += x * b0;
      if constexpr (kVectors > 1) sums[i][1] += x * b1;
    }
    a0 += step;
    a1 += step;
    a2 += step;
    a3 += step;
  }
}

}  // namespace plumage::cpu
