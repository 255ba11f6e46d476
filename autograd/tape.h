// The walk back from a loss. Iterative, in a fixed order (latest node first), freeing what each rule kept as it goes.
#pragma once
#include <unordered_map>
#include <vector>

#include "autograd/var.h"
#include "tensor/ops.h"

namespace plumage {

/// Between a batch norm and the op that sends the last part of its result's gradient: that op may sum up on its way out what the norm's
/// rule begins with (ops::conv2d_dx with a source).
struct NormLink {
  Kept x;
  Tensor y;  ///< if made with a residual
  ops::NormArguments norm;
  Tensor sums;  ///< left by that op
};

/// What a rule sees of its inputs: which of them want a gradient, and where to put it.
class Gradients {
 public:
  /// True if input i needs a gradient; a rule skips the work otherwise.
  bool wants(int i) const { return node_.inputs[size_t(i)] != nullptr && wanted_(*node_.inputs[size_t(i)]); }
  /// Adds g to the gradient of input i. If the input was broadcast, g is summed back to its shape here.
  /// Throws ShapeError naming the op if g does not fit.
  void add(int i, const Tensor& g);
  /// The same, computed only if wanted: d.add(0, [&] { return ops::mul(dy, b); }).
  template <class F>
    requires std::is_invocable_v<F>
  void add(int i, F&& compute) {
    if (wants(i)) add(i, Tensor(compute()));
  }
  /// Of the batch norm that made input i, if what this rule sends is the last part of the input's gradient and no one but the norm's rule
  /// will see it; else null.
  NormLink* link(int i) const;
  /// For an op that adds its gradient, of the input's shape, to what others have sent: compute(sum so far, or undefined).
  template <class F>
  void add_onto(int i, F&& compute) {
    if (!wants(i)) return;
    Tensor& sum = pending_[node_.inputs[size_t(i)].get()];
    sum = compute(std::move(sum));
  }

 private:
  friend struct Walk;
  Gradients(const Node& node, std::function<bool(const Node&)> wanted, std::unordered_map<Node*, Tensor>& pending, bool links)
      : node_(node), wanted_(std::move(wanted)), pending_(pending), links_(links) {}
  const Node& node_;
  std::function<bool(const Node&)> wanted_;
  std::unordered_map<Node*, Tensor>& pending_;
  bool links_;  // no one but the rules sees gradients on their way
};

/// Adds d(loss)/d(leaf) to the grad of every leaf that loss depends on. `cotangent` is the gradient of the loss itself
/// (default 1; it must be given unless the loss has one element). The graph is consumed: a second backward through it
/// throws. Throws ShapeError if cotangent has another shape than loss.
void backward(const Var& loss, const Tensor& cotangent = {});

/// d(loss)/d(x) for each x, leaf or intermediate, without touching any leaf's grad (Grad-CAM, gradcheck). An x that the
/// loss does not depend on gets zeros. The graph is kept unless `consume`.
std::vector<Tensor> gradient(const Var& loss, const std::vector<Var>& with_respect_to, const Tensor& cotangent = {},
                             bool consume = false);

}  // namespace plumage
