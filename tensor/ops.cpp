// Check, allocate, dispatch: nothing is computed here. The kernels: tensor/backend/.
#include "tensor/ops.h"

#include <cstring>

#include "tensor/context.h"
#include "tensor/profile.h"

namespace plumage::ops {

namespace {

In in(const Tensor& t) { return {t.raw(), t.shape(), t.dtype()}; }
Out out(Tensor& t) { return {t.raw(), t.shape(), t.dtype()}; }
In maybe_in(const Tensor& t) { return t.defined() ? in(t) : In{}; }

// Runs an op's kernel from the table of `like`'s device and type.
#define DISPATCH(name, like, ...)                                          \
  do {                                                                     \
    Context& context_ = Context::of((like).device());                      \
    OpTimer timer_(Op::name, (like).shape(), (like).dtype());              \
    context_.kernels((like).dtype()).name(context_, __VA_ARGS__);          \
  } while (false)

void check_float(const Tensor& t, const char* op, const char* argument) {
  if (!t.defined()) throw ShapeError(message(op, ": ", argument, " is undefined"));
  if (!is_float(t.dtype()))
    throw DTypeError(message(op, ": ", argument, " must be f64, f32 or bf16, got ", name_of(t.dtype())));
}

void check_like(const Tensor& t, const Tensor& like, const char* op, const char* argument) {
  if (!t.defined()) throw ShapeError(message(op, ": ", argument, " is undefined"));
  if (t.dtype() != like.dtype())
    throw DTypeError(message(op, ": ", argument, " must be ", name_of(like.dtype()), ", got ", name_of(t.dtype())));
  if (!(t.device() == like.device()))
    throw DeviceError(message(op, ": ", argument, " is on ", t.device().str(), ", wanted ", like.device().str()));
}

void check_shape(const Tensor& t, const Shape& shape, const char* op, const char* argument) {
  if (!(t.shape() == shape))
    throw ShapeError(message(op, ": ", argument, " must have shape ", shape.str(), ", got ", t.shape().str()));
}

void check_rank(const Tensor& t, int rank, const char* op, const char* argument, const char* layout) {
  if (t.rank() != rank) throw ShapeError(message(op, ": ", argument, " must be ", layout, ", got ", t.shape().str()));
}

void check_index(const Tensor& index, int64_t limit, const char* op, const char* argument) {
  if (index.dtype() != DType::i64)
    throw DTypeError(message(op, ": ", argument, " must be i64, got ", name_of(index.dtype())));
  for (int64_t i : index.span<int64_t>())
    if (i < 0 || i >= limit) throw ShapeError(message(op, ": ", argument, " holds ", i, ", wanted 0 to ", limit - 1));
}

Shape without_last(const Shape& s, const char* op) {
  if (s.rank() < 1) throw ShapeError(message(op, ": x must have at least one dimension, got a scalar"));
  Shape y;
  for (int i = 0; i + 1 < s.rank(); ++i) y.push_back(s[i]);
  return y;
}

Shape with_last(const Shape& s, int64_t last) {
  Shape y = s;
  y.set(-1, last);
  return y;
}

/// Type of statistics, norms and sums kept beside data of type t.
DType statistics_type(DType t) { return t == DType::f64 ? DType::f64 : DType::f32; }

Tensor like(const Tensor& t) { return Tensor::empty(t.shape(), t.dtype(), t.device()); }

}  // namespace

// --- fill and random

void fill(Tensor& y, double value) {
  if (!y.defined()) throw ShapeError("fill: y is undefined");
  DISPATCH(fill, y, out(y), value);
}

Tensor uniform(const Shape& shape, PhiloxKey key, double low, double high, DType dtype) {
  Tensor y = Tensor::empty(shape, dtype);
  check_float(y, "uniform", "y");
  DISPATCH(uniform, y, out(y), key, low, high);
  return y;
}

Tensor normal(const Shape& shape, PhiloxKey key, double mean, double std, DType dtype) {
  Tensor y = Tensor::empty(shape, dtype);
  check_float(y, "normal", "y");
  DISPATCH(normal, y, out(y), key, mean, std);
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
  return {y, index};
}

std::pair<Tensor, Tensor> top_k(const Tensor& x, int64_t k, bool largest) {
  check_float(x, "top_k", "x");
  if (x.rank() < 1 || k < 1 || k > x.size(-1))
    throw ShapeError(message("top_k: k=", k, " of rows in ", x.shape().str()));
  Shape shape = with_last(x.shape(), k);
  Tensor values = Tensor::empty(shape, x.dtype(), x.device()), index = Tensor::empty(shape, DType::i64, x.device());
  DISPATCH(top_k, x, in(x), out(values), out(index), largest);
  return {values, index};
}

Tensor put_last(const Tensor& dy, const Tensor& index, int64_t columns) {
  check_float(dy, "put_last", "dy");
  if (dy.rank() < 1) throw ShapeError("put_last: dy must have at least one dimension, got a scalar");
  if (!index.defined() || !(index.shape() == dy.shape()))
    throw ShapeError("put_last: index must have dy's shape " + dy.shape().str());
  check_index(index, columns, "put_last", "index");
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
  Tensor dx = like(y);
  DISPATCH(l2_normalize_bwd, y, in(y), in(norm), in(dy), out(dx), epsilon);
  return dx;
}

Tensor gather_rows(const Tensor& x, const Tensor& index) {
  if (!x.defined() || x.rank() < 1) throw ShapeError("gather_rows: x must have at least one dimension");
  check_rank(index, 1, "gather_rows", "index", "[M]");
  check_index(index, x.size(0), "gather_rows", "index");
  Shape shape = x.shape();
  shape.set(0, index.size(0));
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  DISPATCH(gather_rows, x, in(x), in(index), out(y));
  return y;
}

Tensor scatter_add_rows(const Tensor& dy, const Tensor& index, int64_t rows) {
  check_float(dy, "scatter_add_rows", "dy");
  if (dy.rank() < 1) throw ShapeError("scatter_add_rows: dy must have at least one dimension");
  check_rank(index, 1, "scatter_add_rows", "index", "[M]");
  if (index.size(0) != dy.size(0))
    throw ShapeError(message("scatter_add_rows: ", index.size(0), " indices for ", dy.size(0), " rows"));
  check_index(index, rows, "scatter_add_rows", "index");
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

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
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
  Tensor y = Tensor::empty(batched ? Shape{a.size(0), m, n} : Shape{m, n}, a.dtype(), a.device());
  profile_count(2 * double(y.count()) * double(ka));
  DISPATCH(matmul, a, in(a), in(b), out(y), transpose_a, transpose_b);
  return y;
}

// --- convolution, pooling, upsampling

namespace {

int64_t window_positions(int64_t size, int64_t kernel, int64_t stride, int64_t pad, const char* op, const Shape& x) {
  if (kernel < 1 || stride < 1 || pad < 0 || pad > INT32_MAX)
    throw ShapeError(message(op, ": kernel ", kernel, ", stride ", stride, ", pad ", pad, ": wanted kernel and stride >= 1, pad 0 to 2^31"));
  int64_t padded = size + 2 * pad - kernel;
  if (padded < 0)
    throw ShapeError(message(op, ": kernel ", kernel, " with pad ", pad, " is larger than the image, x ", x.str()));
  return padded / stride + 1;
}

Shape conv_output(const Shape& x, const Shape& w, int64_t stride, int64_t pad, const char* op) {
  if (x.rank() != 4) throw ShapeError(message(op, ": x must be [N, H, W, C], got ", x.str()));
  if (w.rank() != 4) throw ShapeError(message(op, ": w must be [K, R, S, C], got ", w.str()));
  if (x[3] != w[3]) throw ShapeError(message(op, ": w has C=", w[3], ", x has C=", x[3]));
  return {x[0], window_positions(x[1], w[1], stride, pad, op, x), window_positions(x[2], w[2], stride, pad, op, x), w[0]};
}

// All three passes of a convolution cost the same: w's filter at each output pixel.
void count_convolution(const Shape& y, const Shape& w) {
  profile_count(2 * double(y.count()) * double(w[1]) * double(w[2]) * double(w[3]));
}

Shape pool_output(const Shape& x, int64_t kernel, int64_t stride, int64_t pad, const char* op) {
  if (x.rank() != 4) throw ShapeError(message(op, ": x must be [N, H, W, C], got ", x.str()));
  if (pad >= kernel) throw ShapeError(message(op, ": pad ", pad, " must be less than kernel ", kernel));
  return {x[0], window_positions(x[1], kernel, stride, pad, op, x), window_positions(x[2], kernel, stride, pad, op, x), x[3]};
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, int64_t stride, int64_t pad) {
  check_float(x, "conv2d", "x");
  check_like(w, x, "conv2d", "w");
  Tensor y = Tensor::empty(conv_output(x.shape(), w.shape(), stride, pad, "conv2d"), x.dtype(), x.device());
  count_convolution(y.shape(), w.shape());
  DISPATCH(conv2d, x, in(x), in(w), out(y), (Window{w.size(1), w.size(2), stride, pad}));
  return y;
}

Tensor conv2d_dx(const Tensor& dy, const Tensor& w, const Shape& x_shape, int64_t stride, int64_t pad) {
  check_float(dy, "conv2d_dx", "dy");
  check_like(w, dy, "conv2d_dx", "w");
  check_shape(dy, conv_output(x_shape, w.shape(), stride, pad, "conv2d_dx"), "conv2d_dx", "dy");
  Tensor dx = Tensor::empty(x_shape, dy.dtype(), dy.device());
  count_convolution(dy.shape(), w.shape());
  DISPATCH(conv2d_dx, dy, in(dy), in(w), out(dx), (Window{w.size(1), w.size(2), stride, pad}));
  return dx;
}

Tensor conv2d_dw(const Tensor& x, const Tensor& dy, const Shape& w_shape, int64_t stride, int64_t pad) {
  check_float(x, "conv2d_dw", "x");
  check_like(dy, x, "conv2d_dw", "dy");
  check_shape(dy, conv_output(x.shape(), w_shape, stride, pad, "conv2d_dw"), "conv2d_dw", "dy");
  Tensor dw = Tensor::empty(w_shape, x.dtype(), x.device());
  count_convolution(dy.shape(), w_shape);
  DISPATCH(conv2d_dw, x, in(x), in(dy), out(dw), (Window{w_shape[1], w_shape[2], stride, pad}));
  return dw;
}

std::pair<Tensor, Tensor> max_pool(const Tensor& x, int64_t kernel, int64_t stride, int64_t pad) {
  check_float(x, "max_pool", "x");
  Shape shape = pool_output(x.shape(), kernel, stride, pad, "max_pool");
  Tensor y = Tensor::empty(shape, x.dtype(), x.device()), argmax = Tensor::empty(shape, DType::i32, x.device());
  DISPATCH(max_pool, x, in(x), out(y), out(argmax), (Window{kernel, kernel, stride, pad}));
  return {y, argmax};
}

Tensor max_pool_bwd(const Tensor& dy, const Tensor& argmax, const Shape& x_shape, int64_t kernel, int64_t stride, int64_t pad) {
  check_float(dy, "max_pool_bwd", "dy");
  Shape shape = pool_output(x_shape, kernel, stride, pad, "max_pool_bwd");
  check_shape(dy, shape, "max_pool_bwd", "dy");
  check_shape(argmax, shape, "max_pool_bwd", "argmax");
  if (argmax.dtype() != DType::i32) throw DTypeError("max_pool_bwd: argmax must be i32");
  Tensor dx = Tensor::empty(x_shape, dy.dtype(), dy.device());
  DISPATCH(max_pool_bwd, dy, in(dy), in(argmax), out(dx), (Window{kernel, kernel, stride, pad}));
  return dx;
}

Tensor avg_pool(const Tensor& x, int64_t kernel, int64_t stride, int64_t pad) {
  check_float(x, "avg_pool", "x");
  Tensor y = Tensor::empty(pool_output(x.shape(), kernel, stride, pad, "avg_pool"), x.dtype(), x.device());
  DISPATCH(avg_pool, x, in(x), out(y), (Window{kernel, kernel, stride, pad}));
  return y;
}

Tensor avg_pool_bwd(const Tensor& dy, const Shape& x_shape, int64_t kernel, int64_t stride, int64_t pad) {
  check_float(dy, "avg_pool_bwd", "dy");
  check_shape(dy, pool_output(x_shape, kernel, stride, pad, "avg_pool_bwd"), "avg_pool_bwd", "dy");
  Tensor dx = Tensor::empty(x_shape, dy.dtype(), dy.device());
  DISPATCH(avg_pool_bwd, dy, in(dy), out(dx), (Window{kernel, kernel, stride, pad}));
  return dx;
}

Tensor global_avg_pool(const Tensor& x) {
  check_float(x, "global_avg_pool", "x");
  check_rank(x, 4, "global_avg_pool", "x", "[N, H, W, C]");
  if (x.size(1) * x.size(2) == 0) throw ShapeError("global_avg_pool: no pixels in x " + x.shape().str());
  Tensor y = Tensor::empty({x.size(0), x.size(3)}, x.dtype(), x.device());
  DISPATCH(global_avg_pool, x, in(x), out(y));
  return y;
}

Tensor global_avg_pool_bwd(const Tensor& dy, const Shape& x_shape) {
  check_float(dy, "global_avg_pool_bwd", "dy");
  if (x_shape.rank() != 4) throw ShapeError("global_avg_pool_bwd: x must be [N, H, W, C], got " + x_shape.str());
  check_shape(dy, {x_shape[0], x_shape[3]}, "global_avg_pool_bwd", "dy");
  Tensor dx = Tensor::empty(x_shape, dy.dtype(), dy.device());
  DISPATCH(global_avg_pool_bwd, dy, in(dy), out(dx));
  return dx;
}

Tensor upsample(const Tensor& x, int factor) {
  check_float(x, "upsample", "x");
  check_rank(x, 4, "upsample", "x", "[N, H, W, C]");
  if (factor < 1) throw ShapeError(message("upsample: factor ", factor, ": wanted at least 1"));
  Tensor y = Tensor::empty({x.size(0), x.size(1) * factor, x.size(2) * factor, x.size(3)}, x.dtype(), x.device());
  DISPATCH(upsample, x, in(x), out(y), factor);
  return y;
}

Tensor upsample_bwd(const Tensor& dy, int factor) {
  check_float(dy, "upsample_bwd", "dy");
  check_rank(dy, 4, "upsample_bwd", "dy", "[N, H, W, C]");
  if (factor < 1 || dy.size(1) % factor || dy.size(2) % factor)
    throw ShapeError(message("upsample_bwd: factor ", factor, " does not divide dy ", dy.shape().str()));
  Tensor dx = Tensor::empty({dy.size(0), dy.size(1) / factor, dy.size(2) / factor, dy.size(3)}, dy.dtype(), dy.device());
  DISPATCH(upsample_bwd, dy, in(dy), out(dx), factor);
  return dx;
}

// --- batch normalisation

namespace {

void check_norm(const Tensor& x, const NormArguments& norm, const char* op) {
  if (x.rank() < 2) throw ShapeError(message(op, ": x must be [N, .., C], got ", x.shape().str()));
  int64_t channels = x.size(-1);
  DType type = statistics_type(x.dtype());
  for (auto [t, name] : {std::pair{&norm.gamma, "gamma"}, {&norm.beta, "beta"}}) {
    if (!t->defined() || t->dtype() != type) throw DTypeError(message(op, ": ", name, " must be ", name_of(type)));
    check_shape(*t, {channels}, op, name);
  }
  if (!norm.mean.defined() || norm.mean.rank() != 2 || norm.mean.size(0) < 1)
    throw ShapeError(message(op, ": mean must be [groups, C]"));
  for (auto [t, name] : {std::pair{&norm.mean, "mean"}, {&norm.variance, "variance"}}) {
    if (!t->defined() || t->dtype() != type) throw DTypeError(message(op, ": ", name, " must be ", name_of(type)));
    check_shape(*t, {norm.mean.size(0), channels}, op, name);
  }
  if (x.size(0) % norm.mean.size(0))
    throw ShapeError(message(op, ": ", norm.mean.size(0), " groups do not divide a batch of ", x.size(0)));
}

BatchNorm views(const NormArguments& n) {
  return {in(n.mean), in(n.variance), in(n.gamma), in(n.beta), n.epsilon, n.activation, n.batch_statistics};
}

}  // namespace

Moments batch_norm_stats(const Tensor& x, int64_t groups) {
  check_float(x, "batch_norm_stats", "x");
  if (x.rank() < 2) throw ShapeError("batch_norm_stats: x must be [N, .., C], got " + x.shape().str());
  if (groups < 1 || x.size(0) % groups)
    throw ShapeError(message("batch_norm_stats: ", groups, " groups do not divide a batch of ", x.size(0)));
  if (x.count() == 0) throw ShapeError("batch_norm_stats: no elements in x " + x.shape().str());
  Shape shape{groups, x.size(-1)};
  DType type = statistics_type(x.dtype());
  Moments m{Tensor::empty(shape, type, x.device()), Tensor::empty(shape, type, x.device())};
  DISPATCH(batch_norm_stats, x, in(x), out(m.mean), out(m.variance));
  return m;
}

Tensor batch_norm_apply(const Tensor& x, const Tensor& residual, const NormArguments& norm) {
  check_float(x, "batch_norm_apply", "x");
  check_norm(x, norm, "batch_norm_apply");
  if (residual.defined()) {
    check_like(residual, x, "batch_norm_apply", "residual");
    check_shape(residual, x.shape(), "batch_norm_apply", "residual");
  }
  Tensor y = like(x);
  DISPATCH(batch_norm_apply, x, in(x), maybe_in(residual), out(y), views(norm));
  return y;
}

NormGradients batch_norm_bwd(const Tensor& x, const Tensor& y, const Tensor& dy, const NormArguments& norm, bool want_dresidual) {
  check_float(x, "batch_norm_bwd", "x");
  check_norm(x, norm, "batch_norm_bwd");
  check_like(dy, x, "batch_norm_bwd", "dy");
  check_shape(dy, x.shape(), "batch_norm_bwd", "dy");
  if (norm.activation == Activation::relu) {
    check_like(y, x, "batch_norm_bwd", "y");
    check_shape(y, x.shape(), "batch_norm_bwd", "y");
  }
  NormGradients g{like(x), want_dresidual ? like(x) : Tensor(), like(norm.gamma), like(norm.beta)};
  Out dresidual = want_dresidual ? out(g.dresidual) : Out{};
  DISPATCH(batch_norm_bwd, x, in(x), maybe_in(y), in(dy), out(g.dx), dresidual, out(g.dgamma), out(g.dbeta), views(norm));
  return g;
}

// --- losses

std::pair<Tensor, Tensor> cross_entropy(const Tensor& logits, const Tensor& labels) {
  check_float(logits, "cross_entropy", "logits");
  check_rank(logits, 2, "cross_entropy", "logits", "[B, C]");
  check_rank(labels, 1, "cross_entropy", "labels", "[B]");
  check_shape(labels, {logits.size(0)}, "cross_entropy", "labels");
  check_index(labels, logits.size(1), "cross_entropy", "labels");
  Tensor loss = Tensor::empty({logits.size(0)}, logits.dtype(), logits.device());
  Tensor lse = Tensor::empty({logits.size(0)}, statistics_type(logits.dtype()), logits.device());
  DISPATCH(cross_entropy, logits, in(logits), in(labels), out(loss), out(lse));
  return {loss, lse};
}

Tensor cross_entropy_bwd(const Tensor& logits, const Tensor& labels, const Tensor& lse, const Tensor& dloss) {
  check_float(logits, "cross_entropy_bwd", "logits");
  check_rank(logits, 2, "cross_entropy_bwd", "logits", "[B, C]");
  check_shape(labels, {logits.size(0)}, "cross_entropy_bwd", "labels");
  check_index(labels, logits.size(1), "cross_entropy_bwd", "labels");
  check_shape(lse, {logits.size(0)}, "cross_entropy_bwd", "lse");
  check_like(dloss, logits, "cross_entropy_bwd", "dloss");
  check_shape(dloss, {logits.size(0)}, "cross_entropy_bwd", "dloss");
  Tensor d = like(logits);
  DISPATCH(cross_entropy_bwd, logits, in(logits), in(labels), in(lse), in(dloss), out(d));
  return d;
}

// --- updates

namespace {

void check_slot(const Tensor& t, const Tensor& parameter, const char* op, const char* argument) {
  if (parameter.dtype() != DType::f32 && parameter.dtype() != DType::f64)
    throw DTypeError(message(op, ": parameters must be f32 or f64, got ", name_of(parameter.dtype())));
  check_like(t, parameter, op, argument);
  check_shape(t, parameter.shape(), op, argument);
}

// Lists may mix f32 and f64; each type is one kernel call.
template <class Parameter, class Slot, class Call>
void by_type(std::span<const Parameter> list, const char* op, Slot slot, Call call) {
  for (DType type : {DType::f32, DType::f64}) {
    std::vector<decltype(slot(list[0]))> slots;
    for (const Parameter& p : list) {
      auto s = slot(p);
      if (!is_float(s.first.dtype) || s.first.dtype == DType::bf16)
        throw DTypeError(message(op, ": parameters must be f32 or f64, got ", name_of(s.first.dtype)));
      if (s.first.dtype == type) slots.push_back(s);
    }
    if (!slots.empty()) call(type, slots);
  }
}

template <class Slots>
auto seconds_of(const Slots& slots) {
  std::vector<decltype(slots[0].second)> out;
  for (const auto& s : slots) out.push_back(s.second);
  return out;
}

}  // namespace

void sgd(std::span<const SgdParameter> list, SgdStep step) {
  by_type(list, "sgd", [&](const SgdParameter& p) {
    SgdParameter q = p;
    check_slot(q.gradient, q.parameter, "sgd", "gradient");
    if (step.momentum != 0 || q.momentum.defined()) check_slot(q.momentum, q.parameter, "sgd", "momentum");
    return std::pair{out(q.parameter), SgdSlot{out(q.parameter), in(q.gradient),
                     q.momentum.defined() ? out(q.momentum) : Out{}, q.weight_decay, q.lr_scale}};
  }, [&](DType type, const auto& slots) {
    auto plain = seconds_of(slots);
    OpTimer timer(Op::sgd, {int64_t(plain.size())}, type);
    Context& context = Context::cpu();
    context.kernels(type).sgd(context, plain, step);
  });
}

void adam(std::span<const AdamParameter> list, AdamStep step) {
  by_type(list, "adam", [](const AdamParameter& p) {
    AdamParameter q = p;
    check_slot(q.gradient, q.parameter, "adam", "gradient");
    check_slot(q.first, q.parameter, "adam", "first");
    check_slot(q.second, q.parameter, "adam", "second");
    return std::pair{out(q.parameter), AdamSlot{out(q.parameter), in(q.gradient), out(q.first), out(q.second),
                                                q.weight_decay, q.lr_scale}};
  }, [&](DType type, const auto& slots) {
    auto plain = seconds_of(slots);
    OpTimer timer(Op::adam, {int64_t(plain.size())}, type);
    Context& context = Context::cpu();
    context.kernels(type).adam(context, plain, step);
  });
}

void ema(std::span<const EmaParameter> list, double momentum) {
  by_type(list, "ema", [](const EmaParameter& p) {
    EmaParameter q = p;
    check_slot(q.source, q.target, "ema", "source");
    return std::pair{out(q.target), EmaSlot{out(q.target), in(q.source)}};
  }, [&](DType type, const auto& slots) {
    auto plain = seconds_of(slots);
    OpTimer timer(Op::ema, {int64_t(plain.size())}, type);
    Context& context = Context::cpu();
    context.kernels(type).ema(context, plain, momentum);
  });
}

}  // namespace plumage::ops
