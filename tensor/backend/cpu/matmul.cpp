// Matrix products: by oneDNN, or by the own gemm without it and where oneDNN would cut the sums by the number of threads.
#include "tensor/backend/cpu/gemm.h"

#include <cstring>

namespace plumage::cpu {
namespace {

template <class T>
Matrix<T> matrix(const T* data, int64_t rows, int64_t columns, bool transpose) {
  return transpose ? Matrix<T>{data, 1, rows} : Matrix<T>{data, columns, 1};
}

template <class T, class Y>
void by_gemm(Context& context, In a, In b, Out y, const Product& p) {
  for (int64_t i = 0; i < p.batch; ++i) {
    auto of_a = matrix(a.as<T>() + i * p.m * p.k, p.m, p.k, p.transpose_a), of_b = matrix(b.as<T>() + i * p.k * p.n, p.k, p.n, p.transpose_b);
    if constexpr (std::is_same_v<Y, float>) {
      gemm(context, p.m, p.n, p.k, of_a, of_b, y.as<float>() + i * p.m * p.n, p.n, false);
    } else {
      auto* sum = static_cast<float*>(context.scratch(p.m * p.n * 4, 3));
      gemm(context, p.m, p.n, p.k, of_a, of_b, sum, p.n, false);
      std::copy_n(sum, p.m * p.n, y.as<Y>() + i * p.m * p.n);
    }
  }
}

// The product alone.
void multiply(Context& context, In a, In b, Out y, bool transpose_a, bool transpose_b) {
  flush_denormals();
  Product p{y.shape.rank() == 3 ? y.shape[0] : 1, y.shape[-2], y.shape[-1], a.shape[transpose_a ? -2 : -1], transpose_a, transpose_b};
  if (p.k == 0) {
    std::memset(y.data, 0, size_t(y.count() * size_of(y.dtype)));
    return;
  }
  bool deep = p.k > 8 * std::max(p.m, p.n);  // oneDNN gives each thread a part of the sums
  if (!deep && onednn::matmul(context, a, b, y, p)) return;
  if (a.dtype == DType::f32) by_gemm<float, float>(context, a, b, y, p);
  else if (y.dtype == DType::f32) by_gemm<bf16, float>(context, a, b, y, p);
  else by_gemm<bf16, bf16>(context, a, b, y, p);
}

// y [rows, n] += bias [n], while y is in the cache.
template <class Y>
void add_rows(Context& context, In bias, Out y) {
  int64_t n = bias.shape[0];
  parallel_rows(context, y.count() / n, n, [&](int64_t begin, int64_t end) {
    const Y* from = bias.as<Y>();
    for (int64_t r = begin; r < end; ++r) {
      Y* to = y.as<Y>() + r * n;
      for (int64_t i = 0; i < n; ++i) to[i] = Y(float(to[i]) + float(from[i]));
    }
  });
}

}  // namespace

void matmul(Context& context, In a, In b, In bias, Out y, bool transpose_a, bool transpose_b) {
  if (y.count() == 0) return;
  multiply(context, a, b, y, transpose_a, transpose_b);
  if (!bias.data) return;
  if (y.dtype == DType::f32) add_rows<float>(context, bias, y);
  else add_rows<bf16>(context, bias, y);
}

}  // namespace plumage::cpu
