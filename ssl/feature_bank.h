// The memory bank M of feature vectors (paper, section 3.4) and the variance of each dimension over it.
// Next: ssl/perturb.h.
#pragma once
#include <string>

#include "nn/module.h"

namespace plumage {

/// How a dimension's spread s is measured, and so which dimensions count as task-irrelevant (s < kappa).
enum class VarianceCriterion {
  raw,         ///< variance of v_i over the bank
  quantile,    ///< the same; the lowest share `quantile` of the dimensions is selected, whatever kappa
  column_l2,   ///< the text to the letter: variance of the l2-normalised column, at most 1/D
  row_l2_std,  ///< standard deviation of v_i / |v|
  cv,          ///< standard deviation / |mean|
};

class FeatureBank : public Module {
 public:
  FeatureBank() = default;
  FeatureBank(int64_t size, int64_t features, DType dtype, Device device = {});
  /// A bank to which these [B, n] were added; this one stays as it is (forward is pure).
  FeatureBank with(const std::vector<Tensor>& batches) const;
  /// v [B, n] replaces the oldest rows, here and now.
  void add(const Tensor& v);
  Tensor filled_rows() const;  ///< [filled, n], a view; the order is of no meaning
  int64_t filled() const;
  int64_t size() const { return rows_.size(0); }
  /// s [n] over the filled rows. Throws ShapeError on an empty bank.
  Tensor spread(VarianceCriterion criterion) const;
  Tensor rms_std() const;  ///< rank 0: sqrt of the mean variance, the scale of the features
  void visit(const std::string& prefix, const Visitor& f) override;  ///< rows, next, filled

 private:
  Var rows_, next_, filled_;  // [D, n]; i64 [1] beside it; i64 [1] on the CPU: shapes depend on it
};

}  // namespace plumage
