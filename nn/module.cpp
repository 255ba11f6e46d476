// What every module has from its one visit(). Next: nn/layers.cpp.
#include "nn/module.h"

#include "tensor/ops.h"

namespace plumage {

void StatisticsUpdates::add(Tensor running_mean, Tensor running_variance, Tensor mean, Tensor variance,
                            int64_t count, double momentum) {
  list_.push_back({std::move(running_mean), std::move(running_variance), std::move(mean), std::move(variance),
                   count, momentum});
}

namespace {

// running = (1 - momentum) * running + momentum * factor * (mean of moments over the groups)
void fold(Tensor& running, const Tensor& moments, double momentum, double factor) {
  int64_t groups = moments.size(0);
  Tensor batch = ops::sum_to(moments, {1, moments.size(1)}).reshape(running.shape());  // [C]
  Tensor kept = ops::scale(running, 1 - momentum);
  running.copy_from(ops::add(kept, ops::scale(batch, momentum * factor / double(groups))));
}

}  // namespace

void StatisticsUpdates::apply() {
  for (Update& u : list_) {
    fold(u.running_mean, u.mean, u.momentum, 1);
    fold(u.running_variance, u.variance, u.momentum, double(u.count) / double(u.count - 1));
  }
  list_.clear();
}

std::vector<std::pair<std::string, Var>> Module::parameters() {
  std::vector<std::pair<std::string, Var>> list;
  visit("", [&](const std::string& name, Var& value, Role role) {
    if (role != Role::buffer) list.emplace_back(name, value);
  });
  return list;
}

std::vector<std::pair<std::string, Var>> Module::state() {
  std::vector<std::pair<std::string, Var>> list;
  visit("", [&](const std::string& name, Var& value, Role) { list.emplace_back(name, value); });
  return list;
}

int64_t Module::parameter_count() {
  int64_t count = 0;
  for (const auto& [name, value] : parameters()) count += value.value().count();
  return count;
}

void Module::clear_gradients() {
  visit("", [](const std::string&, Var& value, Role) { value.clear_grad(); });
}

void Module::set_needs_grad(bool needs) {
  visit("", [&](const std::string&, Var& value, Role role) {
    if (role != Role::buffer && value.needs_grad() != needs) value = Var(value.value(), needs);
  });
}

void copy_state(Module& source, Module& target) {
  auto from = source.state(), to = target.state();
  for (size_t i = 0; i < std::min(from.size(), to.size()); ++i) {
    const auto& [name, value] = from[i];
    if (name != to[i].first) throw ShapeError(message("copy_state: ", name, " would go into ", to[i].first));
    if (!(value.shape() == to[i].second.shape()))
      throw ShapeError(message("copy_state: ", name, " has shape ", value.shape(), ", the target's has ",
                               to[i].second.shape()));
  }
  if (from.size() != to.size())
    throw ShapeError(message("copy_state: ", from.size(), " tensors would go into ", to.size()));
  for (size_t i = 0; i < from.size(); ++i) to[i].second.value().copy_from(from[i].second.value());
}

std::string join_name(const std::string& a, const std::string& b) {
  return a.empty() ? b : b.empty() ? a : a + "." + b;
}

}  // namespace plumage
