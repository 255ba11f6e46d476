// Plans of convolutions by problem: the first engine that the heuristics name, or, where engines are timed,
// the fastest; what was found is kept on disk. Next: tensor/backend/cuda/conv.cpp.
#pragma once
#include <functional>
#include <map>
#include <memory>

#include "tensor/backend/cuda/conv_plan.h"

namespace plumage::cuda {

/// The choices of one cuDNN on one device, as a text file: a head that names both, then a line a problem:
/// "ENGINE PLACE MICROSECONDS PROBLEM". PLACE is the engine's in the list that cuDNN gives for the problem,
/// so that a file can name a slow engine but never another computation. Engine -1 is none: what the problem is
/// made of, one after the other, was faster. Anything that is not understood is left out with a warning.
inline constexpr int64_t kNoEngine = -1;
struct PlanChoice {
  int64_t engine = kNoEngine, place = 0;
  double microseconds = 0;
};
using PlanChoices = std::map<std::string, PlanChoice>;
/// Empty where there is no file. Warnings go to standard error, one line each file.
PlanChoices read_choices(const std::string& path, const std::string& head);
/// Written beside and renamed; false where that fails.
bool write_choices(const std::string& path, const std::string& head, const PlanChoices& choices);

class PlanCache {
 public:
  /// head: cuDNN's version and the device in words. folder: where choices are kept, empty: nowhere, and
  /// engines are not timed.
  PlanCache(Descriptor device, std::string head, const std::string& folder);

  /// Runs a plan once and says how many microseconds it took.
  using Timer = std::function<double(const Plan&)>;
  /// How many microseconds the same takes without a plan.
  using Without = std::function<double()>;
  /// The plan of a problem, made at the first call; nullptr where no engine takes it. With `without` only a plan that was timed
  /// and is faster: where engines are not timed, nullptr.
  const Plan* find(const ConvProblem& problem, const Timer& timer, const Without& without = {});
  bool has(const ConvProblem& problem) const { return plans_.contains(problem); }
  int64_t size() const { return int64_t(plans_.size()); }

  static constexpr size_t kMostTimed = 8;

 private:
  std::unique_ptr<Plan> make(const ConvProblem& problem, const Timer& timer, const Without& without);
  Descriptor device_;
  std::string head_, path_;
  PlanChoices choices_;
  std::map<ConvProblem, std::unique_ptr<Plan>> plans_;
};

}  // namespace plumage::cuda
