// Blocked similarities. Next in the walk: eval/retrieval.cpp.
#include "eval/similarity.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include "tensor/context.h"
#include "tensor/ops.h"

namespace plumage {
namespace {

constexpr int64_t kBlockElements = int64_t(1) << 22;  // similarities held at a time: 16 MiB

Tensor prepare(const Features& features, bool normalize) {
  Tensor v = ops::cast(features.v, DType::f32);
  return normalize ? ops::l2_normalize(v).first : v;
}

void check(const Search& search) {
  check_features(search.queries, "queries");
  if (!search.self) check_features(search.gallery, "gallery");
  if (search.queries.v.size(1) != search.gallery.v.size(1)) {
    throw ShapeError(message("retrieval: queries have ", search.queries.v.size(1), " features, the gallery ",
                             search.gallery.v.size(1), "; use one encoder for both"));
  }
  if (search.self && search.queries.size() != search.gallery.size()) {
    throw ShapeError("retrieval: `self` wants the queries themselves as the gallery");
  }
}

bool may_be_found(const Search& search, int64_t query, int64_t item) {
  if (search.self && query == item) return false;
  if (!search.leave_out_group) return true;
  const std::string& group = search.queries.group(query);
  return group.empty() || group != search.gallery.group(item);
}

}  // namespace

void for_each_query(const Search& search,
                    const std::function<void(int64_t, std::vector<Neighbour>&)>& visit) {
  check(search);
  Tensor q = prepare(search.queries, search.normalize);                    // q: [Q, n]
  Tensor g = search.self ? q : prepare(search.gallery, search.normalize);  // g: [G, n]
  int64_t queries = q.size(0), items = g.size(0);
  int64_t block = std::clamp<int64_t>(kBlockElements / items, 1, 512);
  for (int64_t first = 0; first < queries; first += block) {
    int64_t rows = std::min(block, queries - first);
    Tensor similarity = ops::matmul(q.slice(first, rows), g, false, true);  // similarity: [rows, G]
    const float* values = similarity.data<float>();
    std::exception_ptr failure;
#pragma omp parallel num_threads(Context::cpu().threads())
    {
      std::vector<Neighbour> candidates;
#pragma omp for schedule(static)
      for (int64_t r = 0; r < rows; ++r) {
        try {
          candidates.clear();
          for (int64_t i = 0; i < items; ++i) {
            if (!may_be_found(search, first + r, i)) continue;
            float s = values[r * items + i];
            candidates.push_back(
                {i, s == s ? s : -INFINITY});  // inf - inf of huge features: last, not unordered
          }
          visit(first + r, candidates);
        } catch (...) {  // an exception must not leave a parallel region
#pragma omp critical(plumage_for_each_query)
          failure = std::current_exception();
        }
      }
    }
    if (failure) std::rethrow_exception(failure);
  }
}

std::vector<std::vector<Neighbour>> nearest(const Search& search, int64_t k) {
  if (k < 1) throw InputError(message("neighbours: k must be at least 1, got ", k));
  std::vector<std::vector<Neighbour>> found(size_t(search.queries.size()));
  for_each_query(search, [&](int64_t query, std::vector<Neighbour>& candidates) {
    auto end = candidates.begin() + std::min<int64_t>(k, int64_t(candidates.size()));
    std::partial_sort(candidates.begin(), end, candidates.end(), ahead);
    found[size_t(query)].assign(candidates.begin(), end);
  });
  return found;
}

}  // namespace plumage
