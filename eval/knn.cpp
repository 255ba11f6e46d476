// Votes of neighbours. Next in the walk: eval/attention.cpp.
#include "eval/knn.h"

#include <algorithm>
#include <cmath>

namespace plumage {
namespace {

void check(const KnnOptions& options) {
  if (options.k < 1) throw InputError(message("knn: k must be at least 1, got ", options.k));
  if (!(options.temperature > 0)) {
    throw InputError(message("knn: temperature must be above 0, got ", options.temperature));
  }
}

/// The label with the most votes among the first k; -1 if nobody votes.
int64_t elect(const std::vector<Neighbour>& found, int64_t k, const Features& gallery,
              const KnnOptions& options, std::vector<double>& votes) {
  std::fill(votes.begin(), votes.end(), 0.0);
  bool any = false;
  for (int64_t i = 0; i < std::min(k, int64_t(found.size())); ++i) {
    const Neighbour& neighbour = found[size_t(i)];
    // Relative to the best, which changes no outcome, so that unnormalised features cannot overflow.
    double weight = std::exp(double(neighbour.similarity - found[0].similarity) / options.temperature);
    votes[size_t(gallery.label(neighbour.index))] += options.weighted ? weight : 1;
    any = true;
  }
  return any ? std::max_element(votes.begin(), votes.end()) - votes.begin() : -1;
}

/// The nearest labelled ones of each query.
std::vector<std::vector<Neighbour>> labelled_nearest(const Search& search, int64_t k) {
  std::vector<std::vector<Neighbour>> found(size_t(search.queries.size()));
  for_each_query(search, [&](int64_t query, std::vector<Neighbour>& candidates) {
    std::erase_if(candidates, [&](const Neighbour& c) { return search.gallery.label(c.index) < 0; });
    auto end = candidates.begin() + std::min<int64_t>(k, int64_t(candidates.size()));
    std::partial_sort(candidates.begin(), end, candidates.end(), ahead);
    found[size_t(query)].assign(candidates.begin(), end);
  });
  return found;
}

/// Shares of right predictions for each of `ks`.
std::vector<double> top1_for(const Search& search, const std::vector<int64_t>& ks,
                             const KnnOptions& options) {
  check(options);
  auto found = labelled_nearest(search, *std::max_element(ks.begin(), ks.end()));
  std::vector<double> votes(size_t(search.gallery.class_count())), right(ks.size());
  int64_t asked = 0;
  for (int64_t q = 0; q < search.queries.size(); ++q) {
    int64_t label = search.queries.label(q);
    if (label < 0) continue;
    ++asked;
    for (size_t i = 0; i < ks.size(); ++i) {
      right[i] += elect(found[size_t(q)], ks[i], search.gallery, options, votes) == label;
    }
  }
  if (asked == 0) throw InputError("knn: no picture has a label to compare with");
  for (double& r : right) r /= double(asked);
  return right;
}

}  // namespace

Tensor knn_predict(const Features& queries, const Features& gallery, const KnnOptions& options) {
  check(options);
  auto found =
      labelled_nearest({queries, gallery, false, options.leave_out_group, options.normalize}, options.k);
  std::vector<double> votes(size_t(gallery.class_count()));
  std::vector<int64_t> predicted;
  for (const auto& neighbours : found)
    predicted.push_back(elect(neighbours, options.k, gallery, options, votes));
  return Tensor::from(predicted, {int64_t(predicted.size())});
}

double knn_top1(const Features& queries, const Features& gallery, const KnnOptions& options) {
  return top1_for({queries, gallery, false, options.leave_out_group, options.normalize}, {options.k},
                  options)[0];
}

double knn_top1(const Features& features, const KnnOptions& options) {
  return top1_for({features, features, true, options.leave_out_group, options.normalize}, {options.k},
                  options)[0];
}

std::vector<double> knn_curve(const Features& queries, const Features& gallery, int64_t k_most,
                              const KnnOptions& options) {
  std::vector<int64_t> ks;
  for (int64_t k = 1; k <= k_most; ++k) ks.push_back(k);
  if (ks.empty()) throw InputError(message("knn: k must be at least 1, got ", k_most));
  KnnOptions plain = options;
  plain.weighted = false;
  return top1_for({queries, gallery, false, options.leave_out_group, options.normalize}, ks, plain);
}

}  // namespace plumage
