// Reductions, rows and views. y and x are kept only where a formula names them.
#include "autograd/functions.h"
#include "autograd/tape.h"

namespace plumage {

Var reshape(const Var& x, const Shape& shape) {
  return record("reshape", x.value().reshape(shape), {x}, [from = x.shape()](const Tensor& dy, Gradients& d) {
    d.add(0, dy.reshape(from));
  });
}

Var slice(const Var& x, int64_t first, int64_t count) {
  return record("slice", x.value().slice(first, count), {x}, [from = x.shape(), first](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::narrow_bwd(dy, from, 0, first); });
  });
}

Var narrow(const Var& x, int dimension, int64_t first, int64_t count) {
  Tensor y = ops::narrow(x.value(), dimension, first, count);
  return record("narrow", y, {x}, [from = x.shape(), dimension, first](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::narrow_bwd(dy, from, dimension, first); });
  });
}

Var concat(const std::vector<Var>& parts, int dimension) {
  std::vector<Tensor> values;
  std::vector<int64_t> sizes;
  for (const Var& part : parts) {
    values.push_back(part.value());
    sizes.push_back(part.size(dimension));
  }
  return record("concat", ops::concat(values, dimension), parts, [sizes, dimension](const Tensor& dy, Gradients& d) {
    int64_t first = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      d.add(int(i), [&] { return ops::narrow(dy, dimension, first, sizes[i]); });
      first += sizes[i];
    }
  });
}

namespace {
// dy, shaped like a reduction of `shape`, repeated to it.
Tensor spread(const Tensor& dy, const Shape& shape) { return ops::add(Tensor::zeros(shape, dy.dtype(), dy.device()), dy); }
}  // namespace

Var sum_to(const Var& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  return record("sum_to", ops::sum_to(x.value(), shape), {x}, [from = x.shape()](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return spread(dy, from); });
  });
}

Var sum(const Var& x) { return sum_to(x, {}); }

Var mean(const Var& x) {
  if (x.value().count() == 0) throw ShapeError("mean: x has no elements");
  return scale(sum(x), 1.0 / double(x.value().count()));
}

Var sum_last(const Var& x) {
  Shape kept = x.shape(), dropped;
  kept.set(-1, 1);
  for (int i = 0; i + 1 < kept.rank(); ++i) dropped.push_back(kept[i]);
  return reshape(sum_to(x, kept), dropped);
}

std::pair<Var, Tensor> max_last(const Var& x) {
  auto [y, index] = ops::max_last(x.value());
  // Only the first maximum of a row takes the gradient.
  Var v = record("max_last", y, {x}, [index = index, from = x.shape()](const Tensor& dy, Gradients& d) {
    d.add(0, [&] {
      Shape column = from;
      column.set(-1, 1);
      return ops::put_last(dy.reshape(column), index.reshape(column), from[-1]);
    });
  });
  return {v, index};
}

std::pair<Var, Tensor> top_k(const Var& x, int64_t k, bool largest) {
  auto [y, index] = ops::top_k(x.value(), k, largest);
  Var v = record("top_k", y, {x}, [index = index, columns = x.size(-1)](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::put_last(dy, index, columns); });
  });
  return {v, index};
}

Var softmax(const Var& x) {
  Tensor y = ops::softmax(x.value());
  // dx = y * (dy - sum(dy * y))
  return record("softmax", y, {x}, [y](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::softmax_bwd(y, dy); });
  });
}

Var log_softmax(const Var& x) {
  Tensor y = ops::log_softmax(x.value());
  // dx = dy - exp(y) * sum(dy)
  return record("log_softmax", y, {x}, [y](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::log_softmax_bwd(y, dy); });
  });
}

Var logsumexp(const Var& x) {
  Tensor y = ops::logsumexp(x.value());
  // dx = dy * exp(x - y)
  return record("logsumexp", y, {x}, [x = x.value(), y](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::logsumexp_bwd(x, y, dy); });
  });
}

Var l2_normalize(const Var& x, double epsilon) {
  auto [y, norm] = ops::l2_normalize(x.value(), epsilon);
  // dx = (dy - y * sum(dy * y)) / |x|
  return record("l2_normalize", y, {x}, [y = y, norm = norm, epsilon](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::l2_normalize_bwd(y, norm, dy, epsilon); });
  });
}

Var gather_rows(const Var& x, const Tensor& index) {
  return record("gather_rows", ops::gather_rows(x.value(), index), {x}, [index, rows = x.size(0)](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::scatter_add_rows(dy, index, rows); });
  });
}

Var cross_entropy(const Var& logits, const Tensor& labels) {
  auto [loss, lse] = ops::cross_entropy(logits.value(), labels);
  // dlogits = dloss * (softmax(logits) - onehot(labels))
  return record("cross_entropy", loss, {logits}, [logits = logits.value(), labels, lse = lse](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::cross_entropy_bwd(logits, labels, lse, dy); });
  });
}

Var attend(const Var& q, const Tensor& keys, double scale) {
  auto [lse, mean] = ops::attend(q.value(), keys, scale);
  // dq = dlse * scale * softmax(scale q keys^T) keys
  return record("attend", lse, {q}, [mean = mean, scale](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::mul(mean, ops::scale(dy, scale).reshape({-1, 1})); });
  });
}

}  // namespace plumage
