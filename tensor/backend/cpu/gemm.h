// The own matrix product: blocked, packed, vectorised. It serves matmul and convolution where oneDNN is not built in
// or has no fast kernel.
#pragma once
#include "tensor/backend/cpu/parallel.h"

namespace plumage::cpu {

/// A matrix in memory: element (i, j) is data[i * row + j * column]; one of the two steps is 1.
template <class T>
struct Matrix {
  const T* data;
  int64_t row, column;
};

/// Floats of packing memory that one thread needs.
int64_t gemm_buffer_size();

/// c[m, n] = a[m, k] b[k, n] (+ c if `add`), on the calling thread; c's rows are ldc long. Sums in f32, over k in order.
template <class T>
void gemm_serial(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, float* c, int64_t ldc, bool add, float* buffer);

/// The same on all threads; each computes a part of c. Uses scratch slot 0.
template <class T>
void gemm(Context& context, int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, float* c, int64_t ldc, bool add);

}  // namespace plumage::cpu
