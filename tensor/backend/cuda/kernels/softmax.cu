// Softmax, its logarithm, logsumexp and cross-entropy: one block a row. The cases of -inf and NaN are ref's
// (tensor/backend/ref/softmax.cpp).
#include "tensor/backend/cuda/device_code.h"
#include "tensor/backend/cuda/launch.h"
#include "tensor/backend/cuda/ops.h"

namespace plumage::cuda {
namespace {

/// logsumexp = largest + log_sum. An infinite or NaN largest stands alone.
template <class R>
struct LogSum {
  R largest, log_sum;
  __device__ R value() const { return largest + log_sum; }
};

/// Of one row, by all threads of the block; the largest entry is taken out first, so that nothing overflows.
template <class T>
__device__ LogSum<Real<T>> log_sum(const T* x, int64_t n) {
  using R = Real<T>;
  R largest = -infinity<R>(), sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) largest = nan_max(largest, R(x[i]));
  largest = block_reduce(largest, NanMax{});
  if (largest - largest != 0) return {largest, R(0)};
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += std::exp(R(x[i]) - largest);
  return {largest, std::log(block_reduce(sum, Plus{}))};
}

/// Of an entry x in a row: (x - largest) - log_sum; -inf stays -inf also where the row has nothing else.
template <class R>
__device__ R log_probability(R x, LogSum<R> s) {
  bool masked = x == -infinity<R>() && s.largest == s.largest;
  return masked ? x : (x - s.largest) - s.log_sum;
}

/// The same where only the sum of both is at hand.
template <class R>
__device__ R probability(R x, R lse) {
  return std::exp(log_probability(x, LogSum<R>{lse, R(0)}));
}

template <class T>
__global__ void softmax_fwd_rows_kernel(int64_t rows, int64_t columns, const T* x, T* y) {
  using R = Real<T>;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    LogSum<R> s = log_sum(x + r * columns, columns);
    for (int64_t i = r * columns + threadIdx.x; i < (r + 1) * columns; i += blockDim.x)
      y[i] = T(std::exp(log_probability(R(x[i]), s)));
  }
}

template <class T>
__global__ void softmax_bwd_rows_kernel(int64_t rows, int64_t columns, const T* y, const T* dy, T* dx) {
  using R = Real<T>;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {  // dx = y (dy - sum(y dy))
    int64_t first = r * columns + threadIdx.x, end = (r + 1) * columns;
    R sum = 0;
    for (int64_t i = first; i < end; i += blockDim.x) sum += R(y[i]) * R(dy[i]);
    sum = block_reduce(sum, Plus{});
    for (int64_t i = first; i < end; i += blockDim.x) dx[i] = T(R(y[i]) * (R(dy[i]) - sum));
  }
}

template <class T>
__global__ void log_softmax_fwd_rows_kernel(int64_t rows, int64_t columns, const T* x, T* y) {
  using R = Real<T>;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    LogSum<R> s = log_sum(x + r * columns, columns);
    for (int64_t i = r * columns + threadIdx.x; i < (r + 1) * columns; i += blockDim.x)
      y[i] = T(log_probability(R(x[i]), s));
  }
}

template <class T>
__global__ void log_softmax_bwd_rows_kernel(int64_t rows, int64_t columns, const T* y, const T* dy, T* dx) {
  using R = Real<T>;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {  // dx = dy - exp(y) sum(dy)
    int64_t first = r * columns + threadIdx.x, end = (r + 1) * columns;
    R sum = 0;
    for (int64_t i = first; i < end; i += blockDim.x) sum += R(dy[i]);
    sum = block_reduce(sum, Plus{});
    for (int64_t i = first; i < end; i += blockDim.x) dx[i] = T(R(dy[i]) - std::exp(R(y[i])) * sum);
  }
}

template <class T>
__global__ void logsumexp_fwd_rows_kernel(int64_t rows, int64_t columns, const T* x, T* y) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    Real<T> lse = log_sum(x + r * columns, columns).value();
    if (threadIdx.x == 0) y[r] = T(lse);
  }
}

template <class T>
__global__ void logsumexp_bwd_rows_kernel(int64_t rows, int64_t columns, const T* x, const T* y, const T* dy,
                                          T* dx) {
  using R = Real<T>;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {  // dx = dy softmax(x)
    R lse = R(y[r]), g = R(dy[r]);
    for (int64_t i = r * columns + threadIdx.x; i < (r + 1) * columns; i += blockDim.x)
      dx[i] = T(g * probability(R(x[i]), lse));
  }
}

template <class T>
__global__ void cross_entropy_fwd_rows_kernel(int64_t rows, int64_t columns, const T* logits,
                                              const int64_t* labels, T* loss, Real<T>* lse) {
  using R = Real<T>;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    LogSum<R> s = log_sum(logits + r * columns, columns);
    if (threadIdx.x == 0) {
      loss[r] = T(-log_probability(R(logits[r * columns + labels[r]]), s));
      lse[r] = s.value();
    }
  }
}

template <class T>
__global__ void cross_entropy_bwd_rows_kernel(int64_t rows, int64_t columns, const T* logits,
                                              const int64_t* labels, const Real<T>* lse, const T* dloss,
                                              T* dlogits) {
  using R = Real<T>;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {  // dloss (softmax - one-hot)
    R row_lse = lse[r], g = R(dloss[r]);
    int64_t label = labels[r];
    for (int64_t c = threadIdx.x; c < columns; c += blockDim.x) {
      R p = probability(R(logits[r * columns + c]), row_lse);
      dlogits[r * columns + c] = T(g * (p - R(c == label ? 1 : 0)));
    }
  }
}

struct Rows {
  int64_t count = 1, columns;
  explicit Rows(const Shape& s) : columns(s.rank() ? s[-1] : 1) {
    for (int i = 0; i + 1 < s.rank(); ++i) count *= s[i];
  }
};

/// kernel(rows, columns, arguments...), one block a row
template <class... Parameters, class... Arguments>
void launch_rows(Context& context, void (*kernel)(int64_t, int64_t, Parameters...), const Shape& shape,
                 const Arguments&... arguments) {
  Rows rows(shape);
  launch(kernel, blocks_for_rows(rows.count), threads_for_row(rows.columns), 0, stream(context), rows.count,
         rows.columns, arguments...);
}

}  // namespace

void softmax(Context& context, In x, Out y) {
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context, softmax_fwd_rows_kernel<T>, x.shape, x.as<T>(), y.as<T>());
  });
}

void softmax_bwd(Context& context, In y, In dy, Out dx) {
  visit_float(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context, softmax_bwd_rows_kernel<T>, y.shape, y.as<T>(), dy.as<T>(), dx.as<T>());
  });
}

void log_softmax(Context& context, In x, Out y) {
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context, log_softmax_fwd_rows_kernel<T>, x.shape, x.as<T>(), y.as<T>());
  });
}

void log_softmax_bwd(Context& context, In y, In dy, Out dx) {
  visit_float(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context, log_softmax_bwd_rows_kernel<T>, y.shape, y.as<T>(), dy.as<T>(), dx.as<T>());
  });
}

void logsumexp(Context& context, In x, Out y) {
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context, logsumexp_fwd_rows_kernel<T>, x.shape, x.as<T>(), y.as<T>());
  });
}

void logsumexp_bwd(Context& context, In x, In y, In dy, Out dx) {
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context, logsumexp_bwd_rows_kernel<T>, x.shape, x.as<T>(), y.as<T>(), dy.as<T>(), dx.as<T>());
  });
}

void cross_entropy(Context& context, In logits, In labels, Out loss, Out lse) {
  visit_float(logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context, cross_entropy_fwd_rows_kernel<T>, logits.shape, logits.as<T>(), labels.as<int64_t>(),
                loss.as<T>(), lse.as<Real<T>>());
  });
}

void cross_entropy_bwd(Context& context, In logits, In labels, In lse, In dloss, Out dlogits) {
  visit_float(logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context, cross_entropy_bwd_rows_kernel<T>, logits.shape, logits.as<T>(), labels.as<int64_t>(),
                lse.as<Real<T>>(), dloss.as<T>(), dlogits.as<T>());
  });
}

}  // namespace plumage::cuda
