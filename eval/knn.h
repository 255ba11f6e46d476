// k nearest neighbours: the label of a picture by the labels of those most like it. Needs no training, so a
// run can watch it while it goes on. Next in the walk: eval/attention.h.
#pragma once
#include "eval/similarity.h"

namespace plumage {

struct KnnOptions {
  int64_t k = 200;       ///< capped at what there is to find
  bool weighted = true;  ///< votes weigh exp(similarity / temperature); false: one each
  double temperature = 0.1;
  bool normalize = true;
  bool leave_out_group = false;
};

/// Predicted label of each query, i64 [Q]; -1 where nothing may be found. Of classes with equal votes the
/// lowest number wins. Unlabelled pictures of the gallery do not vote. Throws as for_each_query; InputError
/// unless k >= 1 and temperature > 0.
Tensor knn_predict(const Features& queries, const Features& gallery, const KnnOptions& options = {});

/// Share of queries, 0 to 1, whose prediction is right. Queries without a label are left out; InputError if
/// all are.
double knn_top1(const Features& queries, const Features& gallery, const KnnOptions& options = {});

/// The same, each picture against all others of the set.
double knn_top1(const Features& features, const KnnOptions& options = {});

/// Unweighted, for k = 1 .. k_most from one search: element k-1 is the share for k.
std::vector<double> knn_curve(const Features& queries, const Features& gallery, int64_t k_most = 20,
                              const KnnOptions& options = {});

}  // namespace plumage
