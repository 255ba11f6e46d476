// Ranks of the relevant items, without sorting the gallery: of each other item it is enough to know how many
// relevant ones it stands ahead of. Next in the walk: eval/knn.cpp.
#include "eval/retrieval.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace plumage {
namespace {

constexpr int kTogether = 16;  // searches that hide each other's latency

/// The relevant items that may be found, best first.
class Hits {
 public:
  Hits(std::span<const float> row, const std::vector<int64_t>& relevant) {
    for (int64_t i : relevant)
      if (row[size_t(i)] == row[size_t(i)]) items_.push_back({i, row[size_t(i)]});
    std::sort(items_.begin(), items_.end(), ahead);
    for (const Neighbour& hit : items_) similarities_.push_back(hit.similarity);
  }

  size_t size() const { return items_.size(); }

  /// How many hits have a higher similarity, for sixteen items at once by bisection without branches; all for
  /// NaN.
  void higher(const float* similarity, int32_t* count) const {
    const float* hits = similarities_.data();
    for (int j = 0; j < kTogether; ++j) count[j] = 0;
    for (int32_t left = int32_t(size()); left > 1; left -= left / 2) {
      int32_t half = left / 2;
      for (int j = 0; j < kTogether; ++j) count[j] += hits[count[j] + half - 1] <= similarity[j] ? 0 : half;
    }
    for (int j = 0; j < kTogether; ++j) count[j] += hits[count[j]] <= similarity[j] ? 0 : 1;
  }

  /// How many hits are ahead of `item`, of which `higher` have a higher similarity.
  size_t ahead_of(const Neighbour& item, size_t higher) const {
    if (higher == size() || similarities_[higher] != item.similarity) return higher;
    return size_t(std::lower_bound(items_.begin() + int64_t(higher), items_.end(), item, ahead) -
                  items_.begin());
  }

 private:
  std::vector<Neighbour> items_;
  std::vector<float> similarities_;  // theirs
};

/// Ranks (from 1, ascending) of the relevant among all that may be found. NaN in `row`: may not.
std::vector<int64_t> ranks_of_relevant(std::span<float> row, const std::vector<int64_t>& relevant) {
  Hits hits(row, relevant);
  if (hits.size() == 0) return {};
  for (int64_t i : relevant) row[size_t(i)] = NAN;      // what is left are misses
  std::vector<int64_t> misses_before(hits.size() + 1);  // [h]: misses between hit h-1 and hit h
  float tail[kTogether];
  int32_t higher[kTogether];
  for (size_t first = 0; first < row.size(); first += kTogether) {
    const float* some = row.data() + first;
    size_t count = std::min(row.size() - first, size_t(kTogether));
    if (count < kTogether) {
      std::fill(tail, tail + kTogether, NAN);
      std::copy(some, some + count, tail);
      some = tail;
    }
    hits.higher(some, higher);
    for (size_t j = 0; j < kTogether; ++j)
      ++misses_before[hits.ahead_of({int64_t(first + j), some[j]}, size_t(higher[j]))];
  }
  std::vector<int64_t> ranks(hits.size());
  int64_t misses = 0;
  for (size_t h = 0; h < ranks.size(); ++h) {
    misses += misses_before[h];
    ranks[h] = misses + int64_t(h) + 1;
  }
  return ranks;
}

/// Positions of each label's items.
std::vector<std::vector<int64_t>> items_by_label(const Features& gallery) {
  std::vector<std::vector<int64_t>> items(size_t(gallery.class_count()));
  for (int64_t i = 0; i < gallery.size(); ++i)
    if (gallery.label(i) >= 0) items[size_t(gallery.label(i))].push_back(i);
  return items;
}

double average_precision_of_ranks(const std::vector<int64_t>& ranks) {
  double sum = 0;
  for (size_t h = 0; h < ranks.size(); ++h) sum += double(h + 1) / double(ranks[h]);
  return ranks.empty() ? std::numeric_limits<double>::quiet_NaN() : sum / double(ranks.size());
}

RetrievalScores score(const Search& search) {
  check(search);
  std::vector<int64_t> first_hit(size_t(search.queries.size()));  // 0: no answer
  std::vector<double> precision(first_hit.size());
  auto by_label = items_by_label(search.gallery);
  for_each_query(search, [&](int64_t query, std::span<float> row) {
    int64_t label = search.queries.label(query);
    if (label < 0 || label >= int64_t(by_label.size())) return;
    std::vector<int64_t> ranks = ranks_of_relevant(row, by_label[size_t(label)]);
    if (ranks.empty()) return;
    first_hit[size_t(query)] = ranks.front();
    precision[size_t(query)] = average_precision_of_ranks(ranks);
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
  std::vector<size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return ahead(candidates[a], candidates[b]); });
  std::vector<int64_t> ranks;
  for (size_t r = 0; r < order.size(); ++r)
    if (relevant[order[r]]) ranks.push_back(int64_t(r) + 1);
  return average_precision_of_ranks(ranks);
}

}  // namespace plumage
