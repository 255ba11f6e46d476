// Matrix products without oneDNN, by the own gemm.
#ifndef PLUMAGE_HAS_ONEDNN
#include "tensor/backend/cpu/gemm.h"

namespace plumage::cpu {

void matmul(Context& context, In a, In b, Out y, bool transpose_a, bool transpose_b) {
  int64_t batch = y.shape.rank() == 3 ? y.shape[0] : 1, m = y.shape[-2], n = y.shape[-1], k = a.shape[transpose_a ? -2 : -1];
  auto strides = [](int64_t rows, int64_t columns, bool transpose) {
    return transpose ? std::pair<int64_t, int64_t>{1, rows} : std::pair<int64_t, int64_t>{columns, 1};
  };
  auto [a_row, a_column] = strides(m, k, transpose_a);
  auto [b_row, b_column] = strides(k, n, transpose_b);
  for (int64_t i = 0; i < batch; ++i) {
    if (y.dtype == DType::f32) {
      gemm(context, m, n, k, Matrix<float>{a.as<float>() + i * m * k, a_row, a_column},
           Matrix<float>{b.as<float>() + i * k * n, b_row, b_column}, y.as<float>() + i * m * n, n, false);
    } else {
      auto* sum = static_cast<float*>(context.scratch(m * n * 4, 3));
      gemm(context, m, n, k, Matrix<bf16>{a.as<bf16>() + i * m * k, a_row, a_column},
           Matrix<bf16>{b.as<bf16>() + i * k * n, b_row, b_column}, sum, n, false);
      std::copy_n(sum, m * n, y.as<bf16>() + i * m * n);
    }
  }
}

}  // namespace plumage::cpu
#endif  // PLUMAGE_HAS_ONEDNN
