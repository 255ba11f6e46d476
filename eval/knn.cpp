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

/// The label with the most votes among the first k, the lowest of equals; -1 if nobody votes.
int64_t elect(const std::vector<Neighbour>& found, int64_t k, const Features& gallery,
              const KnnOptions& options) {
  struct Vote {
    int64_t label;
    double weight;
  };
  std::vector<Vote> votes;
  for (int64_t i = 0; i < std::min(k, int64_t(found.size())); ++i) {
    const Neighbour& neighbour = found[size_t(i)];
    // Relative to the best, which changes no outcome, so that unnormalised features cannot overflow.
    double weight = std::exp(double(neighbour.similarity - found[0].similarity) / options.temperature);
    votes.push_back({gallery.label(neighbour.index), options.weighted ? weight : 1});
  }
  std::stable_sort(votes.begin(), votes.end(),
                   [](const Vote& a, const Vote& b) { return a.label < b.label; });
  Vote best{-1, -1};
  for (size_t i = 0; i < votes.size();) {
    Vote sum{votes[i].label, 0};
    for (; i < votes.size() && votes[i].label == sum.label; ++i) sum.weight += votes[i].weight;
    if (sum.weight > best.weight) best = sum;
  }
  return best.label;
}

/// Predicted labels for each of `ks`, [ks][Q].
std::vector<std::vector<int64_t>> predict(const Search& search, const std::vector<int64_t>& ks,
                                          const KnnOptions& options) {
  check(options);
  check(search);
  std::vector<int64_t> unlabelled;
  for (int64_t i = 0; i < search.gallery.size(); ++i)
    if (search.gallery.label(i) < 0) unlabelled.push_back(i);
  int64_t most = *std::max_element(ks.begin(), ks.end());
  std::vector<std::vector<int64_t>> predicted(ks.size(), std::vector<int64_t>(size_t(search.queries.size())));
  for_each_query(search, [&](int64_t query, std::span<float> row) {
    for (int64_t i : unlabelled) row[size_t(i)] = NAN;
    std::vector<Neighbour> found = best_of(row, most);
    for (size_t i = 0; i < ks.size(); ++i)
      predicted[i][size_t(query)] = elect(found, ks[i], search.gallery, options);
  });
  return predicted;
}

/// Shares of right predictions for each of `ks`.
std::vector<double> top1_for(const Search& search, const std::vector<int64_t>& ks,
                             const KnnOptions& options) {
  auto predicted = predict(search, ks, options);
  std::vector<double> right(ks.size());
  int64_t asked = 0;
  for (int64_t q = 0; q < search.queries.size(); ++q) {
    int64_t label = search.queries.label(q);
    if (label < 0) continue;
    ++asked;
    for (size_t i = 0; i < ks.size(); ++i) right[i] += predicted[i][size_t(q)] == label;
  }
  if (asked == 0) throw InputError("knn: no picture has a label to compare with");
  for (double& r : right) r /= double(asked);
  return right;
}

}  // namespace

Tensor knn_predict(const Features& queries, const Features& gallery, const KnnOptions& options) {
  auto predicted =
      predict({queries, gallery, false, options.leave_out_group, options.normalize}, {options.k}, options)[0];
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
