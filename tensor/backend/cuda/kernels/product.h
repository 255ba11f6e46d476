// out(m, n) = sum over k of a(m, k) b(k, n), whatever a and b read: the one tiled kernel behind the plain
// matrix product and the three plain convolutions. Next: tensor/backend/cuda/kernels/conv2d.cu.
#pragma once
#include "tensor/backend/cuda/device_code.h"
#include "tensor/backend/cuda/launch.h"

namespace plumage::cuda {

/// Of `batch` products [M, K] x [K, N].
struct ProductSizes {
  int64_t batch, M, N, K;
};

inline constexpr int kTile = 64, kDepth = 16,
                     kSide = 4;           // a block makes 64 x 64 values, a thread 4 x 4 of them
inline constexpr int kPitch = kTile + 1;  // of the tiles in shared memory: spreads columns over the banks

/// a(batch, m, k) and b(batch, k, n) return R, and are asked only inside the sizes; finish(batch, m, n, sum)
/// stores. Sums run over k in order, so that the same call gives the same bits.
template <class R, class A, class B, class Finish>
__global__ void product_tiled_kernel(ProductSizes z, int64_t tiles_m, int64_t tiles_n, A a, B b,
                                     Finish finish) {
  PLUMAGE_SHARED(R, a_tile, kDepth * kPitch);  // [k][m]
  PLUMAGE_SHARED(R, b_tile, kDepth * kPitch);  // [k][n]
  int64_t block = blockIdx.x, batch = block / tiles_n / tiles_m;
  int64_t first_m = block / tiles_n % tiles_m * kTile, first_n = block % tiles_n * kTile;
  int thread = int(threadIdx.x), row = thread / (kTile / kSide) * kSide,
      column = thread % (kTile / kSide) * kSide;
  R sums[kSide][kSide] = {};
  for (int64_t first_k = 0; first_k < z.K; first_k += kDepth) {
    __syncthreads();  // before the tiles that others still read are overwritten
    for (int e = thread; e < kDepth * kTile; e += kThreads) {
      int k = e % kDepth, m = e / kDepth;
      bool inside = first_m + m < z.M && first_k + k < z.K;
      a_tile[k * kPitch + m] = inside ? a(batch, first_m + m, first_k + k) : R(0);
    }
    for (int e = thread; e < kDepth * kTile; e += kThreads) {
      int k = e / kTile, n = e % kTile;
      bool inside = first_n + n < z.N && first_k + k < z.K;
      b_tile[k * kPitch + n] = inside ? b(batch, first_k + k, first_n + n) : R(0);
    }
    __syncthreads();
    for (int k = 0; k < kDepth; ++k)
#pragma unroll
      for (int i = 0; i < kSide; ++i)
#pragma unroll
        for (int j = 0; j < kSide; ++j)
          sums[i][j] += a_tile[k * kPitch + row + i] * b_tile[k * kPitch + column + j];
  }
  for (int i = 0; i < kSide; ++i)
    for (int j = 0; j < kSide; ++j) {
      int64_t m = first_m + row + i, n = first_n + column + j;
      if (m < z.M && n < z.N) finish(batch, m, n, sums[i][j]);
    }
}

template <class R, class A, class B, class Finish>
void product(Context& context, ProductSizes z, A a, B b, Finish finish) {
  int64_t tiles_m = ceil_div(z.M, kTile), tiles_n = ceil_div(z.N, kTile);
  launch(product_tiled_kernel<R, A, B, Finish>, dim3(grid_size(z.batch * tiles_m * tiles_n)), kThreads, 0,
         stream(context), z, tiles_m, tiles_n, a, b, finish);
}

}  // namespace plumage::cuda
