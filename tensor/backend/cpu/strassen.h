// Strassen's product: both factors and the result are cut into two by two, and seven products of half the depth take the place of
// eight (Strassen 1969). Here for a tile of 2 kPanelRows x 2 kPanelColumns sums, so that what is added up beside the products stays
// in the first cache.
//   M0 = (A11 + A22)(B11 + B22)   M1 = (A21 + A22) B11   M2 = A11 (B12 - B22)   M3 = A22 (B21 - B11)   M4 = (A11 + A12) B22
//   M5 = (A21 - A11)(B11 + B12)   M6 = (A12 - A22)(B21 + B22)
//   C11 = M0 + M3 - M4 + M6   C12 = M2 + M4   C21 = M1 + M3   C22 = M0 - M1 + M2 + M5
// Numbers of one row of A reach the results of its partner row by rounding alone, unless they are not finite.
#pragma once
#include "tensor/backend/cpu/gemm_tile.h"

namespace plumage::cpu::strassen {

constexpr int kProducts = 7;
constexpr int64_t kRows = 2 * kPanelRows, kColumns = 2 * kPanelColumns;

/// The left factors of the products, from corresponding vectors of A's quarters. f(i, factor of product i).
template <class F>
PLUMAGE_INLINE void left_factors(V a11, V a12, V a21, V a22, F&& f) {
  f(0, a11 + a22);
  f(1, a21 + a22);
  f(2, a11);
  f(3, a22);
  f(4, a11 + a12);
  f(5, a21 - a11);
  f(6, a12 - a22);
}
/// The right factors, likewise.
template <class F>
PLUMAGE_INLINE void right_factors(V b11, V b12, V b21, V b22, F&& f) {
  f(0, b11 + b22);
  f(1, b11);
  f(2, b12 - b22);
  f(3, b21 - b11);
  f(4, b22);
  f(5, b11 + b12);
  f(6, b21 + b22);
}

/// The left and right factors in memory: element (i, l) of left factor p is left[p].data[i * left[p].row + l * step], the right ones
/// are panels, [product][half][kPanelColumns]. ahead[p]: what product p brings in meanwhile, a place for each of its depths.
struct Left { const float* data; int64_t row; };
struct Factors {
  int64_t half;  // depths of a factor
  Left left[kProducts];
  const float* right;
  Ahead ahead[kProducts];
  AheadRows ahead_rows[kProducts];  // if asked for, likewise

  template <bool kAheadRows, int64_t kTall>
  PLUMAGE_INLINE void product(int p, int64_t step, Tile<kTall>& m) const {
    accumulate<true, kAheadRows>(half, left[p].data, left[p].row, step, right + p * half * kPanelColumns, m, ahead[p], ahead_rows[p]);
  }
};

/// settle(i, j, C) takes the quarters of the result, the upper before the lower ones; kTall rows each.
template <int64_t kTall, bool kAheadRows = false, class Settle>
PLUMAGE_INLINE void multiply(const Factors& factors, int64_t step, Settle&& settle) {
  using Sums = Tile<kTall>;
  alignas(64) Sums c11, c12, c21, c22;
  auto each = [](auto&& f) {
#pragma GCC unroll 12
    for (int i = 0; i < kTall; ++i) f(i, 0), f(i, 1);
  };
  {
    Sums m = {};
    factors.product<kAheadRows>(0, step, m);
    each([&](int i, int h) { c11[i][h] = c22[i][h] = m[i][h]; });
  }
  {
    Sums m = {};
    factors.product<kAheadRows>(4, step, m);
    each([&](int i, int h) { c12[i][h] = m[i][h], c11[i][h] -= m[i][h]; });
  }
  {
    Sums m = {};
    factors.product<kAheadRows>(2, step, m);
    each([&](int i, int h) { c12[i][h] += m[i][h], c22[i][h] += m[i][h]; });
  }
  settle(0, 1, c12);
  {
    Sums m = {};
    factors.product<kAheadRows>(3, step, m);
    each([&](int i, int h) { c21[i][h] = m[i][h], c11[i][h] += m[i][h]; });
  }
  {
    Sums m = {};
    factors.product<kAheadRows>(6, step, m);
    each([&](int i, int h) { c11[i][h] += m[i][h]; });
  }
  settle(0, 0, c11);
  {
    Sums m = {};
    factors.product<kAheadRows>(1, step, m);
    each([&](int i, int h) { c21[i][h] += m[i][h], c22[i][h] -= m[i][h]; });
  }
  settle(1, 0, c21);
  {
    Sums m = {};
    factors.product<kAheadRows>(5, step, m);
    each([&](int i, int h) { c22[i][h] += m[i][h]; });
  }
  settle(1, 1, c22);
}

}  // namespace plumage::cpu::strassen
