// Goto's matrix product: panels of b (kDepth x kWide) and of a (kTall x kDepth) are packed into the order in which
// the inner kernel (gemm_tile.h) reads them; it keeps kPanelRows x kPanelColumns sums in registers. bf16 becomes f32 in the packing.
#include "tensor/backend/cpu/gemm_tile.h"

#include <type_traits>

namespace plumage::cpu {
namespace {

constexpr int64_t kDepth = 256, kTall = 20 * kPanelRows, kWide = 64 * kPanelColumns;

// In registers: rows become columns by exchanging the off-diagonal quarters of ever larger squares.
PLUMAGE_INLINE void transpose(V (&v)[kLanes]) {
#pragma GCC unroll 4
  for (int step = 1; step < kLanes; step *= 2) {
    VI upper, lower;
    for (int i = 0; i < kLanes; ++i) {
      upper[i] = i & step ? kLanes + i - step : i;
      lower[i] = i & step ? kLanes + i : i + step;
    }
#pragma GCC unroll 16
    for (int r = 0; r < kLanes; ++r) {
      if (r & step) continue;
      V a = v[r], b = v[r + step];
      v[r] = __builtin_shuffle(a, b, upper);
      v[r + step] = __builtin_shuffle(a, b, lower);
    }
  }
}

// One panel of rows that run along the depth: squares of kLanes x kLanes are turned. A store may spill over into the
// places of the next l, which are written after it; the last one must not.
template <class T>
void pack_turned(int64_t rows, int64_t depth, const T* from, int64_t row, int64_t unit, float* to) {
  for (int64_t i = 0; i < unit; i += kLanes) {
    int64_t n = std::clamp<int64_t>(rows - i, 0, kLanes), width = std::min<int64_t>(unit - i, kLanes);
    for (int64_t l = 0; l < depth; l += kLanes) {
      int64_t m = std::min<int64_t>(kLanes, depth - l);
      V square[kLanes];
      for (int64_t r = 0; r < kLanes; ++r) square[r] = r < n ? load_n(from + (i + r) * row + l, m) : V{};
      transpose(square);
      for (int64_t r = 0; r < m; ++r) {
        bool whole = width == kLanes || (i == 0 && l + r + 1 < depth);
        store_n(to + (l + r) * unit + i, square[r], whole ? kLanes : width);
      }
    }
  }
}

template <int64_t kRows, int64_t kVectors>
PLUMAGE_INLINE void put_tile(const Tile<kRows, kVectors>& sums, float* c, int64_t ldc, int64_t m, int64_t n, bool add) {
  constexpr int64_t kWidth = kVectors * kLanes;
  if (m == kRows && n == kWidth) {
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int h = 0; h < kVectors; ++h) {
        float* to = c + i * ldc + h * kLanes;
        store(to, add ? sums[i][h] + load(to) : sums[i][h]);
      }
    return;
  }
  float tile[kRows * kWidth];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i)
    for (int h = 0; h < kVectors; ++h) store(tile + i * kWidth + h * kLanes, sums[i][h]);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) c[i * ldc + j] = tile[i * kWidth + j] + (add ? c[i * ldc + j] : 0.f);
}

// Rows a[i * row + l * step], the first kRows of them, times a panel, its first kVectors vectors.
template <int64_t kRows, int64_t kVectors>
void multiply(int64_t depth, const float* a, int64_t row, int64_t step, const float* b, float* c, int64_t ldc, int64_t m, int64_t n, bool add,
              Ahead ahead) {
  if (!ahead.at) ahead.at = reinterpret_cast<const char*>(b);
  Tile<kRows, kVectors> sums = {};
  accumulate<true>(depth, a, row, step, b, sums, ahead);
  put_tile<kRows, kVectors>(sums, c, ldc, m, n, add);
}

}  // namespace

template <class T>
void pack_panels(int64_t rows, int64_t depth, const T* from, int64_t row, int64_t step, int64_t unit, float* to) {
  for (int64_t first = 0; first < rows; first += unit, to += unit * depth) {
    int64_t n = std::min(unit, rows - first);
    const T* p = from + first * row;
    if (row != 1) {
      pack_turned(n, depth, p, row, unit, to);
      continue;
    }
    if (n < unit) std::memset(to, 0, size_t(unit * depth) * sizeof(float));
    for (int64_t l = 0; l < depth; ++l)
      for_vectors(0, n, [&](int64_t i, int64_t count) { store_n(to + l * unit + i, load_n(p + l * step + i, count), count); });
  }
}

namespace {

// A product of m rows of a, n columns of b, by the smallest tile that holds them: neither is always a multiple of a whole one's.
void multiply_tile(int64_t depth, const float* a, int64_t row, int64_t step, const float* b, float* c, int64_t ldc, int64_t m, int64_t n,
                   bool add, Ahead ahead) {
  constexpr int64_t kThird = kPanelRows / 3;
  auto with = [&](auto vectors) {
    constexpr int64_t kVectors = decltype(vectors)::value;
    auto f = m <= kThird ? multiply<kThird, kVectors> : m <= 2 * kThird ? multiply<2 * kThird, kVectors> : multiply<kPanelRows, kVectors>;
    f(depth, a, row, step, b, c, ldc, m, n, add, ahead);
  };
  if (n <= kLanes) with(std::integral_constant<int64_t, 1>());
  else with(std::integral_constant<int64_t, 2>());
}

}  // namespace

void multiply_panels(int64_t depth, const float* a, int64_t a_step, const float* b, float* c, int64_t ldc, int64_t m, int64_t n,
                     bool add, Ahead ahead) {
  multiply_tile(depth, a, 1, a_step, b, c, ldc, m, n, add, ahead);
}

void multiply_rows(int64_t depth, const float* a, int64_t row, const float* b, float* c, int64_t ldc, int64_t m, int64_t n, bool add,
                   Ahead ahead) {
  multiply_tile(depth, a, row, 1, b, c, ldc, m, n, add, ahead);
}

int64_t gemm_buffer_size() { return kTall * kDepth + kWide * kDepth; }

template <class T>
void gemm_serial(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, float* c, int64_t ldc, bool add, float* buffer) {
  float *packed_a = buffer, *packed_b = buffer + kTall * kDepth;
  if (k == 0 && !add)
    for (int64_t i = 0; i < m; ++i) std::fill_n(c + i * ldc, n, 0.f);
  for (int64_t j0 = 0; j0 < n; j0 += kWide) {
    int64_t wide = std::min(kWide, n - j0);
    for (int64_t l0 = 0; l0 < k; l0 += kDepth) {
      int64_t depth = std::min(kDepth, k - l0);
      bool onto = add || l0 > 0;
      pack_panels(wide, depth, b.data + l0 * b.row + j0 * b.column, b.column, b.row, kPanelColumns, packed_b);
      for (int64_t i0 = 0; i0 < m; i0 += kTall) {
        int64_t tall = std::min(kTall, m - i0);
        pack_panels(tall, depth, a.data + i0 * a.row + l0 * a.column, a.row, a.column, kPanelRows, packed_a);
        for (int64_t j = 0; j < wide; j += kPanelColumns)
          for (int64_t i = 0; i < tall; i += kPanelRows)
            multiply_panels(depth, packed_a + i * depth, kPanelRows, packed_b + j * depth, c + (i0 + i) * ldc + j0 + j, ldc,
                   std::min(kPanelRows, tall - i), std::min(kPanelColumns, wide - j), onto);
      }
    }
  }
}

template <class T>
void gemm(Context& context, int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, float* c, int64_t ldc, bool add) {
  int64_t one = round_up(gemm_buffer_size(), 16);
  auto* buffers = static_cast<float*>(context.scratch(context.threads() * one * int64_t(sizeof(float)), 0));
  // The longer side of c is cut; each part is worth a region only above some 2^20 multiply-adds.
  bool by_columns = n >= m;
  int64_t unit = by_columns ? kPanelColumns : kPanelRows, long_side = by_columns ? n : m;
  int64_t grain = std::max(unit, (int64_t{1} << 18) / std::max<int64_t>(1, std::min(m, n) * k));
  parallel(
      context, long_side, grain,
      [&](int64_t begin, int64_t end) {
        float* buffer = buffers + omp_get_thread_num() * one;
        if (by_columns)
          gemm_serial(m, end - begin, k, a, {b.data + begin * b.column, b.row, b.column}, c + begin, ldc, add, buffer);
        else
          gemm_serial(end - begin, n, k, {a.data + begin * a.row, a.row, a.column}, b, c + begin * ldc, ldc, add, buffer);
      },
      unit, 1);  // each part packs the shorter side anew
}

template void pack_panels(int64_t, int64_t, const float*, int64_t, int64_t, int64_t, float*);
template void pack_panels(int64_t, int64_t, const bf16*, int64_t, int64_t, int64_t, float*);
template void gemm_serial(int64_t, int64_t, int64_t, Matrix<float>, Matrix<float>, float*, int64_t, bool, float*);
template void gemm_serial(int64_t, int64_t, int64_t, Matrix<bf16>, Matrix<bf16>, float*, int64_t, bool, float*);
template void gemm(Context&, int64_t, int64_t, int64_t, Matrix<float>, Matrix<float>, float*, int64_t, bool);
template void gemm(Context&, int64_t, int64_t, int64_t, Matrix<bf16>, Matrix<bf16>, float*, int64_t, bool);

}  // namespace plumage::cpu
