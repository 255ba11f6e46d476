// The two galleries of a report: generated pairs beside their originals, and queries with their nearest
// neighbours. Next in the walk: eval/report.h.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "eval/features.h"
#include "eval/report.h"

namespace plumage {

/// Rows "original | reconstruction | perturbed | difference", the last |perturbed - reconstruction| times
/// gain. x, x_hat, x_hat_p: [N, px, px, 3], normalised. Throws ShapeError.
Gallery pair_gallery(const Tensor& x, const Tensor& x_hat, const Tensor& x_hat_p, double gain = 4,
                     const Normalization& normalization = {});

/// Rows "query | 1 | .. | k": each query and the k pictures of the set most like it, framed by whether the
/// class agrees. `picture` gives row i's picture; class_names may be empty (then the label's number is
/// shown).
Gallery neighbour_gallery(const Features& features, const std::function<Image(int64_t)>& picture,
                          const std::vector<int64_t>& queries, int64_t k = 5,
                          const std::vector<std::string>& class_names = {}, bool leave_out_group = false);

}  // namespace plumage
