// The plain convolutions: f64, and what cuDNN has no engine for (tensor/backend/cuda/conv.cpp). Each is a
// product of matrices that are never built: the readers below find an element of theirs in x, w or dy.
#include "tensor/backend/cuda/kernels/product.h"
#include "tensor/backend/cuda/plain.h"

namespace plumage::cuda::plain {
namespace {

/// All sizes of one convolution: x [N,H,W,C], w [K,R,S,C], y [N,P,Q,K].
struct Sizes {
  int64_t N, H, W, C, K, R, S, P, Q, stride, pad;
  Sizes(const Shape& x, const Shape& w, const Shape& y, const Window& window)
      : N(x[0]),
        H(x[1]),
        W(x[2]),
        C(x[3]),
        K(w[0]),
        R(w[1]),
        S(w[2]),
        P(y[1]),
        Q(y[2]),
        stride(window.stride),
        pad(window.pad) {}
};

/// i as (i0, i1, i2) of a shape [.., n1, n2].
struct Triple {
  int64_t i0, i1, i2;
  __device__ Triple(int64_t i, int64_t n1, int64_t n2) {
    int64_t above = quotient(i, n2);
    i2 = i - above * n2;
    i0 = quotient(above, n1);
    i1 = above - i0 * n1;
  }
};

/// x under a filter: (pixel n,p,q of y; place r,s,c of w). Padding is 0.
template <class T>
struct Patches {
  const T* x;
  Sizes z;
  __device__ Real<T> operator()(int64_t, int64_t pixel, int64_t place) const {
    Triple at(pixel, z.P, z.Q), filter(place, z.S, z.C);
    int64_t h = at.i1 * z.stride + filter.i0 - z.pad, w = at.i2 * z.stride + filter.i1 - z.pad;
    if (h < 0 || h >= z.H || w < 0 || w >= z.W) return 0;
    return Real<T>(x[((at.i0 * z.H + h) * z.W + w) * z.C + filter.i2]);
  }
};

/// dy over a pixel: (pixel n,h,w of x; place r,s,k). 0 where no window of that place covers the pixel.
template <class T>
struct Covering {
  const T* dy;
  Sizes z;
  __device__ Real<T> operator()(int64_t, int64_t pixel, int64_t place) const {
    Triple at(pixel, z.H, z.W), filter(place, z.S, z.K);
    int64_t top = at.i1 + z.pad - filter.i0, left = at.i2 + z.pad - filter.i1;
    if (top < 0 || left < 0) return 0;
    int64_t p = quotient(top, z.stride), q = quotient(left, z.stride);
    if (p * z.stride != top || q * z.stride != left || p >= z.P || q >= z.Q) return 0;
    return Real<T>(dy[((at.i0 * z.P + p) * z.Q + q) * z.K + filter.i2]);
  }
};

/// w as [R S C, K]: a filter is a column.
template <class T>
struct Filters {
  const T* w;
  int64_t size;
  __device__ Real<T> operator()(int64_t, int64_t place, int64_t k) const {
    return Real<T>(w[k * size + place]);
  }
};

/// w as [R S K, C].
template <class T>
struct FiltersByInput {
  const T* w;
  Sizes z;
  __device__ Real<T> operator()(int64_t, int64_t place, int64_t c) const {
    Triple at(place, z.S, z.K);
    return Real<T>(w[((at.i2 * z.R + at.i0) * z.S + at.i1) * z.C + c]);
  }
};

/// dy as [K, N P Q].
template <class T>
struct GradientByChannel {
  const T* dy;
  int64_t K;
  __device__ Real<T> operator()(int64_t, int64_t k, int64_t pixel) const {
    return Real<T>(dy[pixel * K + k]);
  }
};

/// Adds onto what is there, if anything is: it may be the memory that is written.
template <class T>
struct StoreRows {
  T* data;
  int64_t columns;
  const T* onto = nullptr;
  __device__ void operator()(int64_t, int64_t m, int64_t n, Real<T> sum) const {
    int64_t i = m * columns + n;
    data[i] = T(onto ? Real<T>(onto[i]) + sum : sum);
  }
};

/// act(sum + shift[k] + residual); residual may be null.
template <class T>
struct Finish {
  const Real<T>* shift;
  const T* residual;
  bool relu;
  __device__ T operator()(Real<T> sum, int64_t place, int64_t k) const {
    sum += shift[k];
    if (residual) sum += Real<T>(residual[place]);
    return T(relu && sum <= 0 ? Real<T>(0) : sum);
  }
};

template <class T>
struct StoreFinished {
  T* y;
  int64_t K;
  Finish<T> finish;
  __device__ void operator()(int64_t, int64_t pixel, int64_t k, Real<T> sum) const {
    y[pixel * K + k] = finish(sum, pixel * K + k, k);
  }
};

template <class T>
Finish<T> finish_of(const In& shift, const In& residual, Activation activation) {
  return {shift.as<Real<T>>(), residual.as<T>(), activation == Activation::relu};
}

template <class T>
void correlate(Context& context, In x, In w, Out y, Window window, auto store) {
  Sizes z(x.shape, w.shape, y.shape, window);
  int64_t places = z.R * z.S * z.C;
  product<Real<T>>(context, {1, z.N * z.P * z.Q, z.K, places}, Patches<T>{x.as<T>(), z},
                   Filters<T>{w.as<T>(), places}, store);
}

}  // namespace

void conv2d(Context& context, In x, In w, Out y, Window window) {
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    correlate<T>(context, x, w, y, window, StoreRows<T>{y.as<T>(), y.shape[3]});
  });
}

void conv2d_frozen(Context& context, In x, In w, In shift, In residual, Out y, Window window,
                   Activation activation) {
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    correlate<T>(context, x, w, y, window,
                 StoreFinished<T>{y.as<T>(), y.shape[3], finish_of<T>(shift, residual, activation)});
  });
}

void conv2d_dx(Context& context, In dy, In w, In onto, Out dx, Window window) {
  visit_float(dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    Sizes z(dx.shape, w.shape, dy.shape, window);
    product<Real<T>>(context, {1, z.N * z.H * z.W, z.C, z.R * z.S * z.K}, Covering<T>{dy.as<T>(), z},
                     FiltersByInput<T>{w.as<T>(), z}, StoreRows<T>{dx.as<T>(), z.C, onto.as<T>()});
  });
}

void conv2d_dw(Context& context, In x, In dy, Out dw, Window window) {
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    Sizes z(x.shape, dw.shape, dy.shape, window);
    int64_t places = z.R * z.S * z.C;
    product<Real<T>>(context, {1, z.K, places, z.N * z.P * z.Q}, GradientByChannel<T>{dy.as<T>(), z.K},
                     Patches<T>{x.as<T>(), z}, StoreRows<T>{dw.as<T>(), places});
  });
}

namespace {

template <class T>
__global__ void finish_frozen_kernel(int64_t count, int64_t channels, Finish<T> finish, T* y) {
  int64_t i = thread_index();
  if (i >= count) return;
  y[i] = finish(Real<T>(y[i]), i, i - quotient(i, channels) * channels);
}

template <class T>
__global__ void pad_last_kernel(int64_t count, int64_t from, int64_t to, const T* x, T* y) {
  int64_t i = thread_index();
  if (i >= count) return;
  int64_t row = quotient(i, to), c = i - row * to;
  y[i] = c < from ? x[row * from + c] : T(0);
}

}  // namespace

void finish_frozen(Context& context, In shift, In residual, Out y, Activation activation) {
  visit_float(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(finish_frozen_kernel<T>, blocks_for(y.count()), kThreads, 0, stream(context), y.count(),
           y.shape[-1], finish_of<T>(shift, residual, activation), y.as<T>());
  });
}

void pad_last(Context& context, In x, Out y) {
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(pad_last_kernel<T>, blocks_for(y.count()), kThreads, 0, stream(context), y.count(), x.shape[-1],
           y.shape[-1], x.as<T>(), y.as<T>());
  });
}

}  // namespace plumage::cuda::plain
