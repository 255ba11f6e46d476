// The own matrix product: blocked, packed, vectorised. It serves matmul and convolution where oneDNN is not built in
// or has no fast kernel.
#pragma once
#include "tensor/backend/cpu/parallel.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu {

/// A matrix in memory: element (i, j) is data[i * row + j * column]; one of the two steps is 1.
template <class T>
struct Matrix {
  const T* data;
  int64_t row, column;
};

/// Memory to bring into the second cache meanwhile: at, at + step, ..., a place for each depth.
struct Ahead {
  const char* at = nullptr;
  int64_t step = 0;
  /// The share of one of `calls` in a range of `bytes`, each `depth` deep.
  static Ahead share(const float* range, int64_t bytes, int64_t call, int64_t calls, int64_t depth) {
    int64_t begin = bytes * call / calls, end = bytes * (call + 1) / calls;
    return {reinterpret_cast<const char*>(range) + begin, (end - begin + depth - 1) / depth};
  }
};

/// Rows that lie apart, likewise: two lines at `at`, at `at + step`, and so on, `rows` of them.
struct AheadRows {
  const char* at = nullptr;
  int64_t step = 0, rows = 0;
};

/// A panel is `unit` rows of a matrix in the order in which the inner kernel reads them, [depth][unit], zeros beyond the
/// last row: kPanelRows rows of a, or kPanelColumns columns of b.
constexpr int64_t kPanelRows = kVectorBytes == 64 ? 12 : 6;  // with two vectors a row: 24 of 32, or 12 of 16 registers
constexpr int64_t kPanelColumns = 2 * kLanes;
/// to[panel][l][i] = from[(panel * unit + i) * row + l * step], for all panels of `rows` rows; row or step is 1.
template <class T>
void pack_panels(int64_t rows, int64_t depth, const T* from, int64_t row, int64_t step, int64_t unit, float* to);
/// c[m, n] = panel of a times panel of b (+ c if `add`), m <= kPanelRows, n <= kPanelColumns. A panel of a may be part
/// of a wider one: `a_step` is the distance between its depths.
void multiply_panels(int64_t depth, const float* a, int64_t a_step, const float* b, float* c, int64_t ldc, int64_t m, int64_t n,
                     bool add, Ahead ahead = {});
/// The same with a's rows as they lie in memory, `row` apart and along the depth; kPanelRows of them must be readable.
/// Distances that are multiples of 4 KB would fight for the same lines of the cache.
void multiply_rows(int64_t depth, const float* a, int64_t row, const float* b, float* c, int64_t ldc, int64_t m, int64_t n, bool add,
                   Ahead ahead);

/// The op of that name, for other kernels. Uses scratch slots 0, 1 and 3.
void matmul(Context& context, In a, In b, In bias, Out y, bool transpose_a, bool transpose_b);

/// y[i] = op(a[i]) op(b[i]) for i < batch; [m, k] x [k, n] after the transposes.
struct Product {
  int64_t batch, m, n, k;
  bool transpose_a, transpose_b;
};
/// False, and nothing is done, where oneDNN is not built in.
namespace onednn { bool matmul(Context& context, In a, In b, Out y, const Product& product); }

/// Floats of packing memory that one thread needs.
int64_t gemm_buffer_size();

/// c[m, n] = a[m, k] b[k, n] (+ c if `add`), on the calling thread; c's rows are ldc long. Sums in f32, over k in order.
template <class T>
void gemm_serial(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, float* c, int64_t ldc, bool add, float* buffer);

/// The same on all threads; each computes a part of c. Uses scratch slot 0.
template <class T>
void gemm(Context& context, int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, float* c, int64_t ldc, bool add);

}  // namespace plumage::cpu
