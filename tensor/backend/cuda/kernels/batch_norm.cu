// Batch normalisation with its residual and ReLU: bound by memory, so each pass reads 16 bytes along C at a
// time and keeps what belongs to a channel in registers. Statistics: Welford by thread, merged over threads,
// then over chunks of rows, always in the same order.
#include "tensor/backend/cuda/device_code.h"
#include "tensor/backend/cuda/launch.h"
#include "tensor/backend/cuda/ops.h"
#include "tensor/backend/cuda/plain.h"

namespace plumage::cuda {
namespace {

constexpr int kScratch = 0;
constexpr int kSharers =
    8;  // threads that share the chunks of one channel, in the kernels that put them together

/// Rows [groups * group_rows, channels]. A block takes one chunk of a group's rows and blockDim.x packs of
/// channels; its blockDim.y threads of a pack take every blockDim.y-th row.
struct Tiling {
  int64_t channels = 0, groups = 1, group_rows = 0;
  int64_t tiles = 0, chunks = 0, chunk_rows = 0;
  dim3 block;

  Tiling(const Shape& x, int64_t statistics_count, int width) : channels(x[-1]) {
    if (channels == 0) return;
    groups = statistics_count / channels;
    group_rows = x.count() / channels / groups;
    block.x = 1;
    while (block.x < 32 && block.x * width < channels) block.x *= 2;
    block.y = kThreads / block.x;
    tiles = ceil_div(channels, block.x * width);
    constexpr int64_t kWanted = 1024;  // blocks: a large device holds about as many at once
    constexpr int64_t kLeast = 8;      // rows for each thread, or the merging costs more than it gains
    chunks = std::min(ceil_div(kWanted, tiles * groups), ceil_div(group_rows, kLeast * block.y));
    if (chunks) chunk_rows = ceil_div(group_rows, chunks);
    if (chunks) chunks = ceil_div(group_rows, chunk_rows);
  }
  dim3 grid() const { return dim3(grid_size(tiles * chunks * groups)); }
  /// Values of [groups, chunks, channels].
  int64_t partials() const { return groups * chunks * channels; }
};

/// What this thread works on.
struct Place {
  int64_t group, chunk, channel, row, end;  // the first of its rows, counted in x, and the end of the chunk
  bool inside;
  __device__ Place(const Tiling& at, int width) {
    int64_t b = blockIdx.x, tile = b % at.tiles;
    chunk = b / at.tiles % at.chunks;
    group = b / at.tiles / at.chunks;
    channel = (tile * blockDim.x + threadIdx.x) * width;
    inside = channel < at.channels;
    int64_t first = chunk * at.chunk_rows,
            last = first + at.chunk_rows < at.group_rows ? first + at.chunk_rows : at.group_rows;
    row = group * at.group_rows + first + threadIdx.y;
    end = inside ? group * at.group_rows + last : row;
  }
  /// Of its first channel among partials [groups, chunks, channels].
  __device__ int64_t partial(const Tiling& at) const {
    return (group * at.chunks + chunk) * at.channels + channel;
  }
};

/// Count, mean and sum of squared deviations of some numbers.
template <class R>
struct Moments {
  R count, mean, squares;
};

/// Those of both together (Chan, Golub, LeVeque 1979).
struct Merge {
  template <class R>
  __device__ Moments<R> operator()(Moments<R> a, Moments<R> b) const {
    R total = a.count + b.count;
    if (total == 0) return a;
    R delta = b.mean - a.mean, share = b.count / total;
    return {total, a.mean + delta * share, a.squares + b.squares + delta * delta * a.count * share};
  }
};

template <int N, class T>
__global__ void batch_norm_stats_chunk_kernel(Tiling at, const T* x, Moments<Real<T>>* chunks) {
  using R = Real<T>;
  PLUMAGE_SHARED(Moments<R>, parts, N * kThreads);
  Place place(at, N);
  R count = 0, mean[N] = {}, squares[N] = {};
  for (int64_t row = place.row; row < place.end; row += blockDim.y) {
    Pack<T, N> v = load<N>(x + row * at.channels + place.channel);
    count += 1;
    R share = R(1) / count;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      R delta = R(v.v[k]) - mean[k];
      mean[k] += delta * share;
      squares[k] += delta * (R(v.v[k]) - mean[k]);
    }
  }
  int own = int(threadIdx.y * blockDim.x + threadIdx.x);
#pragma unroll
  for (int k = 0; k < N; ++k) parts[k * kThreads + own] = {count, mean[k], squares[k]};
  reduce_rows<N>(static_cast<Moments<R>*>(parts), Merge{});
  if (threadIdx.y == 0 && place.inside)
    for (int k = 0; k < N; ++k) chunks[place.partial(at) + k] = parts[k * kThreads + own];
}

/// threadIdx.x: channel, blockIdx.y: group; the threads of a channel share the chunks.
template <class R>
__global__ void batch_norm_stats_merge_kernel(int64_t channels, int64_t chunks, const Moments<R>* of_chunks,
                                              R* mean, R* variance) {
  PLUMAGE_SHARED(Moments<R>, parts, 32 * kSharers);
  int64_t c = thread_index(), g = blockIdx.y;
  Moments<R> all{0, 0, 0};
  if (c < channels)
    for (int64_t i = threadIdx.y; i < chunks; i += kSharers)
      all = Merge{}(all, of_chunks[(g * chunks + i) * channels + c]);
  parts[threadIdx.y * 32 + threadIdx.x] = all;
  reduce_rows<1>(static_cast<Moments<R>*>(parts), Merge{});
  if (threadIdx.y != 0 || c >= channels) return;
  all = parts[threadIdx.x];
  mean[g * channels + c] = all.mean;
  variance[g * channels + c] = all.squares / all.count;
}

dim3 merge_grid(const Tiling& at) { return dim3(grid_size(ceil_div(at.channels, 32)), unsigned(at.groups)); }
const dim3 kMergeBlock(32, kSharers);

/// Calls g(std::integral_constant<int, N>): N elements of T at a time where channels and pointers allow it,
/// else one.
template <class T, class G, class... P>
void visit_width(int64_t channels, G&& g, const P*... pointers) {
  constexpr int kWide = int(16 / sizeof(T));
  if (channels % kWide == 0 && aligned<kWide>(pointers...)) return g(std::integral_constant<int, kWide>{});
  g(std::integral_constant<int, 1>{});
}

}  // namespace

void batch_norm_stats(Context& context, In x, Out mean, Out variance) {
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using R = Real<T>;
    visit_width<T>(
        x.shape[-1],
        [&](auto width) {
          constexpr int N = decltype(width)::value;
          Tiling at(x.shape, mean.count(), N);
          auto* chunks = static_cast<Moments<R>*>(
              context.scratch(at.partials() * int64_t(sizeof(Moments<R>)), kScratch));
          launch(batch_norm_stats_chunk_kernel<N, T>, at.grid(), at.block, 0, stream(context), at, x.as<T>(),
                 chunks);
          launch(batch_norm_stats_merge_kernel<R>, merge_grid(at), kMergeBlock, 0, stream(context),
                 at.channels, at.chunks, chunks, mean.as<R>(), variance.as<R>());
        },
        x.as<T>());
  });
}

namespace {

/// E[x^2] - E[x]^2, in double, so that only what the sums have lost is lost. Less than nothing is that loss alone; NaN stays.
__global__ void batch_norm_stats_finish_kernel(int64_t channels, double rows, float* mean, float* variance) {
  int64_t c = thread_index();
  if (c >= channels) return;
  double m = double(mean[c]) / rows, v = double(variance[c]) / rows - m * m;
  mean[c] = float(m);
  variance[c] = float(v < 0 ? 0 : v);
}

}  // namespace

void plain::finish_stats(Context& context, int64_t rows, Out mean, Out variance) {
  int64_t channels = mean.count();
  launch(batch_norm_stats_finish_kernel, dim3(grid_size(ceil_div(channels, kThreads))), dim3(kThreads), 0, stream(context), channels,
         double(rows), mean.as<float>(), variance.as<float>());
}

namespace {

/// The statistics and parameters as a kernel reads them.
template <class R>
struct Norm {
  const R *mean, *variance, *gamma, *beta;
  R epsilon;
  bool relu, batch_statistics;
  explicit Norm(const BatchNorm& n)
      : mean(n.mean.as<R>()),
        variance(n.variance.as<R>()),
        gamma(n.gamma.as<R>()),
        beta(n.beta.as<R>()),
        epsilon(R(n.epsilon)),
        relu(n.activation == Activation::relu),
        batch_statistics(n.batch_statistics) {}
};

/// Before the residual and relu. Forward and backward get the same bits: the product is not rounded, in both.
template <class R>
__device__ R normalized(R x, R mean, R scale, R beta) {
  return fma(x - mean, scale, beta);
}
template <class R>
__device__ R scale_of(const Norm<R>& norm, int64_t channel, int64_t statistic) {
  return norm.gamma[channel] / std::sqrt(norm.variance[statistic] + norm.epsilon);
}

/// residual may be null.
template <int N, class T>
__global__ void batch_norm_apply_kernel(Tiling at, Norm<Real<T>> norm, const T* x, const T* residual, T* y) {
  using R = Real<T>;
  Place place(at, N);
  if (!place.inside) return;
  R mean[N], scale[N], beta[N];
#pragma unroll
  for (int k = 0; k < N; ++k) {
    int64_t c = place.channel + k, s = place.group * at.channels + c;
    mean[k] = norm.mean[s];
    scale[k] = scale_of(norm, c, s);
    beta[k] = norm.beta[c];
  }
  for (int64_t row = place.row; row < place.end; row += blockDim.y) {
    int64_t i = row * at.channels + place.channel;
    Pack<T, N> v = load<N>(x + i), skip, out;
    if (residual) skip = load<N>(residual + i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      R u = normalized(R(v.v[k]), mean[k], scale[k], beta[k]);
      if (residual) u += R(skip.v[k]);
      out.v[k] = T(norm.relu && u <= 0 ? R(0) : u);
    }
    store(y + i, out);
  }
}

}  // namespace

void batch_norm_apply(Context& context, In x, In residual, Out y, BatchNorm norm) {
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    visit_width<T>(
        x.shape[-1],
        [&](auto width) {
          constexpr int N = decltype(width)::value;
          Tiling at(x.shape, norm.mean.count(), N);
          launch(batch_norm_apply_kernel<N, T>, at.grid(), at.block, 0, stream(context), at,
                 Norm<Real<T>>(norm), x.as<T>(), residual.as<T>(), y.as<T>());
        },
        x.as<T>(), residual.as<T>(), y.as<T>());
  });
}

namespace {

enum class Mask { none, y, x };  ///< where a kernel sees what relu let pass

/// Zeros in d where relu let nothing pass: by y, or by what x made of it.
template <Mask mask, int N, class T>
struct Passed {
  const T* y;
  Real<T> mean[N], scale[N], beta[N];

  __device__ Passed(const Norm<Real<T>>& norm, const T* y, int64_t channel, int64_t statistic) : y(y) {
    if constexpr (mask == Mask::x)
      for (int k = 0; k < N; ++k) {
        mean[k] = norm.mean[statistic + k];
        scale[k] = scale_of(norm, channel + k, statistic + k);
        beta[k] = norm.beta[channel + k];
      }
  }
  __device__ void operator()(Pack<T, N>& d, const Pack<T, N>& x, int64_t i) const {
    if constexpr (mask != Mask::none) {
      Pack<T, N> out;
      if constexpr (mask == Mask::y) out = load<N>(y + i);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        if constexpr (mask == Mask::x) out.v[k] = T(normalized(Real<T>(x.v[k]), mean[k], scale[k], beta[k]));
        if (Real<T>(out.v[k]) <= 0) d.v[k] = T(0);  // false for NaN, which passes
      }
    }
  }
};

/// Sums of d and of d * (x - mean) over one chunk: sums [2, groups, chunks, channels].
template <Mask mask, int N, class T>
__global__ void batch_norm_bwd_chunk_kernel(Tiling at, Norm<Real<T>> norm, const T* x, const T* y, const T* dy,
                                            Real<T>* sums) {
  using R = Real<T>;
  PLUMAGE_SHARED(R, parts, 2 * N * kThreads);
  Place place(at, N);
  R of_d[N] = {}, of_dx[N] = {};
  if (place.inside) {
    int64_t statistic = place.group * at.channels + place.channel;
    Passed<mask, N, T> passed(norm, y, place.channel, statistic);
    R mean[N];
    for (int k = 0; k < N; ++k) mean[k] = norm.mean[statistic + k];
    for (int64_t row = place.row; row < place.end; row += blockDim.y) {
      int64_t i = row * at.channels + place.channel;
      Pack<T, N> v = load<N>(x + i), d = load<N>(dy + i);
      passed(d, v, i);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        of_d[k] += R(d.v[k]);
        of_dx[k] += R(d.v[k]) * (R(v.v[k]) - mean[k]);
      }
    }
  }
  int own = int(threadIdx.y * blockDim.x + threadIdx.x);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    parts[k * kThreads + own] = of_d[k];
    parts[(N + k) * kThreads + own] = of_dx[k];
  }
  reduce_rows<2 * N>(static_cast<R*>(parts), Plus{});
  if (threadIdx.y == 0 && place.inside)
    for (int k = 0; k < N; ++k) {
      sums[place.partial(at) + k] = parts[k * kThreads + own];
      sums[at.groups * at.chunks * at.channels + place.partial(at) + k] = parts[(N + k) * kThreads + own];
    }
}

/// What dx is made of, [groups, channels] each: dx = of_d * d + of_x * (x - mean) + constant
template <class R>
struct Coefficients {
  R *of_d, *of_x, *constant;
  Coefficients(R* memory, int64_t n) : of_d(memory), of_x(memory + n), constant(memory + 2 * n) {}
};

/// dx = gamma / std (d - mean(d) - xhat mean(d xhat)), xhat = (x - mean) / std; with running statistics gamma
/// / std d. The groups one after the other, since dgamma and dbeta are sums over them; either may be null.
template <class R>
__global__ void batch_norm_bwd_merge_kernel(Tiling at, Norm<R> norm, const R* sums,
                                            Coefficients<R> coefficients, R* dgamma, R* dbeta) {
  PLUMAGE_SHARED(R, parts, 2 * 32 * kSharers);
  int64_t c = thread_index(), stride = at.groups * at.chunks * at.channels;
  int own = int(threadIdx.y * 32 + threadIdx.x);
  R all_d = 0, all_dxhat = 0;
  for (int64_t g = 0; g < at.groups; ++g) {
    R d = 0, dx = 0;
    if (c < at.channels)
      for (int64_t i = threadIdx.y; i < at.chunks; i += kSharers) {
        d += sums[(g * at.chunks + i) * at.channels + c];
        dx += sums[stride + (g * at.chunks + i) * at.channels + c];
      }
    parts[own] = d;
    parts[32 * kSharers + own] = dx;
    reduce_rows<2>(static_cast<R*>(parts), Plus{});
    if (threadIdx.y == 0 && c < at.channels) {
      int64_t s = g * at.channels + c;
      R inverse_std = 1 / std::sqrt(norm.variance[s] + norm.epsilon), scale = norm.gamma[c] * inverse_std;
      d = parts[own];
      R dxhat = parts[32 * kSharers + own] * inverse_std, rows = R(at.group_rows);
      coefficients.of_d[s] = scale;
      coefficients.of_x[s] = norm.batch_statistics ? -scale * inverse_std * dxhat / rows : R(0);
      coefficients.constant[s] = norm.batch_statistics ? -scale * d / rows : R(0);
      all_d += d;
      all_dxhat += dxhat;
    }
    __syncthreads();  // before the next group overwrites the parts
  }
  if (threadIdx.y != 0 || c >= at.channels) return;
  if (dgamma) dgamma[c] = all_dxhat;
  if (dbeta) dbeta[c] = all_d;
}

/// dresidual may be null.
template <Mask mask, int N, class T>
__global__ void batch_norm_bwd_apply_kernel(Tiling at, Norm<Real<T>> norm,
                                            Coefficients<Real<T>> coefficients, const T* x, const T* y,
                                            const T* dy, T* dx, T* dresidual) {
  using R = Real<T>;
  Place place(at, N);
  if (!place.inside) return;
  R mean[N], of_d[N], of_x[N], constant[N];
#pragma unroll
  for (int k = 0; k < N; ++k) {
    int64_t s = place.group * at.channels + place.channel + k;
    mean[k] = norm.mean[s];
    of_d[k] = coefficients.of_d[s];
    of_x[k] = coefficients.of_x[s];
    constant[k] = coefficients.constant[s];
  }
  Passed<mask, N, T> passed(norm, y, place.channel, place.group * at.channels + place.channel);
  for (int64_t row = place.row; row < place.end; row += blockDim.y) {
    int64_t i = row * at.channels + place.channel;
    Pack<T, N> v = load<N>(x + i), d = load<N>(dy + i), out;
    passed(d, v, i);
#pragma unroll
    for (int k = 0; k < N; ++k)
      out.v[k] = T(of_d[k] * R(d.v[k]) + (of_x[k] * (R(v.v[k]) - mean[k]) + constant[k]));
    store(dx + i, out);
    if (dresidual) store(dresidual + i, d);
  }
}

}  // namespace

namespace {

template <Mask mask>
void backward(Context& context, In x, In y, In dy, Out dx, Out dresidual, Out dgamma, Out dbeta, const BatchNorm& norm) {
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using R = Real<T>;
    visit_width<T>(
        x.shape[-1],
        [&](auto width) {
          constexpr int N = decltype(width)::value;
          Tiling at(x.shape, norm.mean.count(), N);
          Norm<R> of(norm);
          int64_t statistics = at.groups * at.channels;
          auto* sums = static_cast<R*>(
              context.scratch((2 * at.partials() + 3 * statistics) * int64_t(sizeof(R)), kScratch));
          Coefficients<R> coefficients(sums + 2 * at.partials(), statistics);
          launch(batch_norm_bwd_chunk_kernel<mask, N, T>, at.grid(), at.block, 0, stream(context), at, of,
                 x.as<T>(), y.as<T>(), dy.as<T>(), sums);
          launch(batch_norm_bwd_merge_kernel<R>, dim3(merge_grid(at).x), kMergeBlock, 0, stream(context), at,
                 of, sums, coefficients, dgamma.as<R>(), dbeta.as<R>());
          launch(batch_norm_bwd_apply_kernel<mask, N, T>, at.grid(), at.block, 0, stream(context), at, of,
                 coefficients, x.as<T>(), y.as<T>(), dy.as<T>(), dx.as<T>(), dresidual.as<T>());
        },
        x.as<T>(), y.as<T>(), dy.as<T>(), dx.as<T>(), dresidual.as<T>());
  });
}

}  // namespace

void batch_norm_bwd(Context& context, In x, In y, In dy, In, Out dx, Out dresidual, Out dgamma, Out dbeta,
                    BatchNorm norm) {
  auto run = norm.activation == Activation::none ? backward<Mask::none> : y ? backward<Mask::y> : backward<Mask::x>;
  run(context, x, y, dy, dx, dresidual, dgamma, dbeta, norm);
}

}  // namespace plumage::cuda
