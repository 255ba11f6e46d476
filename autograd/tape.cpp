#include "autograd/tape.h"

#include <queue>
#include <unordered_set>

#include "tensor/ops.h"

namespace plumage {

void Gradients::add(int i, const Tensor& g) {
  const std::shared_ptr<Node>& input = node_.inputs[size_t(i)];
  if (!input || !wanted_(*input)) return;
  if (g.dtype() != input->dtype)
    throw DTypeError(message("gradient of ", node_.op, ", input ", i, ": ", name_of(g.dtype()), ", wanted ",
                             name_of(input->dtype)));
  Tensor fitted = g;
  if (!(g.shape() == input->shape)) {
    try {
      fitted = ops::sum_to(g, input->shape);
    } catch (const ShapeError&) {
      throw ShapeError(message("gradient of ", node_.op, ", input ", i, ": shape ", g.shape().str(),
                               ", wanted ", input->shape.str()));
    }
  }
  Tensor& sum = pending_[input.get()];
  if (!sum.defined())
    sum = fitted;
  else if (sum.is_unique())
    ops::accumulate(fitted, sum);
  else
    sum = ops::add(sum, fitted);
}

NormLink* Gradients::link(int i) const {
  const Node* input = node_.inputs[size_t(i)].get();
  return links_ && input && input->users == 1 ? input->norm.get() : nullptr;
}

namespace {

Tensor starting_gradient(const Var& loss, const Tensor& cotangent, const char* what) {
  if (!loss.needs_grad())
    throw ShapeError(message(what, ": the loss depends on nothing that needs a gradient"));
  if (cotangent.defined()) {
    if (!(cotangent.shape() == loss.shape()) || cotangent.dtype() != loss.dtype())
      throw ShapeError(
          message(what, ": cotangent ", cotangent.shape().str(), " for a loss ", loss.shape().str()));
    return cotangent;
  }
  if (loss.value().count() != 1)
    throw ShapeError(message(what, ": a loss of shape ", loss.shape().str(), " needs a cotangent"));
  return Tensor::full(loss.shape(), 1, loss.dtype(), loss.value().device());
}

using Wanted = std::function<bool(const Node&)>;

Error already_used(const Node& node) {
  return Error(message("backward: the graph through ", node.op, " was already used"));
}

}  // namespace

// One walk: nodes wait in a heap by order, each with the sum of what its users sent.
struct Walk {
  Wanted wanted;
  bool consume = true;
  bool links = false;
  std::unordered_map<Node*, Tensor> pending;

  // arrived(node, gradient) is told of every node before its rule runs, and says whether to go on from there.
  template <class Arrived>
  void run(const std::shared_ptr<Node>& start, const Tensor& gradient, Arrived&& arrived) {
    auto later = [](const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) {
      return a->order < b->order;
    };
    std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, decltype(later)> heap(
        later);
    std::unordered_set<Node*> queued{start.get()};
    pending[start.get()] = gradient;
    heap.push(start);
    while (!heap.empty()) {
      std::shared_ptr<Node> node = heap.top();
      heap.pop();
      auto found = pending.find(node.get());
      if (found == pending.end()) continue;  // no rule sent anything
      Tensor dy = std::move(found->second);
      pending.erase(found);
      if (!arrived(*node, dy)) continue;
      if (!node->rule) throw already_used(*node);
      {
        Gradients d(*node, wanted, pending, links);
        if (consume) {
          Rule rule = std::move(node->rule);
          node->rule = nullptr;
          rule(std::move(dy), d);
        } else {
          node->rule(std::move(dy), d);
        }
      }
      for (const auto& input : node->inputs)
        if (input && wanted(*input) && queued.insert(input.get()).second) heap.push(input);
      if (!consume) continue;
      for (const auto& input : node->inputs)
        if (input) --input->users;
      node->inputs.clear();
      node->recompute = nullptr;
      node->norm = nullptr;
    }
  }
};

void backward(const Var& loss, const Tensor& cotangent) {
  NoGrad no_grad;
  Walk walk{[](const Node&) { return true; }, /*consume=*/true, /*links=*/true};
  walk.run(loss.node(), starting_gradient(loss, cotangent, "backward"), [](Node& node, const Tensor& dy) {
    if (!node.leaf) return true;
    if (!node.grad.defined())
      node.grad = dy.is_unique() ? dy : dy.clone();
    else
      ops::accumulate(dy, node.grad);
    return false;
  });
}

namespace {

// All nodes from which some target can be reached, targets included. A used node hides what was below it, and
// so is an error rather than a zero, unless it is all that was asked for.
std::unordered_set<const Node*> nodes_towards(const std::shared_ptr<Node>& start,
                                              const std::unordered_set<const Node*>& targets) {
  std::vector<Node*> order;
  std::unordered_set<const Node*> seen;
  std::vector<Node*> stack{start.get()};
  while (!stack.empty()) {
    Node* node = stack.back();
    stack.pop_back();
    if (!seen.insert(node).second) continue;
    order.push_back(node);
    if (!node->leaf && !node->rule && !(targets.size() == 1 && targets.count(node)))
      throw already_used(*node);
    for (const auto& input : node->inputs)
      if (input) stack.push_back(input.get());
  }
  std::sort(order.begin(), order.end(), [](const Node* a, const Node* b) { return a->order < b->order; });
  std::unordered_set<const Node*> towards;
  for (const Node* node : order) {
    bool reaches = targets.count(node) > 0;
    for (const auto& input : node->inputs) reaches |= input && towards.count(input.get()) > 0;
    if (reaches) towards.insert(node);
  }
  return towards;
}

}  // namespace

std::vector<Tensor> gradient(const Var& loss, const std::vector<Var>& with_respect_to,
                             const Tensor& cotangent, bool consume) {
  NoGrad no_grad;
  std::unordered_set<const Node*> targets;
  for (const Var& x : with_respect_to) {
    if (!x.needs_grad()) throw Error("gradient: asked for the gradient with respect to a constant");
    targets.insert(x.node().get());
  }
  std::unordered_map<const Node*, Tensor> found;
  if (loss.needs_grad()) {
    auto towards = nodes_towards(loss.node(), targets);
    if (towards.count(loss.node().get())) {
      Walk walk{[&](const Node& node) { return towards.count(&node) > 0; }, consume};
      walk.run(loss.node(), starting_gradient(loss, cotangent, "gradient"),
               [&](Node& node, const Tensor& dy) {
                 if (targets.count(&node)) found[&node] = dy;
                 bool more = false;  // nothing below was asked for: its rule need not run
                 for (const auto& input : node.inputs) more |= input && towards.count(input.get());
                 return more;
               });
    }
  }
  std::vector<Tensor> out;
  for (const Var& x : with_respect_to) {
    Tensor& g = found[x.node().get()];
    out.push_back(g.defined() ? g : Tensor::zeros(x.shape(), x.dtype(), x.value().device()));
  }
  return out;
}

}  // namespace plumage
