// Blocked similarities. Next in the walk: eval/retrieval.cpp.
#include "eval/similarity.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <unordered_map>

#include "tensor/context.h"
#include "tensor/ops.h"

namespace plumage {
namespace {

constexpr int64_t kBlockElements = int64_t(1) << 25;  // similarities held at a time: 128 MiB
constexpr int64_t kChunk = 64;  // of a row, passed over at once if nothing in it is good enough

// A ranking may hang on the last bits: products keep those of the features in this scope, also where the encoder's need not.
struct FullPrecision {
  explicit FullPrecision(Device device) : context(Context::of(device)), tf32(context.tf32) { context.tf32 = false; }
  ~FullPrecision() { context.tf32 = tf32; }
  FullPrecision(const FullPrecision&) = delete;
  FullPrecision& operator=(const FullPrecision&) = delete;
  Context& context;
  bool tf32;
};

Tensor prepare(const Features& features, bool normalize, Device device) {
  Tensor v = ops::cast(features.v, DType::f32).to(device);
  return normalize ? ops::l2_normalize(v).first : v;
}

/// Groups as numbers, the same in both sets: names are too slow to compare for each pair. -1: no group.
struct GroupNumbers {
  std::vector<int32_t> queries, gallery;

  explicit GroupNumbers(const Search& search) {
    if (!search.leave_out_group || search.queries.groups.empty() || search.gallery.groups.empty()) return;
    std::unordered_map<std::string, int32_t> numbers;
    auto number = [&](const std::vector<std::string>& names, std::vector<int32_t>& out) {
      for (const std::string& name : names)
        out.push_back(name.empty() ? -1 : numbers.emplace(name, int32_t(numbers.size())).first->second);
    };
    number(search.queries.groups, queries);
    number(search.gallery.groups, gallery);
  }
};

/// Marks with NaN what `query` may not find. NaN of the arithmetic itself (inf - inf of huge features)
/// becomes the lowest similarity: last, not left out.
void mark_candidates(const Search& search, const GroupNumbers& groups, int64_t query, std::span<float> row) {
  for (float& s : row) s = s == s ? s : -INFINITY;
  if (search.self) row[size_t(query)] = NAN;
  if (groups.queries.empty() || groups.queries[size_t(query)] < 0) return;
  int32_t own = groups.queries[size_t(query)];
  for (size_t i = 0; i < row.size(); ++i) row[i] = groups.gallery[i] == own ? NAN : row[i];
}

/// Rows of similarities at a time: as many as fill a block, and no fewer than take an eighth of the gallery's
/// own memory, since a product of few rows only waits for the gallery to be read again.
int64_t rows_of_block(int64_t items, int64_t width) {
  return std::clamp<int64_t>(std::max(kBlockElements / items, width / 8), 1, 512);
}

}  // namespace

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

void for_each_query(const Search& search, const std::function<void(int64_t, std::span<float>)>& visit) {
  check(search);
  GroupNumbers groups(search);
  const Device device = search.queries.device;
  FullPrecision precision(device);
  Tensor q = prepare(search.queries, search.normalize, device);                    // q: [Q, n]
  Tensor g = search.self ? q : prepare(search.gallery, search.normalize, device);  // g: [G, n]
  int64_t queries = q.size(0), items = g.size(0), block = rows_of_block(items, g.size(1));
  for (int64_t first = 0; first < queries; first += block) {
    int64_t rows = std::min(block, queries - first);
    Tensor similarity = ops::matmul(q.slice(first, rows), g, false, true).to(Device{});  // similarity: [rows, G]
    float* values = similarity.data<float>();
    std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic, 4) num_threads(Context::cpu().threads())
    for (int64_t r = 0; r < rows; ++r) {
      try {
        std::span<float> row(values + r * items, size_t(items));
        mark_candidates(search, groups, first + r, row);
        visit(first + r, row);
      } catch (...) {  // an exception must not leave a parallel region
#pragma omp critical(plumage_for_each_query)
        failure = std::current_exception();
      }
    }
    if (failure) std::rethrow_exception(failure);
  }
}

std::vector<Neighbour> best_of(std::span<const float> similarities, int64_t k) {
  int64_t count = int64_t(similarities.size());
  k = std::min(k, count);
  std::vector<Neighbour> best;
  auto keep_k = [&] {
    if (int64_t(best.size()) <= k) return;
    std::nth_element(best.begin(), best.begin() + (k - 1), best.end(), ahead);
    best.resize(size_t(k));
  };
  bool full = false;
  float bar =
      0;  // once full: of the k-th best so far. An equal one after it has a higher index and stays behind.
  for (int64_t first = 0; first < count; first += kChunk) {
    int64_t end = std::min(first + kChunk, count);
    if (full) {
      int any = 0;
      for (int64_t i = first; i < end; ++i) any |= similarities[size_t(i)] > bar;
      if (!any) continue;
    }
    for (int64_t i = first; i < end; ++i) {
      float s = similarities[size_t(i)];
      if (full ? s > bar : s == s) best.push_back({i, s});
    }
    if (int64_t(best.size()) < 2 * k) continue;
    keep_k();
    full = true;
    bar = best[size_t(k - 1)].similarity;
  }
  keep_k();
  std::sort(best.begin(), best.end(), ahead);
  return best;
}

std::vector<std::vector<Neighbour>> nearest(const Search& search, int64_t k) {
  if (k < 1) throw InputError(message("neighbours: k must be at least 1, got ", k));
  std::vector<std::vector<Neighbour>> found(size_t(search.queries.size()));
  for_each_query(search,
                 [&](int64_t query, std::span<float> row) { found[size_t(query)] = best_of(row, k); });
  return found;
}

}  // namespace plumage
