// What a self-supervised method is to the training loop, and what a base method is to the paper's pairs.
// Next: ssl/moco.h.
#pragma once
#include <functional>
#include <vector>

#include "nn/optimizer.h"
#include "nn/resnet.h"
#include "ssl/loss.h"
#include "ssl/step.h"

namespace plumage {

/// One term of the loss, weighed in the sum.
struct Term {
  const char* name;
  Var loss;  ///< rank 0
  double weight;
};
/// Takes terms as soon as they stand. Terms handed over together share a graph and are differentiated as one; terms
/// handed over apart do not, so that peak memory is the largest term's, not the sum.
using Emit = std::function<void(const std::vector<Term>&)>;

class Method : public Module {
 public:
  /// Computes the loss of one step and every named quantity. Changes nothing: twice gives the same.
  virtual void forward(const Views& views, Step& step, const Emit& emit) = 0;
  /// Called after the optimiser: running statistics, momentum encoder, queue, bank. Nothing else changes state.
  virtual void after_step(Step& step) = 0;
  /// Learned parameters into the optimiser(s); `decoder` may be the same object.
  virtual void add_parameters(Optimizer& encoder, Optimizer& decoder) = 0;
  /// A number that differs when the next step will run other ops than the last one (a bank that still fills): only
  /// steps of one phase can share a recording.
  virtual int64_t phase() const { return 0; }
  /// f, the encoder that is trained and evaluated.
  virtual ResNet& encoder() = 0;
  /// To be called after weights were loaded into encoder(): what the method derives from it follows.
  virtual void encoder_changed() {}
};

/// A contrastive method that the paper's pairs can wrap.
class BaseMethod : public Method {
 public:
  /// v = f(x), [B, n]
  virtual Var embed(const Var& x, const Pass& pass) = 0;
  /// g(v), [B, d], before it is brought to unit length (each loss does that)
  virtual Var project(const Var& v, const Pass& pass) = 0;
  /// L_C of each image, z = g(v) against the x'' of this step, [B]. Needs step.key.
  virtual Var contrast(const Var& z, const Step& step) = 0;
  /// Negative cosine of each through the predictor, [B]. Only where has_predictor().
  virtual Var predict_contrast(const Var& z, const Tensor& target, const Pass& pass);
  virtual bool has_predictor() const { return false; }  ///< SimSiam has
};

struct BaseOptions {
  double tau = 0.2;                                       ///< base.tau
  Denominator denominator = Denominator::with_positive;   ///< base.denominator
  int64_t bn_splits = 1;                                  ///< bn.splits: parts of the batch with statistics of their own
  DType compute = DType::f32;
};

}  // namespace plumage
