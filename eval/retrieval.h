// Retrieval: does a picture find others of its class? Rank-1, rank-5 and mean average precision of frozen
// features, as LCR's evaluation defines them. Next in the walk: eval/knn.h.
#pragma once
#include "eval/similarity.h"

namespace plumage {

struct RetrievalOptions {
  bool normalize = true;  ///< l2-normalise the features
  bool leave_out_group =
      false;  ///< a query must not find pictures of its own group (near-duplicates of one track)
};

/// Shares of queries, 0 to 1. A query without any relevant item in its gallery (the only picture of its
/// class, or no label) has no answer: it is left out of the means, and counted in `without_answer`.
struct RetrievalScores {
  double rank1 = 0;  ///< the best hit is of the query's class
  double rank5 = 0;  ///< any of the best five is
  double map = 0;    ///< mean over queries of average precision over the whole ranking
  int64_t queries = 0;
  int64_t without_answer = 0;
};

/// Each picture against all others of the set. Throws as for_each_query; InputError if no query has an
/// answer.
RetrievalScores retrieve(const Features& features, const RetrievalOptions& options = {});

/// Each query against another set.
RetrievalScores retrieve(const Features& queries, const Features& gallery,
                         const RetrievalOptions& options = {});

/// Average precision of a ranking: mean over relevant items of (relevant so far) / (rank), ranks from 1, ties
/// of similarity by index. `relevant` says so for each candidate. NaN if none is relevant.
double average_precision(const std::vector<Neighbour>& candidates, const std::vector<bool>& relevant);

}  // namespace plumage
