// Batch normalisation with an optional residual and ReLU, one op: y = act(gamma * xhat + beta + residual).
// With g = dy masked by y > 0, xhat = (x - mean) / std, and means over the batch (and pixels) of a group:
//   dgamma = sum g * xhat,  dbeta = sum g,  dresidual = g
//   dx = gamma / std * (g - mean(g) - xhat * mean(g * xhat))    (batch statistics; without the means otherwise)
#include "autograd/functions.h"
#include "autograd/tape.h"

namespace plumage {

namespace {

Var apply(Var x, const Var& gamma, const Var& beta, const Var& residual, ops::NormArguments norm, bool recompute) {
  bool kept = is_recording() && (x.needs_grad() || gamma.needs_grad() || beta.needs_grad() || residual.needs_grad());
  Tensor y = ops::batch_norm_apply(kept ? x.value() : std::move(x.value()), residual.value(), norm);
  Tensor mask = norm.activation == Activation::relu && residual.defined() ? y : Tensor();
  std::shared_ptr<NormLink> link(kept ? new NormLink{Kept(x), mask, norm, {}} : nullptr);
  Var out = record("batch_norm", y, {x, gamma, beta, residual}, [link](Tensor dy, Gradients& d) {
    Tensor x = link->sums.defined() ? link->x.take() : link->x.value();  // sums are left where the graph is consumed
    ops::NormGradients g = ops::batch_norm_bwd(std::move(x), link->y, std::move(dy), link->norm, d.wants(3), link->sums);
    d.add(0, g.dx);
    d.add(1, g.dgamma);
    d.add(2, g.dbeta);
    if (g.dresidual.defined()) d.add(3, g.dresidual);
  });
  if (out.needs_grad() && !link->x.computed_again()) out.node()->norm = link;
  if (recompute && out.needs_grad() && !residual.defined())
    out.node()->recompute = [x = Kept(x), norm] { return ops::batch_norm_apply(x.value(), {}, norm); };
  return out;
}

}  // namespace

BatchNormResult batch_norm(Var x, const Var& gamma, const Var& beta, const Var& residual, const BatchNormOptions& options,
                           const ops::Moments& known) {
  ops::Moments moments = known.mean.defined() ? known : ops::batch_norm_stats(x.value(), options.groups);  // [groups, C]
  ops::NormArguments norm{moments.mean, moments.variance, gamma.value(), beta.value(), options.epsilon, options.activation, true};
  return {apply(std::move(x), gamma, beta, residual, norm, options.recompute), moments};
}

Var batch_norm_with(Var x, const Var& gamma, const Var& beta, const Var& residual, const Tensor& mean,
                    const Tensor& variance, const BatchNormOptions& options) {
  Shape row{1, mean.count()};
  ops::NormArguments norm{mean.reshape(row), variance.reshape(row), gamma.value(), beta.value(),
                          options.epsilon, options.activation, false};
  return apply(std::move(x), gamma, beta, residual, norm, options.recompute);
}

}  // namespace plumage
