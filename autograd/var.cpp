#include "autograd/var.h"

#include <atomic>

namespace plumage {

namespace {
thread_local bool recording = true;
std::atomic<uint64_t> next_order{1};
}  // namespace

Node::~Node() {
  // Nodes that only this one holds are taken over by one list instead of being destroyed inside each other.
  std::vector<std::shared_ptr<Node>> pending = std::move(inputs);
  while (!pending.empty()) {
    std::shared_ptr<Node> node = std::move(pending.back());
    pending.pop_back();
    if (!node || node.use_count() != 1) continue;
    for (auto& input : node->inputs) pending.push_back(std::move(input));
    node->inputs.clear();
  }
}

Var::Var(Tensor value, bool needs_grad) : value_(std::move(value)) {
  if (!needs_grad) return;
  if (!value_.defined() || !is_float(value_.dtype())) throw DTypeError("a Var with a gradient must hold f64, f32 or bf16");
  node_ = std::make_shared<Node>();
  node_->order = next_order++;
  node_->shape = value_.shape();
  node_->dtype = value_.dtype();
}

const Tensor& Var::grad() const {
  static const Tensor none;
  return node_ ? node_->grad : none;
}

void Var::clear_grad() {
  if (node_) node_->grad = Tensor();
}

namespace {
template <class Inputs>
std::shared_ptr<Node> make_node(const char* op, const Tensor& y, const Inputs& inputs, Rule&& rule) {
  bool wanted = false;
  for (const Var& x : inputs) wanted |= x.needs_grad();
  if (!wanted || !recording) return nullptr;
  auto node = std::make_shared<Node>();
  node->op = op;
  node->order = next_order++;
  node->shape = y.shape();
  node->dtype = y.dtype();
  node->leaf = false;
  for (const Var& x : inputs) {
    node->inputs.push_back(x.node());
    if (x.node()) ++x.node()->users;
  }
  node->rule = std::move(rule);
  return node;
}
}  // namespace

Var record(const char* op, Tensor y, std::initializer_list<Var> inputs, Rule rule) {
  Var v;
  v.node_ = make_node(op, y, inputs, std::move(rule));
  v.value_ = std::move(y);
  return v;
}

Var record(const char* op, Tensor y, const std::vector<Var>& inputs, Rule rule) {
  Var v;
  v.node_ = make_node(op, y, inputs, std::move(rule));
  v.value_ = std::move(y);
  return v;
}

NoGrad::NoGrad() : saved_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = saved_; }
bool is_recording() { return recording; }

}  // namespace plumage
