// Elementwise ops: the shared functors in loops over f32 that the compiler vectorises; bf16 passes through small
// buffers of f32. Only e^x and its kin have vector code of their own.
#include "tensor/backend/cpu/parallel.h"
#include "tensor/backend/cpu/simd.h"
#include "tensor/backend/functors.h"
#include "tensor/backend/joined.h"

namespace plumage::cpu {
namespace {

constexpr int64_t kPiece = 1024;  // elements that a buffer holds

// A piece of a tensor as f32: itself, or a copy in `buffer`.
const float* as_floats(const float* p, int64_t, float*) { return p; }
const float* as_floats(const bf16* p, int64_t n, float* buffer) {
  for_vectors(0, n, [&](int64_t i, int64_t lanes) { store_n(buffer + i, load_n(p + i, lanes), lanes); });
  return buffer;
}
float* place_for(float* p, float*) { return p; }
float* place_for(bf16*, float* buffer) { return buffer; }
void put_back(float*, const float*, int64_t) {}
void put_back(bf16* p, const float* from, int64_t n) {
  for_vectors(0, n, [&](int64_t i, int64_t lanes) { store_n(p + i, load_n(from + i, lanes), lanes); });
}

// loop(x, y, n) over pieces of f32, in parallel.
template <class T, class Loop>
void map(Context& context, const T* x, T* y, int64_t count, Loop loop) {
  parallel(context, count, kGrain, [&](int64_t begin, int64_t end) {
    alignas(64) float in[kPiece], out[kPiece];
    for (int64_t i = begin; i < end; i += kPiece) {
      int64_t n = std::min(kPiece, end - i);
      float* to = place_for(y + i, out);
      loop(as_floats(x + i, n, in), to, n);
      put_back(y + i, to, n);
    }
  }, kPiece);
}

template <class T, class Loop>
void map(Context& context, const T* a, const T* b, T* y, int64_t count, Loop loop) {
  parallel(context, count, kGrain, [&](int64_t begin, int64_t end) {
    alignas(64) float in_a[kPiece], in_b[kPiece], out[kPiece];
    for (int64_t i = begin; i < end; i += kPiece) {
      int64_t n = std::min(kPiece, end - i);
      float* to = place_for(y + i, out);
      loop(as_floats(a + i, n, in_a), as_floats(b + i, n, in_b), to, n);
      put_back(y + i, to, n);
    }
  }, kPiece);
}

template <class Functor>
void apply(Functor, const float* __restrict x, float* __restrict y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = Functor::f(x[i]);
}

template <class F>
void apply_vectors(const float* x, float* y, int64_t n, F f) {
  for_vectors(0, n, [&](int64_t i, int64_t lanes) { store_n(y + i, f(load_n(x + i, lanes)), lanes); });
}
void apply(functors::Exp, const float* x, float* y, int64_t n) { apply_vectors(x, y, n, [](V v) { return vexp(v); }); }
void apply(functors::Log, const float* x, float* y, int64_t n) { apply_vectors(x, y, n, [](V v) { return vlog(v); }); }
void apply(functors::Tanh, const float* x, float* y, int64_t n) { apply_vectors(x, y, n, [](V v) { return vtanh(v); }); }
void apply(functors::Sigmoid, const float* x, float* y, int64_t n) {
  apply_vectors(x, y, n, [](V v) { return vsigmoid(v); });
}

}  // namespace

void unary(Context& context, UnaryFn fn, In x, Out y) {
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    functors::visit(fn, [&](auto functor) {
      map(context, x.as<T>(), y.as<T>(), y.count(),
          [functor](const float* a, float* b, int64_t n) { apply(functor, a, b, n); });
    });
  });
}

void unary_bwd(Context& context, UnaryFn fn, In kept, In dy, Out dx) {
  visit_fast(kept.dtype, [&](auto type) {
    using T = decltype(type);
    functors::visit(fn, [&](auto functor) {
      map(context, kept.as<T>(), dy.as<T>(), dx.as<T>(), dx.count(),
          [functor](const float* __restrict k, const float* __restrict d, float* __restrict out, int64_t n) {
            for (int64_t i = 0; i < n; ++i) out[i] = functor.df(k[i], d[i]);
          });
    });
  });
}

void affine(Context& context, In x, Out y, double scale, double shift) {
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    map(context, x.as<T>(), y.as<T>(), y.count(),
        [a = float(scale), b = float(shift)](const float* __restrict in, float* __restrict out, int64_t n) {
          for (int64_t i = 0; i < n; ++i) out[i] = a * in[i] + b;
        });
  });
}

void accumulate(Context& context, In x, Out y) {
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    map(context, x.as<T>(), static_cast<const T*>(y.as<T>()), y.as<T>(), y.count(),
        [](const float* in, const float* old, float* out, int64_t n) {
          for (int64_t i = 0; i < n; ++i) out[i] = old[i] + in[i];
        });
  });
}

namespace {

// One piece of an inner row; a step of 0 is one number for all.
template <class Functor>
void combine(Functor, const float* __restrict a, const float* __restrict b, float* __restrict y, int64_t n, bool a_still, bool b_still) {
  if (a_still) {
    float v = *a;
    for (int64_t i = 0; i < n; ++i) y[i] = Functor::f(v, b[i]);
  } else if (b_still) {
    float v = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = Functor::f(a[i], v);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = Functor::f(a[i], b[i]);
  }
}

}  // namespace

void binary(Context& context, BinaryFn fn, In a, In b, Out y) {
  Joined joined(y.shape, a.shape, b.shape);
  const auto inner = joined.inner();
  bool a_still = inner.a_step == 0, b_still = inner.b_step == 0;
  visit_fast(a.dtype, [&](auto type) {
    using T = decltype(type);
    functors::visit(fn, [&](auto functor) {
      parallel(context, y.count(), kGrain, [&](int64_t begin, int64_t end) {
        alignas(64) float in_a[kPiece], in_b[kPiece], out[kPiece];
        for (int64_t i = begin; i < end;) {
          int64_t row = i / inner.size, j = i % inner.size, n = std::min({kPiece, end - i, inner.size - j});
          const T *pa = a.as<T>() + j * inner.a_step, *pb = b.as<T>() + j * inner.b_step;
          for (int d = joined.rank - 2; d >= 0; --d) {
            const auto& outer = joined.dimensions[d];
            pa += row % outer.size * outer.a_step;
            pb += row % outer.size * outer.b_step;
            row /= outer.size;
          }
          float* to = place_for(y.as<T>() + i, out);
          combine(functor, as_floats(pa, a_still ? 1 : n, in_a), as_floats(pb, b_still ? 1 : n, in_b), to, n, a_still, b_still);
          put_back(y.as<T>() + i, to, n);
          i += n;
        }
      }, kPiece);
    });
  });
}

}  // namespace plumage::cpu
