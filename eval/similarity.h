// Dot products of features, block by block, so that the full N x N matrix never exists: what retrieval and
// kNN share. Next in the walk: eval/retrieval.h.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "eval/features.h"

namespace plumage {

/// An item of the gallery and how alike it is to the query.
struct Neighbour {
  int64_t index = 0;
  float similarity = 0;
};

/// Who may be found. The gallery may be the queries themselves: then `self` leaves each query out of its own
/// search.
struct Search {
  const Features& queries;
  const Features& gallery;
  bool self = false;  ///< queries and gallery are one set
  bool leave_out_group =
      false;              ///< leave out what shares the query's group (a track, a burst); "" is no group
  bool normalize = true;  ///< cosine; false: plain dot products
};

/// The ordering of every ranking in eval: higher similarity first, ties by lower index.
inline bool ahead(const Neighbour& a, const Neighbour& b) {
  return a.similarity != b.similarity ? a.similarity > b.similarity : a.index < b.index;
}

/// Throws InputError if a set is empty or its features are not finite, ShapeError if their widths differ.
void check(const Search& search);

/// Calls visit(query, similarities) for each query, from several threads at once: one number for each item of
/// the gallery, in its order; NaN where the item may not be found; the visitor may change them. Only a block
/// of queries has its rows in memory at a time; they are computed on the queries' device. Throws as check.
void for_each_query(const Search& search,
                    const std::function<void(int64_t query, std::span<float> similarities)>& visit);

/// The k best of such a row, best first; fewer where not so many may be found.
std::vector<Neighbour> best_of(std::span<const float> similarities, int64_t k);

/// The k best of each query, best first; fewer where there are not so many. k >= 1.
std::vector<std::vector<Neighbour>> nearest(const Search& search, int64_t k);

}  // namespace plumage
