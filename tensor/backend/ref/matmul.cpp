// Matrix product: y[b, m, n] = sum over k of op(a)[b, m, k] op(b)[b, k, n], + bias[n].
#include "tensor/backend/ref/elements.h"
#include "tensor/context.h"

namespace plumage::ref {

void matmul(Context& context, In a, In b, In bias, Out y, bool transpose_a, bool transpose_b) {
  int64_t batch = y.shape.rank() == 3 ? y.shape[0] : 1, M = y.shape[-2], N = y.shape[-1];
  int64_t K = transpose_a ? a.shape[-2] : a.shape[-1];
  int64_t a_row = transpose_a ? 1 : K, a_column = transpose_a ? M : 1;
  int64_t b_row = transpose_b ? 1 : N, b_column = transpose_b ? K : 1;
  Reader in_bias(bias);
  Writer out(y);
  visit_float(a.dtype, [&](auto zero) {
    using T = decltype(zero);
#pragma omp parallel for num_threads(context.threads()) if (batch * M * N * K > kWorthThreads)
    for (int64_t row = 0; row < batch * M; ++row) {
      const T* pa = a.as<T>() + row / M * M * K + row % M * a_row;
      for (int64_t n = 0; n < N; ++n) {
        const T* pb = b.as<T>() + row / M * K * N + n * b_column;
        double sum = 0;
        for (int64_t k = 0; k < K; ++k) sum += double(pa[k * a_column]) * double(pb[k * b_row]);
        out.set(row * N + n, bias.data ? sum + in_bias[n] : sum);
      }
    }
  });
}

}  // namespace plumage::ref
