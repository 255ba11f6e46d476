// The three layers that everything is made of. Next: nn/resnet.cpp.
#include "nn/layers.h"

namespace plumage {

namespace {

/// Key of the next tensor that a build draws.
PhiloxKey next_key(Init& init) { return {init.seed, Purpose::init, init.next++}; }

/// x as matmul and convolution take it: in the pass's compute type, or f64 where the parameters are.
Var operand(const Var& x, const Var& weight, const Pass& pass) {
  return cast(x, weight.dtype() == DType::f64 ? DType::f64 : pass.compute);
}

void check_sizes(const char* layer, int64_t in, int64_t out) {
  if (in < 1 || out < 1)
    throw InputError(message(layer, ": ", in, " to ", out, " channels: wanted at least 1"));
}

}  // namespace

Conv2d::Conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t pad, Init& init,
               bool with_bias)
    : stride(stride), pad(pad) {
  check_sizes("conv2d", in, out);
  double std = std::sqrt(2.0 / double(out * kernel * kernel));
  weight =
      Var(ops::normal({out, kernel, kernel, in}, next_key(init), 0, std, init.dtype).to(init.device), true);  // [K, R, S, C]
  if (with_bias) bias = Var(Tensor::zeros({out}, init.dtype, init.device), true);
}

Var Conv2d::forward(const Var& x, const Pass& pass) const {
  Var y = conv2d(operand(x, weight, pass), operand(weight, weight, pass), stride, pad, up);
  return bias.defined() ? add(cast(y, bias.dtype()), bias) : y;
}

void Conv2d::visit(const std::string& prefix, const Visitor& f) {
  f(join_name(prefix, "weight"), weight, Role::weight);
  if (bias.defined()) f(join_name(prefix, "bias"), bias, Role::bias);
}

Linear::Linear(int64_t in, int64_t out, Init& init, bool with_bias) {
  check_sizes("linear", in, out);
  double bound = 1 / std::sqrt(double(in));
  weight = Var(ops::uniform({out, in}, next_key(init), -bound, bound, init.dtype).to(init.device), true);
  if (with_bias) bias = Var(ops::uniform({out}, next_key(init), -bound, bound, init.dtype).to(init.device), true);
}

Var Linear::forward(const Var& x, const Pass& pass) const {
  Var y = matmul(operand(x, weight, pass), operand(weight, weight, pass), false, true, bias);  // [N, out]
  return cast(y, weight.dtype());  // heads and losses go on in the parameters' type, which a bias brings with it
}

void Linear::visit(const std::string& prefix, const Visitor& f) {
  f(join_name(prefix, "weight"), weight, Role::weight);
  if (bias.defined()) f(join_name(prefix, "bias"), bias, Role::bias);
}

BatchNorm2d::BatchNorm2d(int64_t channels, Init& init, bool affine) : affine(affine) {
  check_sizes("batch_norm", channels, channels);
  weight = Var(Tensor::full({channels}, 1, init.dtype, init.device), affine);
  bias = Var(Tensor::zeros({channels}, init.dtype, init.device), affine);
  running_mean = Var(Tensor::zeros({channels}, init.dtype, init.device));
  running_var = Var(Tensor::full({channels}, 1, init.dtype, init.device));
}

Var BatchNorm2d::forward(Var x, const Pass& pass, Activation activation, const Var& added, const ops::Moments& known) const {
  Var residual = added.defined() ? cast(added, x.dtype()) : added;
  BatchNormOptions options{epsilon, activation, pass.stat_groups, pass.recompute};
  if (pass.statistics == Statistics::running)
    return batch_norm_with(std::move(x), weight, bias, residual, running_mean.value(), running_var.value(), options);

  int64_t values =
      x.value().count() / std::max<int64_t>(1, x.size(-1) * pass.stat_groups);  // a channel and group
  if (values < 2)
    throw ShapeError(message("batch_norm: ", values, " value a channel in x ", x.shape(), " and ",
                             pass.stat_groups,
                             " groups has no variance: use a larger batch or image, or running statistics"));
  BatchNormResult result = batch_norm(std::move(x), weight, bias, residual, options, known);
  if (pass.statistics == Statistics::batch_and_update) {
    if (!pass.updates) throw InputError("batch_norm: Statistics::batch_and_update needs Pass.updates");
    const ops::Moments& m = result.moments;
    pass.updates->add(running_mean.value(), running_var.value(), m.mean, m.variance, values, momentum);
  }
  return result.y;
}

void BatchNorm2d::visit(const std::string& prefix, const Visitor& f) {
  if (affine) {
    f(join_name(prefix, "weight"), weight, Role::norm);
    f(join_name(prefix, "bias"), bias, Role::norm);
  }
  f(join_name(prefix, "running_mean"), running_mean, Role::buffer);
  f(join_name(prefix, "running_var"), running_var, Role::buffer);
}

namespace {

// f64 is for gradient checks, which want the same bits recorded or not.
bool can_fold(const Conv2d& conv, const BatchNorm2d& norm, const Var& x, const Var& residual, const Pass& pass) {
  if (pass.statistics != Statistics::running || conv.weight.dtype() == DType::f64) return false;
  if (!is_recording()) return true;
  for (const Var* v : {&conv.weight, &conv.bias, &norm.weight, &norm.bias, &x, &residual})
    if (v->defined() && v->needs_grad()) return false;
  return true;
}

// scale = gamma / sqrt(running_var + epsilon): [K]; w = scale w; shift = beta + scale (bias - running_mean)
void fold(const Conv2d& conv, const BatchNorm2d& norm, DType compute, FoldedNorms::Folded& to) {
  Tensor scale = ops::div(norm.weight.value(), ops::unary(UnaryFn::sqrt, ops::affine(norm.running_var.value(), 1, norm.epsilon)));
  Tensor mean = conv.bias.defined() ? ops::sub(norm.running_mean.value(), conv.bias.value()) : norm.running_mean.value();
  to.w = ops::cast(ops::mul(conv.weight.value(), scale.reshape({scale.count(), 1, 1, 1})), compute);
  to.shift = ops::sub(norm.bias.value(), ops::mul(scale, mean));
}

}  // namespace

Var conv_norm(const Conv2d& conv, const BatchNorm2d& norm, const Var& x, const Pass& pass, Activation activation, const Var& residual) {
  if (pass.statistics != Statistics::running && !conv.bias.defined()) {
    // From pictures, with their few channels, a convolution is cheap for the size of what comes out.
    bool again = pass.recompute && conv.weight.size(3) <= 4;
    auto [y, moments] = conv2d_stats(operand(x, conv.weight, pass), operand(conv.weight, conv.weight, pass), conv.stride, conv.pad,
                                     pass.stat_groups, again, conv.up);
    return norm.forward(std::move(y), pass, activation, residual, moments);
  }
  if (!can_fold(conv, norm, x, residual, pass))
    return norm.forward(conv.forward(x, pass), pass, activation, residual);
  FoldedNorms::Folded now, &folded = pass.folded ? pass.folded->of(conv) : now;
  if (!folded.w.defined()) fold(conv, norm, pass.compute, folded);
  Tensor skip = residual.defined() ? ops::cast(residual.value(), pass.compute) : Tensor();
  return Var(ops::conv2d_frozen(ops::cast(x.value(), pass.compute), folded.w, folded.shift, skip, conv.stride, conv.pad, activation,
                                pass.folded ? &folded.order : nullptr, conv.up));
}

}  // namespace plumage
