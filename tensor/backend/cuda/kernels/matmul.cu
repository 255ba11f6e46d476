// The plain matrix product: f64, and what cuBLASLt does not take (tensor/backend/cuda/matmul.cpp).
#include "tensor/backend/cuda/kernels/product.h"
#include "tensor/backend/cuda/plain.h"

namespace plumage::cuda::plain {
namespace {

/// Elements of matrices that lie one behind the other, transposed or not: the steps say so.
template <class T>
struct Matrices {
  const T* data;
  int64_t size, row_step, column_step;
  __device__ Real<T> operator()(int64_t batch, int64_t row, int64_t column) const {
    return Real<T>(data[batch * size + row * row_step + column * column_step]);
  }
};

template <class Y>
struct StoreMatrix {
  Y* data;
  const Y* bias;  // or null
  ProductSizes z;
  __device__ void operator()(int64_t batch, int64_t m, int64_t n, Real<Y> sum) const {
    data[(batch * z.M + m) * z.N + n] = Y(bias ? sum + Real<Y>(bias[n]) : sum);
  }
};

}  // namespace

void matmul(Context& context, In a, In b, In bias, Out y, bool transpose_a, bool transpose_b) {
  ProductSizes z{y.shape.rank() == 3 ? y.shape[0] : 1, y.shape[-2], y.shape[-1],
                 a.shape[transpose_a ? -2 : -1]};
  visit_float(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    Matrices<T> of_a{a.as<T>(), z.M * z.K, transpose_a ? 1 : z.K, transpose_a ? z.M : 1};
    Matrices<T> of_b{b.as<T>(), z.K * z.N, transpose_b ? 1 : z.N, transpose_b ? z.K : 1};
    if (y.dtype == a.dtype)
      product<Real<T>>(context, z, of_a, of_b, StoreMatrix<T>{y.as<T>(), bias.as<T>(), z});
    else
      product<Real<T>>(context, z, of_a, of_b, StoreMatrix<Real<T>>{y.as<Real<T>>(), bias.as<Real<T>>(), z});
  });
}

}  // namespace plumage::cuda::plain
