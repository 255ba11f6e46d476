// Layers own parameters and buffers under torchvision's names; one visit serves saving, loading, counting, EMA and the
// optimiser. Next: nn/layers.h.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "autograd/var.h"

namespace plumage {

/// Whose statistics batch normalisation uses.
enum class Statistics {
  batch,             ///< the batch's own; running statistics are not touched
  batch_and_update,  ///< the batch's own, to be folded into the running ones later (StatisticsUpdates)
  running,           ///< the running ones (evaluation)
};

/// New running statistics that a forward asks for. A forward changes nothing; apply() does, in the order of arrival,
/// so that a method's `forward` is pure and its `after_step` alone changes state.
class StatisticsUpdates {
 public:
  /// running = (1 - momentum) * running + momentum * batch, the variance unbiased by count / (count - 1).
  void add(Tensor running_mean, Tensor running_variance, Tensor mean, Tensor variance, int64_t count, double momentum);
  void apply();  ///< folds all in and forgets them; groups are averaged first
  size_t size() const { return list_.size(); }

 private:
  struct Update { Tensor running_mean, running_variance, mean, variance; int64_t count; double momentum; };
  std::vector<Update> list_;
};

class FoldedNorms;  // nn/layers.h

/// How one forward pass runs; an argument, not a hidden mode.
struct Pass {
  Statistics statistics = Statistics::running;
  int64_t stat_groups = 1;              ///< parts of the batch with statistics of their own
  DType compute = DType::f32;           ///< bf16: convolutions and matmuls in bf16; ignored for f64 parameters
  StatisticsUpdates* updates = nullptr; ///< needed with batch_and_update
  bool recompute = false;               ///< norms without residual, and the first convolution, again in backward: less memory
  FoldedNorms* folded = nullptr;        ///< where networks that do not change keep what they fold

  static Pass eval() { return {}; }
  static Pass train(StatisticsUpdates& updates, int64_t groups = 1) { return {Statistics::batch_and_update, groups, DType::f32, &updates}; }
  static Pass batch_only(int64_t groups = 1) { return {Statistics::batch, groups}; }
};

enum class Role {
  weight,  ///< learned, decays
  bias,    ///< learned, of a linear or convolution layer
  norm,    ///< learned, gamma or beta of a batch norm
  buffer,  ///< not learned: running statistics
};

/// name: "layer1.0.conv1.weight". A buffer's Var needs no gradient. Conv weights are [K,R,S,C], linear ones [out,in].
using Visitor = std::function<void(const std::string& name, Var& value, Role role)>;

class Module {
 public:
  virtual ~Module() = default;
  /// Calls f for every parameter and buffer, in a fixed order, names prefixed.
  virtual void visit(const std::string& prefix, const Visitor& f) = 0;

  std::vector<std::pair<std::string, Var>> parameters();        ///< learned ones
  std::vector<std::pair<std::string, Var>> state();             ///< learned ones and buffers
  int64_t parameter_count();
  void clear_gradients();
  void set_needs_grad(bool needs);  ///< of the learned ones; false freezes (momentum encoder)
};

/// target's state takes source's values (same names and shapes). Throws ShapeError naming the first difference.
void copy_state(Module& source, Module& target);

/// "a" + "b" -> "a.b"; either may be empty.
std::string join_name(const std::string& a, const std::string& b);

/// Where initial values come from: parameter i of a build draws from Philox (seed, init, i). f64 for gradient checks.
/// They are drawn on the CPU and then put on the device, so that every device starts from the same bits; what a module
/// keeps beside them (moments, queue, bank) lies where they do. How many rows a bank holds stays on the
/// CPU: shapes depend on it.
struct Init {
  uint64_t seed = 0;
  DType dtype = DType::f32;
  uint64_t next = 0;  ///< counts the tensors drawn
  Device device{};
};

}  // namespace plumage
