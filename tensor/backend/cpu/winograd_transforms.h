// Winograd's F(2x2, 3x3), F(4x4, 3x3), F(5x5, 3x3) and their like (Lavin and Gray 2016) in one dimension: the matrices B' (input), A'
// (output), G (filter) and, for the gradient of the filters, A and G', applied to vectors of channels. Tiles of kOut pixels, kStep apart
// in the image that is read, need kPatch pixels each, which become kIn points, as the kTaps of a filter. `both` applies one along the
// columns and then along the rows. Next: winograd_tiles.h, winograd.cpp.
#pragma once
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu::winograd {

/// Points 0, 1, -1, infinity: 16 products for 4 outputs, where the direct way needs 36. Rounds nearly as the direct way.
struct F2 {
  static constexpr int kOut = 2, kTaps = 3, kIn = 4, kStep = kOut, kPatch = kIn;
  PLUMAGE_INLINE static void input(const V (&d)[4], V (&t)[4]) {
    t[0] = d[0] - d[2];
    t[1] = d[1] + d[2];
    t[2] = d[2] - d[1];
    t[3] = d[1] - d[3];
  }
  PLUMAGE_INLINE static void output(const V (&m)[4], V (&y)[2]) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] - m[3];
  }
  PLUMAGE_INLINE static void output_gradient(const V (&y)[2], V (&m)[4]) {
    m[0] = y[0];
    m[1] = y[0] + y[1];
    m[2] = y[0] - y[1];
    m[3] = -y[1];
  }
  PLUMAGE_INLINE static void filter(const V (&g)[3], V (&u)[4]) {
    V even = 0.5f * (g[0] + g[2]), odd = 0.5f * g[1];
    u[0] = g[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = g[2];
  }
  PLUMAGE_INLINE static void filter_gradient(const V (&u)[4], V (&g)[3]) {
    V even = 0.5f * (u[1] + u[2]), odd = 0.5f * (u[1] - u[2]);
    g[0] = u[0] + even;
    g[1] = odd;
    g[2] = even + u[3];
  }
};

/// Points 0, a, -a, b, -b, infinity: 36 products for 16 outputs, where the direct way needs 144. With a = 2/3 and b = 1/a the
/// rounding error is 3 times F2's, half of what the usual points 1 and 2 give (bounded by tests/tensor/cpu_kernels_test.cpp).
struct F4 {
  static constexpr int kOut = 4, kTaps = 3, kIn = 6, kStep = kOut, kPatch = kIn;
  static constexpr float a = 2.f / 3, b = 3.f / 2, aa = 4.f / 9, bb = 9.f / 4, aaa = 8.f / 27, bbb = 27.f / 8;
  static constexpr float ga = float(1 / (2. * 4 / 9 * (4. / 9 - 9. / 4))), gb = float(1 / (2. * 9 / 4 * (9. / 4 - 4. / 9)));
  PLUMAGE_INLINE static void input(const V (&d)[6], V (&t)[6]) {
    V even_a = d[4] - bb * d[2], odd_a = a * d[3] - b * d[1], even_b = d[4] - aa * d[2], odd_b = b * d[3] - a * d[1];
    t[0] = d[0] - (aa + bb) * d[2] + d[4];
    t[1] = even_a + odd_a;
    t[2] = even_a - odd_a;
    t[3] = even_b + odd_b;
    t[4] = even_b - odd_b;
    t[5] = d[1] - (aa + bb) * d[3] + d[5];
  }
  PLUMAGE_INLINE static void output(const V (&m)[6], V (&y)[4]) {
    V even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    y[0] = m[0] + even_a + even_b;
    y[1] = a * odd_a + b * odd_b;
    y[2] = aa * even_a + bb * even_b;
    y[3] = aaa * odd_a + bbb * odd_b + m[5];
  }
  PLUMAGE_INLINE static void output_gradient(const V (&y)[4], V (&m)[6]) {
    V even_a = y[0] + aa * y[2], odd_a = a * y[1] + aaa * y[3], even_b = y[0] + bb * y[2], odd_b = b * y[1] + bbb * y[3];
    m[0] = y[0];
    m[1] = even_a + odd_a;
    m[2] = even_a - odd_a;
    m[3] = even_b + odd_b;
    m[4] = even_b - odd_b;
    m[5] = y[3];
  }
  PLUMAGE_INLINE static void filter(const V (&g)[3], V (&u)[6]) {
    V even_a = ga * (g[0] + aa * g[2]), odd_a = ga * a * g[1], even_b = gb * (g[0] + bb * g[2]), odd_b = gb * b * g[1];
    u[0] = g[0];
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[2];
  }
  PLUMAGE_INLINE static void filter_gradient(const V (&u)[6], V (&g)[3]) {
    V even_a = ga * (u[1] + u[2]), odd_a = ga * (u[1] - u[2]), even_b = gb * (u[3] + u[4]), odd_b = gb * (u[3] - u[4]);
    g[0] = u[0] + even_a + even_b;
    g[1] = a * odd_a + b * odd_b;
    g[2] = aa * even_a + bb * even_b + u[5];
  }
};

/// p and its powers, and what the polynomials (p + x) (x^2 - s) (x^2 - t) and (p - x) (x^2 - s) (x^2 - t) are made of, s and t the
/// squares of the other points: sum and product of these, and 1 over the polynomials' values at p and at -p.
struct PointPair {
  float power[5], sum, product, weight;
  constexpr PointPair(double p, double s, double t)
      : power{1, float(p), float(p * p), float(p * p * p), float(p * p * p * p)}, sum(float(s + t)), product(float(s * t)),
        weight(float(1 / (2 * p * (p * p - s) * (p * p - t)))) {}
};

/// Points a, -a, b, -b, c, -c, infinity. F(5x5, 3x3): 49 products for 25 outputs, where the direct way needs 225; F(4x4, 4x4): for 16,
/// where it needs 256. Rounding error twice F4's; no points were found that give much less, and with 0 among them, which leaves one
/// without its partner, it is three times F4's.
template <int outputs, int taps>
struct SevenPoints {
  static constexpr int kOut = outputs, kTaps = taps, kIn = 7, kStep = kOut, kPatch = kIn;
  static_assert(kOut + kTaps - 1 == kIn && kOut <= 5 && kTaps <= 5);
  static constexpr double a = 1. / 3, b = 5. / 6, c = 9. / 5, aa = a * a, bb = b * b, cc = c * c;
  static constexpr PointPair pairs[3] = {{a, bb, cc}, {b, aa, cc}, {c, aa, bb}};

  PLUMAGE_INLINE static void input(const V (&d)[7], V (&t)[7]) {
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      const PointPair& q = pairs[i];
      V by_x = d[5] - q.sum * d[3] + q.product * d[1], by_p = q.power[1] * (d[4] - q.sum * d[2] + q.product * d[0]);
      t[2 * i] = by_p + by_x;
      t[2 * i + 1] = by_p - by_x;
    }
    t[6] = d[6] - float(aa + bb + cc) * d[4] + float(aa * bb + aa * cc + bb * cc) * d[2] - float(aa * bb * cc) * d[0];
  }
  PLUMAGE_INLINE static void output(const V (&m)[7], V (&y)[kOut]) { sums_by_powers<false>(m, y); }
  PLUMAGE_INLINE static void output_gradient(const V (&y)[kOut], V (&m)[7]) { values<false>(y, m); }
  PLUMAGE_INLINE static void filter(const V (&g)[kTaps], V (&u)[7]) { values<true>(g, u); }
  PLUMAGE_INLINE static void filter_gradient(const V (&u)[7], V (&g)[kTaps]) { sums_by_powers<true>(u, g); }

 private:
  // The values at the points, weighted or not, of the polynomial with these coefficients.
  template <bool weighted, int n>
  PLUMAGE_INLINE static void values(const V (&coefficient)[n], V (&value)[7]) {
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      const PointPair& q = pairs[i];
      V even = coefficient[0], odd = q.power[1] * coefficient[1];
#pragma GCC unroll 5
      for (int k = 2; k < n; ++k) (k % 2 ? odd : even) += q.power[k] * coefficient[k];
      if (weighted) even *= q.weight, odd *= q.weight;
      value[2 * i] = even + odd;
      value[2 * i + 1] = even - odd;
    }
    value[6] = coefficient[n - 1];
  }
  // Its transpose.
  template <bool weighted, int n>
  PLUMAGE_INLINE static void sums_by_powers(const V (&value)[7], V (&coefficient)[n]) {
#pragma GCC unroll 5
    for (int k = 0; k < n; ++k) coefficient[k] = k < n - 1 ? V{} : value[6];
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      const PointPair& q = pairs[i];
      V even = value[2 * i] + value[2 * i + 1], odd = value[2 * i] - value[2 * i + 1];
      if (weighted) even *= q.weight, odd *= q.weight;
#pragma GCC unroll 5
      for (int k = 0; k < n; ++k) coefficient[k] += q.power[k] * (k % 2 ? odd : even);
    }
  }
};
using F5 = SevenPoints<5, 3>;
using F4Of4 = SevenPoints<4, 4>;

/// Stride 2, padding 1: of two outputs the outer taps see every other pixel, which is F(2, 2) with points 0, 1 and infinity, and the
/// middle one the pixels between: 25 products for 4 outputs, where the direct way needs 36. Rounds as the direct way.
struct Strided {
  static constexpr int kOut = 2, kTaps = 3, kIn = 5, kStep = 4, kPatch = 5;
  PLUMAGE_INLINE static void input(const V (&d)[5], V (&t)[5]) {
    t[0] = d[0] - d[2];
    t[1] = d[2];
    t[2] = d[4] - d[2];
    t[3] = d[1];
    t[4] = d[3];
  }
  PLUMAGE_INLINE static void output(const V (&m)[5], V (&y)[2]) {
    y[0] = m[0] + m[1] + m[3];
    y[1] = m[1] + m[2] + m[4];
  }
  PLUMAGE_INLINE static void output_gradient(const V (&y)[2], V (&m)[5]) {
    m[0] = m[3] = y[0];
    m[1] = y[0] + y[1];
    m[2] = m[4] = y[1];
  }
  PLUMAGE_INLINE static void filter(const V (&g)[3], V (&u)[5]) {
    u[0] = g[0];
    u[1] = g[0] + g[2];
    u[2] = g[2];
    u[3] = u[4] = g[1];
  }
  PLUMAGE_INLINE static void filter_gradient(const V (&u)[5], V (&g)[3]) {
    g[0] = u[0] + u[1];
    g[1] = u[3] + u[4];
    g[2] = u[1] + u[2];
  }
};

/// Its images' gradient: pixels that only the middle tap saw, and those between, which both outer taps saw. The filters are turned.
struct StridedBack {
  static constexpr int kOut = 4, kTaps = 3, kIn = 5, kStep = 2, kPatch = 3;
  PLUMAGE_INLINE static void input(const V (&d)[3], V (&t)[5]) {
    t[0] = d[0] - d[1];
    t[1] = t[4] = d[1];
    t[2] = d[2] - d[1];
    t[3] = d[0];
  }
  PLUMAGE_INLINE static void output(const V (&m)[5], V (&y)[4]) {
    y[0] = m[3];
    y[1] = m[0] + m[1];
    y[2] = m[4];
    y[3] = m[1] + m[2];
  }
  PLUMAGE_INLINE static void filter(const V (&g)[3], V (&u)[5]) { Strided::filter(g, u); }
};

/// 3x3 at stride 1, padding 1, of a map seen doubled: two outputs of each pair are F(2, 3) with filters of taps that fall on one pixel
/// added up, g0, g1 + g2, 0 and 0, g0 + g1, g2. Both have the same product at point 1, one has none at infinity, the other none at 0:
/// 25 products for 16 outputs, where the direct way needs 144. Rounds nearly as the direct way.
struct Doubled {
  static constexpr int kOut = 4, kTaps = 3, kIn = 5, kStep = 2, kPatch = 4;
  PLUMAGE_INLINE static void input(const V (&d)[4], V (&t)[5]) {
    t[0] = d[0] - d[2];
    t[1] = d[1] + d[2];
    t[2] = t[3] = d[2] - d[1];
    t[4] = d[1] - d[3];
  }
  PLUMAGE_INLINE static void output(const V (&m)[5], V (&y)[4]) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] + m[3];
    y[2] = m[1] - m[2];
    y[3] = m[1] - m[3] - m[4];
  }
  PLUMAGE_INLINE static void output_gradient(const V (&y)[4], V (&m)[5]) {
    m[0] = y[0];
    m[1] = (y[0] + y[1]) + (y[2] + y[3]);
    m[2] = y[0] - y[2];
    m[3] = y[1] - y[3];
    m[4] = -y[3];
  }
  PLUMAGE_INLINE static void filter(const V (&g)[3], V (&u)[5]) {
    V all = 0.5f * (g[0] + g[1] + g[2]);
    u[0] = g[0];
    u[1] = all;
    u[2] = g[0] - all;
    u[3] = g[2] - all;
    u[4] = g[2];
  }
  PLUMAGE_INLINE static void filter_gradient(const V (&u)[5], V (&g)[3]) {
    V all = 0.5f * (u[1] - u[2] - u[3]);
    g[0] = u[0] + u[2] + all;
    g[1] = all;
    g[2] = u[3] + u[4] + all;
  }
};

/// Its images' gradient: at stride 2, of the sums of neighbours, since a pixel is seen by two. The filters are turned.
struct DoubledBack {
  static constexpr int kOut = 2, kTaps = 3, kIn = 5, kStep = 4, kPatch = 6;
  PLUMAGE_INLINE static void input(const V (&d)[6], V (&t)[5]) {
    V middle = d[2] + d[3];
    t[0] = d[0] + d[1] - middle;
    t[1] = middle;
    t[2] = d[4] + d[5] - middle;
    t[3] = d[1] + d[2];
    t[4] = d[3] + d[4];
  }
  PLUMAGE_INLINE static void output(const V (&m)[5], V (&y)[2]) { Strided::output(m, y); }
  PLUMAGE_INLINE static void filter(const V (&g)[3], V (&u)[5]) { Strided::filter(g, u); }
};

/// M x M' for the matrix M that `one` applies to a column: x(i, j) gives an element, y(i, j, element) takes one. Columns are read and
/// rows written one by one: what lies between is all that the registers do not hold.
template <int from, int to, class X, class Y>
PLUMAGE_INLINE void both(void (*one)(const V (&)[from], V (&)[to]), X&& x, Y&& y) {
  V half[to][from];
#pragma GCC unroll 7
  for (int j = 0; j < from; ++j) {
    V column[from], result[to];
#pragma GCC unroll 7
    for (int i = 0; i < from; ++i) column[i] = x(i, j);
    one(column, result);
#pragma GCC unroll 7
    for (int i = 0; i < to; ++i) half[i][j] = result[i];
  }
#pragma GCC unroll 7
  for (int i = 0; i < to; ++i) {
    V result[to];
    one(half[i], result);
#pragma GCC unroll 7
    for (int j = 0; j < to; ++j) y(i, j, result[j]);
  }
}

}  // namespace plumage::cpu::winograd
