// InfoNCE against a queue: similarities to a block of keys at a time, by cuBLASLt, weighed by one kernel and added up by
// another. What a block changes in the largest similarity so far, the sums before it follow.
#include <utility>

#include "tensor/backend/cuda/device_code.h"
#include "tensor/backend/cuda/launch.h"
#include "tensor/backend/cuda/ops.h"

namespace plumage::cuda {
namespace {

constexpr int64_t kBlockBytes = 4 << 20;  // of similarities: they stay in the second-level cache

/// Of each row so far: the largest similarity, the sum of exp(s - largest), and by what the block shrinks older sums.
template <class R>
struct Row {
  R largest, shrink, sum;
};

/// s becomes exp(scale s - largest). One block a row.
template <class R>
__global__ void weigh_kernel(int64_t rows, int64_t count, R scale, R* s, Row<R>* state, bool first) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    Row<R> row = first ? Row<R>{-infinity<R>(), R(0), R(0)} : state[r];
    R top = -infinity<R>();
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) top = nan_max(top, scale * s[r * count + i]);
    R largest = nan_max(row.largest, block_reduce(top, NanMax{})), sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x)
      sum += s[r * count + i] = exp(scale * s[r * count + i] - largest);
    sum = block_reduce(sum, Plus{});
    R shrink = row.largest == largest ? R(1) : R(exp(row.largest - largest));
    if (threadIdx.x == 0) state[r] = {largest, shrink, row.sum * shrink + sum};
  }
}

/// sum = sum * shrink + part; after the last block the results too.
template <class T, class R>
__global__ void add_part_kernel(int64_t rows, int64_t d, const Row<R>* state, const R* part, R* sum, bool first, T* lse, T* mean) {
  int64_t i = thread_index();
  if (i >= rows * d) return;
  int64_t r = quotient(i, d);
  R total = first ? part[i] : sum[i] * state[r].shrink + part[i];
  sum[i] = total;
  if (!mean) return;
  mean[i] = T(total / state[r].sum);
  if (i == r * d) lse[r] = T(state[r].largest + log(state[r].sum));
}

/// The same in the type that is computed in: itself, or written to `to`.
template <class T>
In in_real(Context& context, const T* x, const Shape& shape, void* to) {
  In from{x, shape, dtype_of<T>};
  constexpr DType real = dtype_of<Real<T>>;
  if (from.dtype == real) return from;
  Out converted{to, shape, real};
  cast(context, from, converted);
  return {to, shape, real};
}

}  // namespace

void attend(Context& context, In q, In keys, Out lse, Out mean, double scale) {
  const int64_t rows = q.shape[0], d = q.shape[1], count = keys.shape[0];
  if (rows == 0) return;
  visit_float(q.dtype, [&](auto zero) {
    using T = decltype(zero);
    using R = Real<T>;
    constexpr DType real = dtype_of<R>;
    const int64_t size = int64_t(sizeof(R));
    const int64_t most = std::min(count, std::max<int64_t>(256, kBlockBytes / size / rows / 64 * 64));
    auto rounded = [](int64_t bytes) { return ceil_div(bytes, 256) * 256; };
    const int64_t s_bytes = rounded(rows * most * size), sum_bytes = rounded(rows * d * size), state_bytes = rounded(rows * int64_t(sizeof(Row<R>)));
    auto* at = static_cast<char*>(context.scratch(s_bytes + 3 * sum_bytes + state_bytes + rounded(most * d * size)));
    auto take = [&](int64_t bytes) { return std::exchange(at, at + bytes); };
    R* s = reinterpret_cast<R*>(take(s_bytes));
    R *part = reinterpret_cast<R*>(take(sum_bytes)), *sum = reinterpret_cast<R*>(take(sum_bytes));
    auto* state = reinterpret_cast<Row<R>*>(take(state_bytes));
    In x = in_real(context, q.as<T>(), q.shape, take(sum_bytes));
    for (int64_t first = 0; first < count; first += most) {
      int64_t n = std::min(most, count - first);
      bool last = first + n == count;
      In block = in_real(context, keys.as<T>() + first * d, {n, d}, at);
      matmul(context, x, block, {}, Out{s, {rows, n}, real}, false, true);
      launch(weigh_kernel<R>, blocks_for_rows(rows), threads_for_row(n), 0, stream(context), rows, n, R(scale), s, state, first == 0);
      matmul(context, In{s, {rows, n}, real}, block, {}, Out{part, {rows, d}, real}, false, false);
      launch(add_part_kernel<T, R>, blocks_for(rows * d), kThreads, 0, stream(context), rows, d, state, part, sum, first == 0,
             last ? lse.as<T>() : nullptr, last ? mean.as<T>() : nullptr);
    }
  });
}

}  // namespace plumage::cuda
