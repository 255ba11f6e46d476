// Ops on numbers and rows: check, allocate, dispatch; nothing is computed here. Images: tensor/image_ops.cpp, updates:
// tensor/update_ops.cpp, kernels: tensor/backend/.
#include "tensor/dispatch.h"

namespace plumage::ops {

// --- fill and random

void fill(Tensor& y, double value) {
  if (!y.defined()) throw ShapeError("fill: y is undefined");
  DISPATCH(fill, y, out(y), value);
  if (y.dtype() == DType::i64) y.note_index_limit(value >= 0 ? int64_t(value) + 1 : -1);
}

Tensor constant(const std::vector<double>& values, const Shape& shape, DType dtype, Device device) {
  auto make = [&] { return cast(Tensor::from(values, shape), dtype).to(device); };
  if (device.kind == Device::Kind::cpu) return make();
  std::string key = std::string(name_of(dtype)) + shape.str();
  key.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
  Tensor& kept = Context::of(device).constants[key];
  if (!kept.defined()) kept = make();
  return kept;
}

Tensor uniform(const Shape& shape, PhiloxKey key, double low, double high, DType dtype, Device device) {
  Tensor y = Tensor::empty(shape, dtype, device);
  check_float(y, "uniform", "y");
  DISPATCH(uniform, y, out(y), key, low, high);
  return y;
}

Tensor normal(const Shape& shape, PhiloxKey key, double mean, double std, DType dtype, Device device, const Tensor& clock) {
  Tensor y = Tensor::empty(shape, dtype, device);
  check_float(y, "normal", "y");
  if (clock.defined()) check_live(clock, DType::i64, device, "normal", "clock");
  DISPATCH(normal, y, out(y), key, mean, std, maybe_in(clock));
  return y;
}

Tensor cast(const Tensor& x, DType dtype) {
  if (!x.defined()) throw ShapeError("cast: x is undefined");
  if (x.dtype() == dtype) return x;
  Tensor y = Tensor::empty(x.shape(), dtype, x.device());
  DISPATCH(cast, x, in(x), out(y));
  return y;
}

// --- pointwise

bool unary_keeps_output(UnaryFn fn) {
  switch (fn) {
    case UnaryFn::relu: case UnaryFn::exp: case UnaryFn::sqrt: case UnaryFn::sigmoid: case UnaryFn::tanh: return true;
    default: return false;
  }
}

Tensor unary(UnaryFn fn, const Tensor& x) {
  check_float(x, "unary", "x");
  Tensor y = like(x);
  DISPATCH(unary, x, fn, in(x), out(y));
  return y;
}

Tensor unary_bwd(UnaryFn fn, const Tensor& kept, const Tensor& dy) {
  check_float(kept, "unary_bwd", "kept");
  check_like(dy, kept, "unary_bwd", "dy");
  check_shape(dy, kept.shape(), "unary_bwd", "dy");
  Tensor dx = like(kept);
  DISPATCH(unary_bwd, kept, fn, in(kept), in(dy), out(dx));
  return dx;
}

Tensor binary(BinaryFn fn, const Tensor& a, const Tensor& b) {
  check_float(a, "binary", "a");
  check_like(b, a, "binary", "b");
  Tensor y = Tensor::empty(broadcast(a.shape(), b.shape(), "binary"), a.dtype(), a.device());
  DISPATCH(binary, a, fn, in(a), in(b), out(y));
  return y;
}

Tensor affine(const Tensor& x, double scale, double shift) {
  check_float(x, "affine", "x");
  Tensor y = like(x);
  DISPATCH(affine, x, in(x), out(y), scale, shift);
  return y;
}

void accumulate(const Tensor& x, Tensor& y) {
  check_float(y, "accumulate", "y");
  check_like(x, y, "accumulate", "x");
  check_shape(x, y.shape(), "accumulate", "x");
  DISPATCH(accumulate, y, in(x), out(y));
}

// --- reductions and rows

Tensor sum_to(const Tensor& x, const Shape& shape) {
  check_float(x, "sum_to", "x");
  if (!(broadcast(x.shape(), shape, "sum_to") == x.shape()))
    throw ShapeError(message("sum_to: ", shape.str(), " does not broadcast to x's ", x.shape().str()));
  if (x.shape() == shape) return x;
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  DISPATCH(sum_to, x, in(x), out(y));
  return y;
}

Tensor sum(const Tensor& x) { return sum_to(x, {}); }

Tensor mean(const Tensor& x) {
  if (x.count() == 0) throw ShapeError("mean: x has no elements");
  return affine(sum(x), 1.0 / double(x.count()), 0);
}

std::pair<Tensor, Tensor> max_last(const Tensor& x) {
  check_float(x, "max_last", "x");
  Shape shape = without_last(x.shape(), "max_last");
  if (x.size(-1) < 1) throw ShapeError("max_last: the last dimension is empty");
  Tensor y = Tensor::empty(shape, x.dtype(), x.device()), index = Tensor::empty(shape, DType::i64, x.device());
  DISPATCH(max_last, x, in(x), out(y), out(index));
  index.note_index_limit(x.size(-1));
  return {y, index};
}

std::pair<Tensor, Tensor> top_k(const Tensor& x, int64_t k, bool largest) {
  check_float(x, "top_k", "x");
  if (x.rank() < 1 || k < 1 || k > x.size(-1))
    throw ShapeError(message("top_k: k=", k, " of rows in ", x.shape().str()));
  Shape shape = with_last(x.shape(), k);
  Tensor values = Tensor::empty(shape, x.dtype(), x.device()), index = Tensor::empty(shape, DType::i64, x.device());
  DISPATCH(top_k, x, in(x), out(values), out(index), largest);
  index.note_index_limit(x.size(-1));
  return {values, index};
}

Tensor put_last(const Tensor& dy, const Tensor& index, int64_t columns) {
  check_float(dy, "put_last", "dy");
  if (dy.rank() < 1) throw ShapeError("put_last: dy must have at least one dimension, got a scalar");
  if (!index.defined() || !(index.shape() == dy.shape()))
    throw ShapeError("put_last: index must have dy's shape " + dy.shape().str());
  check_index(index, dy, columns, "put_last", "index");
  Tensor dx = Tensor::empty(with_last(dy.shape(), columns), dy.dtype(), dy.device());
  DISPATCH(put_last, dy, in(dy), in(index), out(dx));
  return dx;
}

Tensor softmax(const Tensor& x) {
  check_float(x, "softmax", "x");
  without_last(x.shape(), "softmax");
  Tensor y = like(x);
  DISPATCH(softmax, x, in(x), out(y));
  return y;
}

Tensor softmax_bwd(const Tensor& y, const Tensor& dy) {
  check_float(y, "softmax_bwd", "y");
  check_like(dy, y, "softmax_bwd", "dy");
  check_shape(dy, y.shape(), "softmax_bwd", "dy");
  Tensor dx = like(y);
  DISPATCH(softmax_bwd, y, in(y), in(dy), out(dx));
  return dx;
}

Tensor log_softmax(const Tensor& x) {
  check_float(x, "log_softmax", "x");
  without_last(x.shape(), "log_softmax");
  Tensor y = like(x);
  DISPATCH(log_softmax, x, in(x), out(y));
  return y;
}

Tensor log_softmax_bwd(const Tensor& y, const Tensor& dy) {
  check_float(y, "log_softmax_bwd", "y");
  check_like(dy, y, "log_softmax_bwd", "dy");
  check_shape(dy, y.shape(), "log_softmax_bwd", "dy");
  Tensor dx = like(y);
  DISPATCH(log_softmax_bwd, y, in(y), in(dy), out(dx));
  return dx;
}

Tensor logsumexp(const Tensor& x) {
  check_float(x, "logsumexp", "x");
  Tensor y = Tensor::empty(without_last(x.shape(), "logsumexp"), x.dtype(), x.device());
  DISPATCH(logsumexp, x, in(x), out(y));
  return y;
}

Tensor logsumexp_bwd(const Tensor& x, const Tensor& y, const Tensor& dy) {
  check_float(x, "logsumexp_bwd", "x");
  Shape rows = without_last(x.shape(), "logsumexp_bwd");
  check_like(y, x, "logsumexp_bwd", "y");
  check_like(dy, x, "logsumexp_bwd", "dy");
  check_shape(y, rows, "logsumexp_bwd", "y");
  check_shape(dy, rows, "logsumexp_bwd", "dy");
  Tensor dx = like(x);
  DISPATCH(logsumexp_bwd, x, in(x), in(y), in(dy), out(dx));
  return dx;
}

std::pair<Tensor, Tensor> l2_normalize(const Tensor& x, double epsilon) {
  check_float(x, "l2_normalize", "x");
  Tensor norm = Tensor::empty(without_last(x.shape(), "l2_normalize"), statistics_type(x.dtype()), x.device());
  Tensor y = like(x);
  DISPATCH(l2_normalize, x, in(x), out(y), out(norm), epsilon);
  return {y, norm};
}

Tensor l2_normalize_bwd(const Tensor& y, const Tensor& norm, const Tensor& dy, double epsilon) {
  check_float(y, "l2_normalize_bwd", "y");
  check_like(dy, y, "l2_normalize_bwd", "dy");
  check_shape(dy, y.shape(), "l2_normalize_bwd", "dy");
  check_shape(norm, without_last(y.shape(), "l2_normalize_bwd"), "l2_normalize_bwd", "norm");
  check_device(norm, y, "l2_normalize_bwd", "norm");
  Tensor dx = like(y);
  DISPATCH(l2_normalize_bwd, y, in(y), in(norm), in(dy), out(dx), epsilon);
  return dx;
}

Tensor gather_rows(const Tensor& x, const Tensor& index) {
  if (!x.defined() || x.rank() < 1) throw ShapeError("gather_rows: x must have at least one dimension");
  check_rank(index, 1, "gather_rows", "index", "[M]");
  check_index(index, x, x.size(0), "gather_rows", "index");
  Shape shape = x.shape();
  shape.set(0, index.size(0));
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  DISPATCH(gather_rows, x, in(x), in(index), out(y));
  return y;
}

void put_rows(Tensor& ring, const Tensor& rows, const Tensor& first) {
  check_like(rows, ring, "put_rows", "rows");
  Shape wanted = ring.shape();
  if (wanted.rank() < 1 || rows.rank() < 1) throw ShapeError("put_rows: ring and rows must have at least one dimension");
  wanted.set(0, rows.size(0));
  check_shape(rows, wanted, "put_rows", "rows");
  if (rows.size(0) > ring.size(0))
    throw ShapeError(message("put_rows: ", rows.size(0), " rows do not fit into ", ring.size(0)));
  check_live(first, DType::i64, ring.device(), "put_rows", "first");
  DISPATCH(put_rows, ring, in(rows), in(first), out(ring));
}

Tensor scatter_add_rows(const Tensor& dy, const Tensor& index, int64_t rows) {
  check_float(dy, "scatter_add_rows", "dy");
  if (dy.rank() < 1) throw ShapeError("scatter_add_rows: dy must have at least one dimension");
  check_rank(index, 1, "scatter_add_rows", "index", "[M]");
  if (index.size(0) != dy.size(0))
    throw ShapeError(message("scatter_add_rows: ", index.size(0), " indices for ", dy.size(0), " rows"));
  check_index(index, dy, rows, "scatter_add_rows", "index");
  Shape shape = dy.shape();
  shape.set(0, rows);
  Tensor dx = Tensor::empty(shape, dy.dtype(), dy.device());
  DISPATCH(scatter_add_rows, dy, in(dy), in(index), out(dx));
  return dx;
}

namespace {

// A dimension seen as [outer, size, inner].
struct Axis {
  int dimension;
  int64_t outer = 1, size = 0, inner = 1;
};

Axis axis_of(const Shape& shape, int dimension, const char* op) {
  if (dimension < 0) dimension += shape.rank();
  if (dimension < 0 || dimension >= shape.rank())
    throw ShapeError(message(op, ": dimension ", dimension, " of shape ", shape.str()));
  Axis axis{dimension, 1, shape[dimension], 1};
  for (int i = 0; i < dimension; ++i) axis.outer *= shape[i];
  for (int i = dimension + 1; i < shape.rank(); ++i) axis.inner *= shape[i];
  return axis;
}

}  // namespace

Tensor concat(const std::vector<Tensor>& parts, int dimension) {
  if (parts.empty()) throw ShapeError("concat: no parts");
  Shape shape = parts[0].shape();
  Axis axis = axis_of(shape, dimension, "concat");
  int64_t total = 0;
  for (const Tensor& part : parts) {
    check_like(part, parts[0], "concat", "part");
    Shape want = shape;
    if (part.rank() == shape.rank()) want.set(axis.dimension, part.size(axis.dimension));
    check_shape(part, want, "concat", "part");
    total += part.size(axis.dimension);
  }
  shape.set(axis.dimension, total);
  Tensor y = Tensor::empty(shape, parts[0].dtype(), parts[0].device());
  int64_t offset = 0;
  for (const Tensor& part : parts) {
    int64_t width = part.size(axis.dimension) * axis.inner;
    Block block{axis.outer, width, width, total * axis.inner, 0, offset};
    DISPATCH(copy_block, part, in(part), out(y), block);
    offset += width;
  }
  return y;
}

Tensor narrow(const Tensor& x, int dimension, int64_t first, int64_t count) {
  if (!x.defined()) throw ShapeError("narrow: x is undefined");
  Axis axis = axis_of(x.shape(), dimension, "narrow");
  if (first < 0 || count < 0 || first > axis.size - count)
    throw ShapeError(message("narrow: ", count, " from ", first, " on, of dimension ", axis.dimension, " of ", x.shape().str()));
  Shape shape = x.shape();
  shape.set(axis.dimension, count);
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  Block block{axis.outer, count * axis.inner, axis.size * axis.inner, count * axis.inner, first * axis.inner, 0};
  DISPATCH(copy_block, x, in(x), out(y), block);
  return y;
}

Tensor narrow_bwd(const Tensor& dy, const Shape& shape, int dimension, int64_t first) {
  Axis axis = axis_of(shape, dimension, "narrow_bwd");
  int64_t count = dy.size(axis.dimension);
  if (first < 0 || first > axis.size - count) throw ShapeError("narrow_bwd: dy does not fit " + shape.str());
  Tensor dx = Tensor::zeros(shape, dy.dtype(), dy.device());
  Block block{axis.outer, count * axis.inner, count * axis.inner, axis.size * axis.inner, 0, first * axis.inner};
  DISPATCH(copy_block, dy, in(dy), out(dx), block);
  return dx;
}

// --- matrix product

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b, const Tensor& bias) {
  check_float(a, "matmul", "a");
  check_like(b, a, "matmul", "b");
  if (a.rank() != b.rank() || (a.rank() != 2 && a.rank() != 3))
    throw ShapeError(message("matmul: a and b must both be [M, K] or [B, M, K], got ", a.shape().str(), " and ", b.shape().str()));
  bool batched = a.rank() == 3;
  if (batched && a.size(0) != b.size(0))
    throw ShapeError(message("matmul: a has ", a.size(0), " matrices, b has ", b.size(0)));
  int64_t m = a.size(transpose_a ? -1 : -2), ka = a.size(transpose_a ? -2 : -1);
  int64_t kb = b.size(transpose_b ? -1 : -2), n = b.size(transpose_b ? -2 : -1);
  if (ka != kb)
    throw ShapeError(message("matmul: inner sizes differ: a ", a.shape().str(), transpose_a ? " transposed" : "", ", b ",
                             b.shape().str(), transpose_b ? " transposed" : ""));
  if (bias.defined()) {
    DType wide = statistics_type(a.dtype());
    if (bias.dtype() != a.dtype() && bias.dtype() != wide)
      throw DTypeError(message("matmul: bias must be ", name_of(a.dtype()), " or ", name_of(wide), ", got ", name_of(bias.dtype())));
    check_device(bias, a, "matmul", "bias");
    check_shape(bias, {n}, "matmul", "bias");
  }
  Tensor y = Tensor::empty(batched ? Shape{a.size(0), m, n} : Shape{m, n}, bias.defined() ? bias.dtype() : a.dtype(), a.device());
  profile_count(2 * double(y.count()) * double(ka));
  DISPATCH(matmul, a, in(a), in(b), maybe_in(bias), out(y), transpose_a, transpose_b);
  return y;
}

// --- losses

std::pair<Tensor, Tensor> cross_entropy(const Tensor& logits, const Tensor& labels) {
  check_float(logits, "cross_entropy", "logits");
  check_rank(logits, 2, "cross_entropy", "logits", "[B, C]");
  check_rank(labels, 1, "cross_entropy", "labels", "[B]");
  check_shape(labels, {logits.size(0)}, "cross_entropy", "labels");
  check_index(labels, logits, logits.size(1), "cross_entropy", "labels");
  Tensor loss = Tensor::empty({logits.size(0)}, logits.dtype(), logits.device());
  Tensor lse = Tensor::empty({logits.size(0)}, statistics_type(logits.dtype()), logits.device());
  DISPATCH(cross_entropy, logits, in(logits), in(labels), out(loss), out(lse));
  return {loss, lse};
}

Attention attend(const Tensor& q, const Tensor& keys, double scale) {
  check_float(q, "attend", "q");
  check_rank(q, 2, "attend", "q", "[B, d]");
  check_like(keys, q, "attend", "keys");
  check_rank(keys, 2, "attend", "keys", "[K, d]");
  if (keys.size(0) == 0) throw ShapeError("attend: no keys");
  check_shape(keys, {keys.size(0), q.size(1)}, "attend", "keys");
  Attention a{Tensor::empty({q.size(0)}, q.dtype(), q.device()), like(q)};
  profile_count(4 * double(q.count()) * double(keys.size(0)));
  DISPATCH(attend, q, in(q), in(keys), out(a.lse), out(a.mean), scale);
  return a;
}

Tensor cross_entropy_bwd(const Tensor& logits, const Tensor& labels, const Tensor& lse, const Tensor& dloss) {
  check_float(logits, "cross_entropy_bwd", "logits");
  check_rank(logits, 2, "cross_entropy_bwd", "logits", "[B, C]");
  check_shape(labels, {logits.size(0)}, "cross_entropy_bwd", "labels");
  check_index(labels, logits, logits.size(1), "cross_entropy_bwd", "labels");
  check_shape(lse, {logits.size(0)}, "cross_entropy_bwd", "lse");
  check_device(lse, logits, "cross_entropy_bwd", "lse");
  check_like(dloss, logits, "cross_entropy_bwd", "dloss");
  check_shape(dloss, {logits.size(0)}, "cross_entropy_bwd", "dloss");
  Tensor d = like(logits);
  DISPATCH(cross_entropy_bwd, logits, in(logits), in(labels), in(lse), in(dloss), out(d));
  return d;
}

}  // namespace plumage::ops
