// Elementwise ops, by the functors that all backends share.
#include "tensor/backend/functors.h"
#include "tensor/backend/ref/broadcast.h"
#include "tensor/backend/ref/elements.h"

namespace plumage::ref {

void unary(Context&, UnaryFn fn, In x, Out y) {
  functors::visit(fn, [&](auto functor) {
    Reader in(x);
    Writer out(y);
    for (int64_t i = 0; i < y.count(); ++i) out.set(i, functor.f(in[i]));
  });
}

void unary_bwd(Context&, UnaryFn fn, In kept, In dy, Out dx) {
  functors::visit(fn, [&](auto functor) {
    Reader k(kept), g(dy);
    Writer out(dx);
    for (int64_t i = 0; i < dx.count(); ++i) out.set(i, functor.df(k[i], g[i]));
  });
}

void binary(Context&, BinaryFn fn, In a, In b, Out y) {
  functors::visit(fn, [&](auto functor) {
    Reader ra(a), rb(b);
    Writer out(y);
    walk(y.shape, a.shape, b.shape,
         [&](int64_t i, int64_t ia, int64_t ib) { out.set(i, functor.f(ra[ia], rb[ib])); });
  });
}

void affine(Context&, In x, Out y, double scale, double shift) {
  Reader in(x);
  Writer out(y);
  for (int64_t i = 0; i < y.count(); ++i) out.set(i, scale * in[i] + shift);
}

void accumulate(Context&, In x, Out y) {
  Reader in(x), old(y);
  Writer out(y);
  for (int64_t i = 0; i < y.count(); ++i) out.set(i, old[i] + in[i]);
}

}  // namespace plumage::ref
