// Pooling and nearest upsampling of images [N,H,W,C] with their gradients: one thread makes one output
// pixel's 16 bytes along C, so that gradients are gathered in a fixed order and nothing is added atomically.
#include "tensor/backend/cuda/device_code.h"
#include "tensor/backend/cuda/launch.h"
#include "tensor/backend/cuda/ops.h"

namespace plumage::cuda {
namespace {

struct Image {
  int64_t H, W, C;
  explicit Image(const Shape& s) : H(s[1]), W(s[2]), C(s[3]) {}
  __device__ int64_t at(int64_t n, int64_t h, int64_t w) const { return ((n * H + h) * W + w) * C; }
};

/// Pixel and first channel of the pack that starts at element i of an image.
struct Pixel {
  int64_t n, h, w, c;
  __device__ Pixel(const Image& image, int64_t i) {
    int64_t pixel = quotient(i, image.C), row = quotient(pixel, image.W);
    c = i - pixel * image.C;
    w = pixel - row * image.W;
    n = quotient(row, image.H);
    h = row - n * image.H;
  }
};

/// Places first..end-1 along one dimension.
struct Span {
  int64_t first, end;
};

/// Pixels of the image under the window of output p.
__device__ Span under(int64_t p, int64_t stride, int64_t pad, int64_t kernel, int64_t size) {
  int64_t first = p * stride - pad, end = first + kernel;
  return {first < 0 ? 0 : first, end < size ? end : size};
}

/// Outputs whose windows cover pixel h.
__device__ Span covering(int64_t h, int64_t stride, int64_t pad, int64_t kernel, int64_t outputs) {
  int64_t last = quotient(h + pad, stride),
          before = h + pad - kernel;  // before: the last window that ends too early
  int64_t first = before < 0 ? 0 : quotient(before, stride) + 1;
  return {first, last + 1 < outputs ? last + 1 : outputs};
}

/// The first maximum; NaN wins.
template <int N, class T>
__global__ void max_pool_fwd_kernel(int64_t count, Image in, Image out, Window window, const T* x, T* y,
                                    int32_t* argmax) {
  int64_t i = thread_index() * N;
  if (i >= count) return;
  Pixel o(out, i);
  Span rows = under(o.h, window.stride, window.pad, window.kernel_h, in.H);
  Span columns = under(o.w, window.stride, window.pad, window.kernel_w, in.W);
  Pack<T, N> best = {};
  Pack<int32_t, N> where;
#pragma unroll
  for (int k = 0; k < N; ++k) where.v[k] = -1;
  for (int64_t h = rows.first; h < rows.end; ++h)
    for (int64_t w = columns.first; w < columns.end; ++w) {
      Pack<T, N> v = load<N>(x + in.at(o.n, h, w) + o.c);
      int64_t r = h - (o.h * window.stride - window.pad), s = w - (o.w * window.stride - window.pad);
      int32_t place = int32_t(r * window.kernel_w + s);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        Real<T> a(v.v[k]), b(best.v[k]);
        if (where.v[k] >= 0 && !(a > b) && !(a != a && b == b)) continue;
        best.v[k] = v.v[k];
        where.v[k] = place;
      }
    }
  store(y + i, best);
  store(argmax + i, where);
}

template <int N, class T>
__global__ void max_pool_bwd_kernel(int64_t count, Image in, Image out, Window window, const T* dy,
                                    const int32_t* argmax, T* dx) {
  int64_t i = thread_index() * N;
  if (i >= count) return;
  Pixel x(in, i);
  Span rows = covering(x.h, window.stride, window.pad, window.kernel_h, out.H);
  Span columns = covering(x.w, window.stride, window.pad, window.kernel_w, out.W);
  Real<T> sum[N] = {};
  for (int64_t p = rows.first; p < rows.end; ++p)
    for (int64_t q = columns.first; q < columns.end; ++q) {
      int64_t o = out.at(x.n, p, q) + x.c;
      int64_t r = x.h + window.pad - p * window.stride, s = x.w + window.pad - q * window.stride;
      int32_t place = int32_t(r * window.kernel_w + s);
      Pack<T, N> g = load<N>(dy + o);
      Pack<int32_t, N> where = load<N>(argmax + o);
#pragma unroll
      for (int k = 0; k < N; ++k)
        if (where.v[k] == place) sum[k] += Real<T>(g.v[k]);
    }
  Pack<T, N> d;
#pragma unroll
  for (int k = 0; k < N; ++k) d.v[k] = T(sum[k]);
  store(dx + i, d);
}

/// y = (sum of x over rows x columns of pixels of image n) / area
template <int N, class T>
__device__ void store_mean(const Image& in, int64_t n, Span rows, Span columns, int64_t c, Real<T> area,
                           const T* x, T* y) {
  Real<T> sum[N] = {};
  for (int64_t h = rows.first; h < rows.end; ++h)
    for (int64_t w = columns.first; w < columns.end; ++w) {
      Pack<T, N> v = load<N>(x + in.at(n, h, w) + c);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += Real<T>(v.v[k]);
    }
  Pack<T, N> mean;
#pragma unroll
  for (int k = 0; k < N; ++k) mean.v[k] = T(sum[k] / area);
  store(y, mean);
}

/// Padding counts as zeros.
template <int N, class T>
__global__ void avg_pool_fwd_kernel(int64_t count, Image in, Image out, Window window, const T* x, T* y) {
  int64_t i = thread_index() * N;
  if (i >= count) return;
  Pixel o(out, i);
  store_mean<N>(in, o.n, under(o.h, window.stride, window.pad, window.kernel_h, in.H),
                under(o.w, window.stride, window.pad, window.kernel_w, in.W), o.c,
                Real<T>(window.kernel_h * window.kernel_w), x, y + i);
}

template <int N, class T>
__global__ void avg_pool_bwd_kernel(int64_t count, Image in, Image out, Window window, const T* dy, T* dx) {
  int64_t i = thread_index() * N;
  if (i >= count) return;
  Pixel x(in, i);
  store_mean<N>(out, x.n, covering(x.h, window.stride, window.pad, window.kernel_h, out.H),
                covering(x.w, window.stride, window.pad, window.kernel_w, out.W), x.c,
                Real<T>(window.kernel_h * window.kernel_w), dy, dx + i);
}

/// y[n, c] = mean over the pixels of x
template <int N, class T>
__global__ void global_avg_pool_fwd_kernel(int64_t count, Image in, const T* x, T* y) {
  int64_t i = thread_index() * N;
  if (i >= count) return;
  int64_t n = quotient(i, in.C);
  store_mean<N>(in, n, {0, in.H}, {0, in.W}, i - n * in.C, Real<T>(in.H * in.W), x, y + i);
}

template <int N, class T>
__global__ void global_avg_pool_bwd_kernel(int64_t count, Image in, const T* dy, T* dx) {
  int64_t i = thread_index() * N;
  if (i >= count) return;
  Pixel x(in, i);
  Pack<T, N> g = load<N>(dy + x.n * in.C + x.c);
#pragma unroll
  for (int k = 0; k < N; ++k) g.v[k] = T(Real<T>(g.v[k]) / Real<T>(in.H * in.W));
  store(dx + i, g);
}

template <int N, class T>
__global__ void upsample_fwd_kernel(int64_t count, Image in, Image out, int64_t factor, const T* x, T* y) {
  int64_t i = thread_index() * N;
  if (i >= count) return;
  Pixel o(out, i);
  store(y + i, load<N>(x + in.at(o.n, quotient(o.h, factor), quotient(o.w, factor)) + o.c));
}

template <int N, class T>
__global__ void upsample_bwd_kernel(int64_t count, Image in, Image out, int64_t factor, const T* dy, T* dx) {
  int64_t i = thread_index() * N;
  if (i >= count) return;
  Pixel x(in, i);
  store_mean<N>(out, x.n, {x.h * factor, (x.h + 1) * factor}, {x.w * factor, (x.w + 1) * factor}, x.c,
                Real<T>(1), dy, dx + i);
}

/// Calls g(type, width) for elements of the written tensor's type, N at a time where C and the pointers allow
/// it.
template <class G>
void visit_packs(const Out& written, int64_t channels, uintptr_t addresses, G&& g) {
  if (written.count() == 0) return;
  visit_float(written.dtype, [&](auto zero) {
    constexpr int kWide = int(16 / sizeof(zero));
    if (channels % kWide == 0 && addresses % 16 == 0) return g(zero, std::integral_constant<int, kWide>{});
    g(zero, std::integral_constant<int, 1>{});
  });
}

uintptr_t address(const void* p) { return reinterpret_cast<uintptr_t>(p); }

}  // namespace

void max_pool(Context& context, In x, Out y, Out argmax, Window window) {
  visit_packs(
      y, y.shape[3], address(x.data) | address(y.data) | address(argmax.data), [&](auto zero, auto width) {
        using T = decltype(zero);
        constexpr int N = decltype(width)::value;
        launch(max_pool_fwd_kernel<N, T>, blocks_for(y.count() / N), kThreads, 0, stream(context), y.count(),
               Image(x.shape), Image(y.shape), window, x.as<T>(), y.as<T>(), argmax.as<int32_t>());
      });
}

void max_pool_bwd(Context& context, In dy, In argmax, Out dx, Window window) {
  visit_packs(dx, dx.shape[3], address(dy.data) | address(dx.data) | address(argmax.data),
              [&](auto zero, auto width) {
                using T = decltype(zero);
                constexpr int N = decltype(width)::value;
                launch(max_pool_bwd_kernel<N, T>, blocks_for(dx.count() / N), kThreads, 0, stream(context),
                       dx.count(), Image(dx.shape), Image(dy.shape), window, dy.as<T>(), argmax.as<int32_t>(),
                       dx.as<T>());
              });
}

void avg_pool(Context& context, In x, Out y, Window window) {
  visit_packs(y, y.shape[3], address(x.data) | address(y.data), [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    launch(avg_pool_fwd_kernel<N, T>, blocks_for(y.count() / N), kThreads, 0, stream(context), y.count(),
           Image(x.shape), Image(y.shape), window, x.as<T>(), y.as<T>());
  });
}

void avg_pool_bwd(Context& context, In dy, Out dx, Window window) {
  visit_packs(dx, dx.shape[3], address(dy.data) | address(dx.data), [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    launch(avg_pool_bwd_kernel<N, T>, blocks_for(dx.count() / N), kThreads, 0, stream(context), dx.count(),
           Image(dx.shape), Image(dy.shape), window, dy.as<T>(), dx.as<T>());
  });
}

void global_avg_pool(Context& context, In x, Out y) {
  visit_packs(y, x.shape[3], address(x.data) | address(y.data), [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    launch(global_avg_pool_fwd_kernel<N, T>, blocks_for(y.count() / N), kThreads, 0, stream(context),
           y.count(), Image(x.shape), x.as<T>(), y.as<T>());
  });
}

void global_avg_pool_bwd(Context& context, In dy, Out dx) {
  visit_packs(dx, dx.shape[3], address(dy.data) | address(dx.data), [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    launch(global_avg_pool_bwd_kernel<N, T>, blocks_for(dx.count() / N), kThreads, 0, stream(context),
           dx.count(), Image(dx.shape), dy.as<T>(), dx.as<T>());
  });
}

void upsample(Context& context, In x, Out y, int factor) {
  visit_packs(y, y.shape[3], address(x.data) | address(y.data), [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    launch(upsample_fwd_kernel<N, T>, blocks_for(y.count() / N), kThreads, 0, stream(context), y.count(),
           Image(x.shape), Image(y.shape), factor, x.as<T>(), y.as<T>());
  });
}

void upsample_bwd(Context& context, In dy, Out dx, int factor) {
  visit_packs(dx, dx.shape[3], address(dy.data) | address(dx.data), [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    launch(upsample_bwd_kernel<N, T>, blocks_for(dx.count() / N), kThreads, 0, stream(context), dx.count(),
           Image(dx.shape), Image(dy.shape), factor, dy.as<T>(), dx.as<T>());
  });
}

}  // namespace plumage::cuda
