// Ops on images [N, H, W, C]: convolution, pooling, upsampling, batch normalisation. Check, allocate, dispatch.
#include "tensor/dispatch.h"

namespace plumage::ops {

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

// `up` times as high and wide.
Shape enlarged(const Shape& x, int64_t up) { return {x[0], x[1] * up, x[2] * up, x[3]}; }

Shape conv_output(Shape x, const Shape& w, int64_t stride, int64_t pad, int64_t up, const char* op) {
  if (x.rank() != 4) throw ShapeError(message(op, ": x must be [N, H, W, C], got ", x.str()));
  if (w.rank() != 4) throw ShapeError(message(op, ": w must be [K, R, S, C], got ", w.str()));
  if (x[3] != w[3]) throw ShapeError(message(op, ": w has C=", w[3], ", x has C=", x[3]));
  if (up < 1 || up > INT32_MAX) throw ShapeError(message(op, ": up ", up, ": wanted 1 to 2^31"));
  x = enlarged(x, up);
  return {x[0], window_positions(x[1], w[1], stride, pad, op, x), window_positions(x[2], w[2], stride, pad, op, x), w[0]};
}

// All three passes of a convolution cost the same: w's filter at each output pixel.
void count_convolution(const Shape& y, const Shape& w) {
  profile_count(2 * double(y.count()) * double(w[1]) * double(w[2]) * double(w[3]));
}

// Whether the kernels read a map as it is for this window.
bool sees(const Tensor& t, const Shape& w, const Shape& y, const Window& window) {
  if (window.up == 1) return true;
  auto* sees_upsampled = Context::of(t.device()).kernels(t.dtype()).sees_upsampled;
  return sees_upsampled && sees_upsampled(w, y, window, t.dtype());
}

// Whether conv2d_dx's kernel sums up what a norm's gradient begins with.
bool sums_gradient(const Tensor& dy, const Shape& w, const Window& window) {
  auto* sums = Context::of(dy.device()).kernels(dy.dtype()).sums_gradient;
  return sums && sums(w, dy.shape(), window, dy.dtype());
}

// Room for the statistics of the groups of t, `argument` of the op.
Moments empty_moments(const Tensor& t, int64_t groups, const char* op, const char* argument) {
  if (groups < 1 || t.size(0) % groups)
    throw ShapeError(message(op, ": ", groups, " groups do not divide a batch of ", t.size(0)));
  if (t.count() == 0) throw ShapeError(message(op, ": no elements in ", argument, " ", t.shape().str()));
  Shape shape{groups, t.size(-1)};
  DType type = statistics_type(t.dtype());
  return {Tensor::empty(shape, type, t.device()), Tensor::empty(shape, type, t.device())};
}

Shape pool_output(const Shape& x, int64_t kernel, int64_t stride, int64_t pad, const char* op) {
  if (x.rank() != 4) throw ShapeError(message(op, ": x must be [N, H, W, C], got ", x.str()));
  if (pad >= kernel) throw ShapeError(message(op, ": pad ", pad, " must be less than kernel ", kernel));
  return {x[0], window_positions(x[1], kernel, stride, pad, op, x), window_positions(x[2], kernel, stride, pad, op, x), x[3]};
}

void check_norm(const Tensor& x, const NormArguments& norm, const char* op) {
  if (x.rank() < 2) throw ShapeError(message(op, ": x must be [N, .., C], got ", x.shape().str()));
  int64_t channels = x.size(-1);
  DType type = statistics_type(x.dtype());
  for (auto [t, name] : {std::pair{&norm.gamma, "gamma"}, {&norm.beta, "beta"}}) {
    if (!t->defined() || t->dtype() != type) throw DTypeError(message(op, ": ", name, " must be ", name_of(type)));
    check_shape(*t, {channels}, op, name);
    check_device(*t, x, op, name);
  }
  if (!norm.mean.defined() || norm.mean.rank() != 2 || norm.mean.size(0) < 1)
    throw ShapeError(message(op, ": mean must be [groups, C]"));
  for (auto [t, name] : {std::pair{&norm.mean, "mean"}, {&norm.variance, "variance"}}) {
    if (!t->defined() || t->dtype() != type) throw DTypeError(message(op, ": ", name, " must be ", name_of(type)));
    check_shape(*t, {norm.mean.size(0), channels}, op, name);
    check_device(*t, x, op, name);
  }
  if (x.size(0) % norm.mean.size(0))
    throw ShapeError(message(op, ": ", norm.mean.size(0), " groups do not divide a batch of ", x.size(0)));
}

BatchNorm views(const NormArguments& n) {
  return {in(n.mean), in(n.variance), in(n.gamma), in(n.beta), n.epsilon, n.activation, n.batch_statistics};
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, int64_t stride, int64_t pad, int up) {
  check_float(x, "conv2d", "x");
  check_like(w, x, "conv2d", "w");
  Shape shape = conv_output(x.shape(), w.shape(), stride, pad, up, "conv2d");
  Window window{w.size(1), w.size(2), stride, pad, up};
  if (!sees(x, w.shape(), shape, window)) return conv2d(upsample(x, up), w, stride, pad);
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  count_convolution(shape, w.shape());
  DISPATCH(conv2d, x, in(x), in(w), out(y), window);
  return y;
}

std::pair<Tensor, Moments> conv2d_stats(const Tensor& x, const Tensor& w, int64_t stride, int64_t pad, int64_t groups, int up) {
  check_float(x, "conv2d_stats", "x");
  check_like(w, x, "conv2d_stats", "w");
  Shape shape = conv_output(x.shape(), w.shape(), stride, pad, up, "conv2d_stats");
  Window window{w.size(1), w.size(2), stride, pad, up};
  if (!sees(x, w.shape(), shape, window)) return conv2d_stats(upsample(x, up), w, stride, pad, groups);
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  Moments m = empty_moments(y, groups, "conv2d_stats", "y");
  count_convolution(shape, w.shape());
  DISPATCH(conv2d_stats, x, in(x), in(w), out(y), out(m.mean), out(m.variance), window);
  return {y, m};
}

SummedGradient conv2d_dx(const Tensor& dy, const Tensor& w, const Shape& x_shape, int64_t stride, int64_t pad, Tensor onto, int up,
                         const SourceArguments& source) {
  check_float(dy, "conv2d_dx", "dy");
  check_like(w, dy, "conv2d_dx", "w");
  check_shape(dy, conv_output(x_shape, w.shape(), stride, pad, up, "conv2d_dx"), "conv2d_dx", "dy");
  if (onto.defined()) {
    check_like(onto, dy, "conv2d_dx", "onto");
    check_shape(onto, x_shape, "conv2d_dx", "onto");
  }
  if (source.x.defined()) {
    check_like(source.x, dy, "conv2d_dx", "the norm's x");
    check_shape(source.x, x_shape, "conv2d_dx", "the norm's x");
    check_norm(source.x, source.norm, "conv2d_dx");
    if (source.y.defined()) {
      check_like(source.y, dy, "conv2d_dx", "the norm's y");
      check_shape(source.y, x_shape, "conv2d_dx", "the norm's y");
    }
  }
  Window window{w.size(1), w.size(2), stride, pad, up};
  if (!sees(dy, w.shape(), dy.shape(), window)) {
    Tensor dx = upsample_bwd(conv2d_dx(dy, w, enlarged(x_shape, up), stride, pad), up);
    return {onto.defined() ? add(onto, dx) : dx, {}};
  }
  SummedGradient g{onto.defined() && onto.is_unique() ? onto : Tensor::empty(x_shape, dy.dtype(), dy.device()), {}};
  NormSource from;
  if (source.x.defined() && dy.count() && sums_gradient(dy, w.shape(), window)) {
    const Tensor& mean = source.norm.mean;
    g.sums = Tensor::empty({2, mean.size(0), mean.size(1)}, mean.dtype(), dy.device());
    from = {in(source.x), maybe_in(source.y), views(source.norm), out(g.sums)};
  }
  count_convolution(dy.shape(), w.shape());
  DISPATCH(conv2d_dx, dy, in(dy), in(w), maybe_in(onto), out(g.dx), window, from);
  return g;
}

Tensor conv2d_dx(const Tensor& dy, const Tensor& w, const Shape& x_shape, int64_t stride, int64_t pad, Tensor onto, int up) {
  return conv2d_dx(dy, w, x_shape, stride, pad, std::move(onto), up, {}).dx;
}

Tensor conv2d_dw(const Tensor& x, const Tensor& dy, const Shape& w_shape, int64_t stride, int64_t pad, int up) {
  check_float(x, "conv2d_dw", "x");
  check_like(dy, x, "conv2d_dw", "dy");
  check_shape(dy, conv_output(x.shape(), w_shape, stride, pad, up, "conv2d_dw"), "conv2d_dw", "dy");
  Window window{w_shape[1], w_shape[2], stride, pad, up};
  if (!sees(x, w_shape, dy.shape(), window)) return conv2d_dw(upsample(x, up), dy, w_shape, stride, pad);
  Tensor dw = Tensor::empty(w_shape, x.dtype(), x.device());
  count_convolution(dy.shape(), w_shape);
  DISPATCH(conv2d_dw, x, in(x), in(dy), out(dw), window);
  return dw;
}

Tensor conv2d_frozen(const Tensor& x, const Tensor& w, const Tensor& shift, const Tensor& residual, int64_t stride, int64_t pad,
                     Activation activation, FilterOrder* order, int up) {
  check_float(x, "conv2d_frozen", "x");
  check_like(w, x, "conv2d_frozen", "w");
  Shape shape = conv_output(x.shape(), w.shape(), stride, pad, up, "conv2d_frozen");
  if (!shift.defined() || shift.dtype() != statistics_type(x.dtype()))
    throw DTypeError(message("conv2d_frozen: shift must be ", name_of(statistics_type(x.dtype()))));
  check_shape(shift, {w.size(0)}, "conv2d_frozen", "shift");
  check_device(shift, x, "conv2d_frozen", "shift");
  if (residual.defined()) {
    check_like(residual, x, "conv2d_frozen", "residual");
    check_shape(residual, shape, "conv2d_frozen", "residual");
  }
  Window window{w.size(1), w.size(2), stride, pad, up};
  if (!sees(x, w.shape(), shape, window)) return conv2d_frozen(upsample(x, up), w, shift, residual, stride, pad, activation, order);
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  count_convolution(shape, w.shape());
  DISPATCH(conv2d_frozen, x, in(x), in(w), in(shift), maybe_in(residual), out(y), window, activation, order);
  return y;
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
  check_device(argmax, dy, "max_pool_bwd", "argmax");
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

Moments batch_norm_stats(const Tensor& x, int64_t groups) {
  check_float(x, "batch_norm_stats", "x");
  if (x.rank() < 2) throw ShapeError("batch_norm_stats: x must be [N, .., C], got " + x.shape().str());
  Moments m = empty_moments(x, groups, "batch_norm_stats", "x");
  DISPATCH(batch_norm_stats, x, in(x), out(m.mean), out(m.variance));
  return m;
}

Tensor batch_norm_apply(Tensor x, const Tensor& residual, const NormArguments& norm) {
  check_float(x, "batch_norm_apply", "x");
  check_norm(x, norm, "batch_norm_apply");
  if (residual.defined()) {
    check_like(residual, x, "batch_norm_apply", "residual");
    check_shape(residual, x.shape(), "batch_norm_apply", "residual");
  }
  Tensor y = x.is_unique() ? x : like(x);
  DISPATCH(batch_norm_apply, x, in(x), maybe_in(residual), out(y), views(norm));
  return y;
}

NormGradients batch_norm_bwd(Tensor x, const Tensor& y, Tensor dy, const NormArguments& norm, bool want_dresidual,
                             const Tensor& sums) {
  check_float(x, "batch_norm_bwd", "x");
  check_norm(x, norm, "batch_norm_bwd");
  check_like(dy, x, "batch_norm_bwd", "dy");
  check_shape(dy, x.shape(), "batch_norm_bwd", "dy");
  if (y.defined()) {
    check_like(y, x, "batch_norm_bwd", "y");
    check_shape(y, x.shape(), "batch_norm_bwd", "y");
  } else if (norm.activation == Activation::relu && want_dresidual) {
    throw ShapeError("batch_norm_bwd: y is undefined; where relu came behind a residual it is needed");
  }
  if (sums.defined()) {
    check_like(sums, norm.mean, "batch_norm_bwd", "sums");
    check_shape(sums, {2, norm.mean.size(0), norm.mean.size(1)}, "batch_norm_bwd", "sums");
  }
  NormGradients g{{}, {}, like(norm.gamma), like(norm.beta)};
  if (want_dresidual && sums.defined()) g.dresidual = dy;  // 0 where relu stopped it, as it is
  g.dx = sums.defined() && x.is_unique() ? x : dy.is_unique() && !g.dresidual.defined() ? dy : like(x);
  Out dresidual;
  if (want_dresidual && !sums.defined()) dresidual = out(g.dresidual = like(x));
  DISPATCH(batch_norm_bwd, x, in(x), maybe_in(y), in(dy), maybe_in(sums), out(g.dx), dresidual, out(g.dgamma), out(g.dbeta), views(norm));
  return g;
}

}  // namespace plumage::ops
