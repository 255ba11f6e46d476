// A tensor that remembers how it was made. Ops with gradients: autograd/functions.h; the walk back: autograd/tape.h.
#pragma once
#include <functional>
#include <initializer_list>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace plumage {

class Gradients;
struct NormLink;  // autograd/tape.h

/// Hands the gradient of a node's output on to its inputs: rule(dy, d) calls d.add(i, ...) for input i.
using Rule = std::function<void(Tensor dy, Gradients& d)>;

/// What made a Var, or a leaf that collects a gradient. Holds no values but what the rule captured.
struct Node {
  const char* op = "leaf";
  uint64_t order = 0;  ///< later nodes depend only on earlier ones
  Shape shape;
  DType dtype = DType::f32;
  std::vector<std::shared_ptr<Node>> inputs;  ///< null where an input needs no gradient
  Rule rule;                                  ///< empty for a leaf, and after backward has used it
  std::function<Tensor()> recompute;          ///< the value again, from what the rule keeps anyway; mostly empty
  int users = 0;                              ///< nodes that have it as an input and were not used by backward
  std::shared_ptr<NormLink> norm;             ///< of a batch norm's result, for the op that completes its gradient
  Tensor grad;                                ///< leaf only: what backward() has accumulated
  bool is_leaf() const { return leaf; }
  bool leaf = true;
  ~Node();  // iterative: a chain of a million nodes does not overflow the stack
};

/// A value, and where a gradient is wanted, its node. Copies share both.
class Var {
 public:
  Var() = default;
  /// A constant, or with needs_grad a leaf (a parameter, an input to differentiate by).
  explicit Var(Tensor value, bool needs_grad = false);

  const Tensor& value() const { return value_; }
  Tensor& value() { return value_; }
  const Shape& shape() const { return value_.shape(); }
  int64_t size(int i) const { return value_.size(i); }
  DType dtype() const { return value_.dtype(); }
  bool defined() const { return value_.defined(); }
  bool needs_grad() const { return node_ != nullptr; }
  /// Leaf: the accumulated gradient, undefined before the first backward().
  const Tensor& grad() const;
  void clear_grad();
  Var detach() const { return Var(value_); }  ///< same memory, no history
  double item() const { return value_.item(); }
  const std::shared_ptr<Node>& node() const { return node_; }

 private:
  friend Var record(const char*, Tensor, std::initializer_list<Var>, Rule);
  friend Var record(const char*, Tensor, const std::vector<Var>&, Rule);
  Tensor value_;
  std::shared_ptr<Node> node_;
};

/// What a rule keeps of an input: its value or, if the input's node can compute that again, the way to.
class Kept {
 public:
  explicit Kept(const Var& x) : shape_(x.shape()) {
    if (x.needs_grad() && x.node()->recompute) recompute_ = x.node()->recompute;
    else value_ = x.value();
  }
  Tensor value() const { return recompute_ ? recompute_() : value_; }
  Tensor take() { return recompute_ ? recompute_() : std::move(value_); }  ///< for the last time
  const Shape& shape() const { return shape_; }
  bool computed_again() const { return bool(recompute_); }

 private:
  Tensor value_;
  Shape shape_;
  std::function<Tensor()> recompute_;
};

/// A Var for `y`, made by `op` from `inputs`; the rule is kept only if some input needs a gradient and recording is on.
Var record(const char* op, Tensor y, std::initializer_list<Var> inputs, Rule rule);
Var record(const char* op, Tensor y, const std::vector<Var>& inputs, Rule rule);

/// While one lives, nothing is recorded on this thread.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool saved_;
};

bool is_recording();

}  // namespace plumage
