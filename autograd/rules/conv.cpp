// Convolution: dx is the correlation of dy with the filters turned round, dw that of x with dy. Kernels of their own.
#include "autograd/functions.h"
#include "autograd/tape.h"

namespace plumage {

namespace {

Var recorded(const Tensor& y, const Var& x, const Var& w, int64_t stride, int64_t pad, int up) {
  return record("conv2d", y, {x, w}, [x = Kept(x), w = w.value(), stride, pad, up](const Tensor& dy, Gradients& d) {
    d.add(1, [&] { return ops::conv2d_dw(x.value(), dy, w.shape(), stride, pad, up); });
    d.add_onto(0, [&](Tensor onto) {
      NormLink* link = d.link(0);
      if (!link) return ops::conv2d_dx(dy, w, x.shape(), stride, pad, std::move(onto), up);
      auto [dx, sums] = ops::conv2d_dx(dy, w, x.shape(), stride, pad, std::move(onto), up, {link->x.value(), link->y, link->norm});
      link->sums = sums;
      return dx;
    });
  });
}

}  // namespace

Var conv2d(const Var& x, const Var& w, int64_t stride, int64_t pad, int up) {
  return recorded(ops::conv2d(x.value(), w.value(), stride, pad, up), x, w, stride, pad, up);  // [N, P, Q, K]
}

std::pair<Var, ops::Moments> conv2d_stats(const Var& x, const Var& w, int64_t stride, int64_t pad, int64_t groups, bool recompute,
                                          int up) {
  auto [y, moments] = ops::conv2d_stats(x.value(), w.value(), stride, pad, groups, up);  // [N, P, Q, K], [groups, K]
  Var out = recorded(y, x, w, stride, pad, up);
  if (recompute && out.needs_grad())
    out.node()->recompute = [x = Kept(x), w = w.value(), stride, pad, up] { return ops::conv2d(x.value(), w, stride, pad, up); };
  return {out, moments};
}

}  // namespace plumage
