// Elementwise ops, by the functors that all backends share, computed in f64 or f32.
#include "tensor/backend/cuda/kernels/map.h"
#include "tensor/backend/cuda/ops.h"
#include "tensor/backend/functors.h"
#include "tensor/backend/joined.h"

namespace plumage::cuda {
namespace {

template <class Fn, class T>
struct Forward {
  __device__ T operator()(T x) const { return T(Fn::f(Real<T>(x))); }
};

template <class Fn, class T>
struct Backward {
  __device__ T operator()(T kept, T dy) const { return T(Fn::df(Real<T>(kept), Real<T>(dy))); }
};

template <class Fn, class T>
struct Combine {
  __device__ T operator()(T a, T b) const { return T(Fn::f(Real<T>(a), Real<T>(b))); }
};

template <class T>
struct Affine {
  Real<T> scale, shift;
  __device__ T operator()(T x) const { return T(scale * Real<T>(x) + shift); }
};

}  // namespace

void unary(Context& context, UnaryFn fn, In x, Out y) {
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    functors::visit(
        fn, [&](auto f) { map(context, y.count(), Forward<decltype(f), T>{}, y.as<T>(), x.as<T>()); });
  });
}

void unary_bwd(Context& context, UnaryFn fn, In kept, In dy, Out dx) {
  visit_float(kept.dtype, [&](auto zero) {
    using T = decltype(zero);
    functors::visit(fn, [&](auto f) {
      map(context, dx.count(), Backward<decltype(f), T>{}, dx.as<T>(), kept.as<T>(), dy.as<T>());
    });
  });
}

void affine(Context& context, In x, Out y, double scale, double shift) {
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    map(context, y.count(), Affine<T>{Real<T>(scale), Real<T>(shift)}, y.as<T>(), x.as<T>());
  });
}

void accumulate(Context& context, In x, Out y) {
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    map(context, y.count(), Combine<functors::Add, T>{}, y.as<T>(), static_cast<const T*>(y.as<T>()),
        x.as<T>());
  });
}

namespace {

/// N elements of a row of a, from element j on; all are one number where a is stretched along the row.
template <int N, class T>
__device__ Pack<T, N> load_stretched(const T* row, int64_t j, int64_t step) {
  if (step) return load<N>(row + j);
  Pack<T, N> same;
  for (int k = 0; k < N; ++k) same.v[k] = *row;
  return same;
}

/// N divides the last dimension, so that a pack lies in one row.
template <int N, class F, class T>
__global__ void binary_fwd_broadcast_kernel(int64_t count, const __grid_constant__ Joined at,
                                            Joined::Dimension inner, F f, const T* a, const T* b, T* y) {
  int64_t i = thread_index() * N;
  if (i >= count) return;
  int64_t row = quotient(i, inner.size), j = i - row * inner.size;
  for (int d = at.rank - 2; d >= 0; --d) {
    int64_t above = quotient(row, at.dimensions[d].size), place = row - above * at.dimensions[d].size;
    a += place * at.dimensions[d].a_step;
    b += place * at.dimensions[d].b_step;
    row = above;
  }
  Pack<T, N> out;
  map_pack(f, out, load_stretched<N>(a, j, inner.a_step), load_stretched<N>(b, j, inner.b_step));
  store(y + i, out);
}

}  // namespace

void binary(Context& context, BinaryFn fn, In a, In b, Out y) {
  Joined at(y.shape, a.shape, b.shape);
  bool dense = at.rank == 1 && at.inner().a_step && at.inner().b_step;
  visit_float(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    constexpr int kWide = int(16 / sizeof(T));
    bool packs = at.inner().size % kWide == 0 && aligned<kWide>(y.as<T>()) &&
                 (!at.inner().a_step || aligned<kWide>(a.as<T>())) &&
                 (!at.inner().b_step || aligned<kWide>(b.as<T>()));
    functors::visit(fn, [&](auto functor) {
      using F = Combine<decltype(functor), T>;
      if (dense) return map(context, y.count(), F{}, y.as<T>(), a.as<T>(), b.as<T>());
      launch(packs ? binary_fwd_broadcast_kernel<kWide, F, T> : binary_fwd_broadcast_kernel<1, F, T>,
             blocks_for(packs ? y.count() / kWide : y.count()), kThreads, 0, stream(context), y.count(), at,
             at.inner(), F{}, a.as<T>(), b.as<T>(), y.as<T>());
    });
  });
}

}  // namespace plumage::cuda
