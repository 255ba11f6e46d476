// y[i] = f(a[i], b[i], ...): dense tensors of one count, 16 bytes an access where all of them are aligned.
// Next: tensor/backend/cuda/kernels/pointwise.cu.
#pragma once
#include <algorithm>

#include "tensor/backend/cuda/device_code.h"
#include "tensor/backend/cuda/launch.h"

namespace plumage::cuda {

template <class F, class Y, int N, class... X>
__device__ void map_pack(F f, Pack<Y, N>& y, const Pack<X, N>&... x) {
#pragma unroll
  for (int k = 0; k < N; ++k) y.v[k] = f(x.v[k]...);
}

template <int N, class F, class Y, class... X>
__global__ void map_kernel(int64_t count, F f, Y* y, const X*... x) {
  int64_t i = thread_index() * N;
  if (i + N <= count) {
    Pack<Y, N> out;
    map_pack(f, out, load<N>(x + i)...);
    store(y + i, out);
  } else {
    for (; i < count; ++i) y[i] = f(x[i]...);
  }
}

/// y may be one of the x.
template <class F, class Y, class... X>
void map(Context& context, int64_t count, F f, Y* y, const X*... x) {
  constexpr int kWide = int(std::min<size_t>(8, 16 / std::min({sizeof(Y), sizeof(X)...})));
  void (*wide)(int64_t, F, Y*, const X*...) = map_kernel<kWide, F, Y, X...>;
  void (*single)(int64_t, F, Y*, const X*...) = map_kernel<1, F, Y, X...>;
  bool packs = aligned<kWide>(y, x...);
  launch(packs ? wide : single, blocks_for(packs ? ceil_div(count, kWide) : count), kThreads, 0,
         stream(context), count, f, y, x...);
}

}  // namespace plumage::cuda
