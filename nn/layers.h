// Convolution, linear and batch-norm layers. Next: nn/resnet.h.
#pragma once
#include "autograd/functions.h"
#include "nn/module.h"

namespace plumage {

/// weight [K,R,S,C] drawn N(0, 2 / (K R S)) (He, fan out, as torchvision); no bias unless asked for (then 0). up: it sees its input
/// upsampled so many times.
class Conv2d : public Module {
 public:
  Conv2d() = default;
  Conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t pad, Init& init, bool bias = false);
  Var forward(const Var& x, const Pass& pass) const;  ///< [N,H,W,in] -> [N,P,Q,out]
  void visit(const std::string& prefix, const Visitor& f) override;
  Var weight, bias;
  int64_t stride = 1, pad = 0;
  int up = 1;
};

/// weight [out,in] and bias drawn U(-1/sqrt(in), 1/sqrt(in)), as PyTorch.
class Linear : public Module {
 public:
  Linear() = default;
  Linear(int64_t in, int64_t out, Init& init, bool bias = true);
  Var forward(const Var& x, const Pass& pass) const;  ///< [N,in] -> [N,out]
  void visit(const std::string& prefix, const Visitor& f) override;
  Var weight, bias;
};

/// gamma 1, beta 0, running mean 0, running variance 1; names weight, bias, running_mean, running_var.
class BatchNorm2d : public Module {
 public:
  BatchNorm2d() = default;
  BatchNorm2d(int64_t channels, Init& init, bool affine = true);
  /// y = act(norm(x) + residual); x [N,..,C]; residual may be undefined.
  /// known: x's statistics, where the pass wants the batch's and they have been computed already.
  Var forward(Var x, const Pass& pass, Activation activation = Activation::none, const Var& residual = {}, const ops::Moments& known = {}) const;
  void visit(const std::string& prefix, const Visitor& f) override;
  Var weight, bias, running_mean, running_var;
  double epsilon = 1e-5, momentum = 0.1;
  bool affine = true;  ///< false: gamma 1 and beta 0 are constants (SimSiam's projector)
};

/// Convolutions with their frozen norms folded in, and their filters as the kernels read them, kept from pass to pass (Pass::folded)
/// in one compute type. Nothing of their networks may change while it lives.
class FoldedNorms {
 public:
  struct Folded {
    Tensor w, shift;  ///< [K,R,S,C] in the compute type, [K]
    FilterOrder order;
  };
  Folded& of(const Conv2d& conv) { return all_[&conv]; }

 private:
  std::map<const Conv2d*, Folded> all_;
};

/// act(norm(conv(x)) + residual), [N,H,W,C] -> [N,P,Q,K]; residual may be undefined. Where nothing learns and the statistics
/// are the running ones, the norm becomes part of the filters (not in f64): the same function to rounding, one pass less over
/// every map. Where they are the batch's they come with the convolution, as one op.
Var conv_norm(const Conv2d& conv, const BatchNorm2d& norm, const Var& x, const Pass& pass, Activation activation = Activation::none,
              const Var& residual = {});

}  // namespace plumage
