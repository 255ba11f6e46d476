// Collapse gauges: is the encoder still telling images apart? Next: cli/pretrain.cpp.
#pragma once
#include <string>

#include "tensor/tensor.h"

namespace plumage {

struct CollapseGauges {
  /// Mean standard deviation of a dimension of v / |v|, times sqrt(n): about 1 for features spread over the sphere,
  /// 0 when all images have the same (Chen and He 2021, section 4.1).
  double unit_std = 0;
  /// exp of the entropy of the normalised eigenvalues of the covariance of v / |v| (Roy and Vetterli 2007): how many
  /// dimensions are in use, from 1 to min(rows - 1, n).
  double effective_rank = 0;
  double dead_share = 0;  ///< share of dimensions with a standard deviation below 1e-6 of the largest
};

/// v: [N, n], N >= 2; at most 256 rows, evenly taken, enter the rank.
CollapseGauges collapse_gauges(const Tensor& v);

/// A sentence to warn with, or empty.
std::string collapse_warning(const CollapseGauges& gauges);

}  // namespace plumage
