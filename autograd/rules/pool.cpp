// Pooling keeps no images: the argmax (max), or nothing but the shape.
#include "autograd/functions.h"
#include "autograd/tape.h"

namespace plumage {

Var max_pool(const Var& x, int64_t kernel, int64_t stride, int64_t pad) {
  auto [y, argmax] = ops::max_pool(x.value(), kernel, stride, pad);
  return record("max_pool", y, {x}, [argmax = argmax, from = x.shape(), kernel, stride, pad](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::max_pool_bwd(dy, argmax, from, kernel, stride, pad); });
  });
}

Var avg_pool(const Var& x, int64_t kernel, int64_t stride, int64_t pad) {
  Tensor y = ops::avg_pool(x.value(), kernel, stride, pad);
  return record("avg_pool", y, {x}, [from = x.shape(), kernel, stride, pad](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::avg_pool_bwd(dy, from, kernel, stride, pad); });
  });
}

Var global_avg_pool(const Var& x) {
  return record("global_avg_pool", ops::global_avg_pool(x.value()), {x}, [from = x.shape()](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::global_avg_pool_bwd(dy, from); });
  });
}

Var upsample(const Var& x, int factor) {
  return record("upsample", ops::upsample(x.value(), factor), {x}, [factor](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::upsample_bwd(dy, factor); });
  });
}

}  // namespace plumage
