// Ranks of the relevant items, without sorting the gallery: of each other item it is enough to know how many
// relevant ones it stands ahead of. Next in the walk: eval/knn.cpp.
#include "eval/retrieval.h"

#include <algorithm>
#include <limits>

namespace plumage {
namespace {

/// Ranks (from 1, ascending) of the relevant among the candidates.
std::vector<int64_t> ranks_of_relevant(const std::vector<Neighbour>& candidates,
                                       const std::vector<bool>& relevant) {
  std::vector<Neighbour> hits;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (relevant[i]) hits.push_back(candidates[i]);
  }
  std::sort(hits.begin(), hits.end(), ahead);
  std::vector<int64_t> misses_before(hits.size() + 1);  // [h]: misses between hit h-1 and hit h
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (relevant[i]) continue;
    auto next_hit = std::lower_bound(hits.begin(), hits.end(), candidates[i], ahead);
    ++misses_before[size_t(next_hit - hits.begin())];
  }
  std::vector<int64_t> ranks(hits.size());
  int64_t misses = 0;
  for (size_t h = 0; h < hits.size(); ++h) {
    misses += misses_before[h];
    ranks[h] = misses + int64_t(h) + 1;
  }
  return ranks;
}

double average_precision_of_ranks(const std::vector<int64_t>& ranks) {
  double sum = 0;
  for (size_t h = 0; h < ranks.size(); ++h) sum += double(h + 1) / double(ranks[h]);
  return ranks.empty() ? std::numeric_limits<double>::quiet_NaN() : sum / double(ranks.size());
}

RetrievalScores score(const Search& search) {
  std::vector<int64_t> first_hit(size_t(search.queries.size()));  // 0: no answer
  std::vector<double> precision(first_hit.size());
  for_each_query(search, [&](int64_t query, std::vector<Neighbour>& candidates) {
    int64_t label = search.queries.label(query);
    std::vector<bool> relevant(candidates.size());
    for (size_t i = 0; i < candidates.size(); ++i) {
      relevant[i] = label >= 0 && search.gallery.label(candidates[i].index) == label;
    }
    std::vector<int64_t> ranks = ranks_of_relevant(candidates, relevant);
    first_hit[size_t(query)] = ranks.empty() ? 0 : ranks.front();
    precision[size_t(query)] = ranks.empty() ? 0 : average_precision_of_ranks(ranks);
  });

  RetrievalScores scores;
  for (size_t q = 0; q < first_hit.size(); ++q) {
    if (first_hit[q] == 0) {
      ++scores.without_answer;
      continue;
    }
    ++scores.queries;
    scores.rank1 += first_hit[q] <= 1;
    scores.rank5 += first_hit[q] <= 5;
    scores.map += precision[q];
  }
  if (scores.queries == 0) {
    throw InputError(
        message("retrieval: none of ", scores.without_answer,
                " pictures has another of its class to find; it needs labels and two pictures a class"));
  }
  for (double* s : {&scores.rank1, &scores.rank5, &scores.map}) *s /= double(scores.queries);
  return scores;
}

}  // namespace

RetrievalScores retrieve(const Features& features, const RetrievalOptions& options) {
  return score({features, features, true, options.leave_out_group, options.normalize});
}

RetrievalScores retrieve(const Features& queries, const Features& gallery, const RetrievalOptions& options) {
  return score({queries, gallery, false, options.leave_out_group, options.normalize});
}

double average_precision(const std::vector<Neighbour>& candidates, const std::vector<bool>& relevant) {
  if (candidates.size() != relevant.size())
    throw ShapeError("average precision: one flag for each candidate");
  return average_precision_of_ranks(ranks_of_relevant(candidates, relevant));
}

}  // namespace plumage
