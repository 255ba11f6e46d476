// InfoNCE against a queue: similarities to a block of keys at a time, weighed and added up while they are in the cache. What a
// block changes in the largest similarity so far, the sums before it follow.
#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/backend/cpu/gemm.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu {
namespace {

constexpr int64_t kBlockBytes = 1 << 19;  // of similarities
constexpr float kInfinity = __builtin_inff();

constexpr int kScratch = 4;  // the products have the others

int64_t keys_at_once(int64_t rows) {
  return std::clamp<int64_t>(kBlockBytes / 4 / std::max<int64_t>(rows, 1) / 64 * 64, 256, 4096);
}

// Of each row so far: the largest similarity, the sum of exp(s - largest), and by what the block shrinks older sums.
struct Row {
  float largest = -kInfinity, shrink = 0;
  double sum = 0;
};

// s becomes exp(scale s - largest).
void weigh(Row& row, float* s, int64_t count, float scale) {
  V top = splat(s[0] * scale);
  for_vectors(0, count, [&](int64_t i, int64_t lanes) { top = vmax(top, load_n(s + i, lanes, s[0]) * scale); });
  float largest = std::max(row.largest, lane_max(top));
  row.shrink = row.largest == largest ? 1.f : std::exp(row.largest - largest);
  double sum = sum_of(count, [&](int64_t i, int64_t lanes) {
    V weight = vexp(load_n(s + i, lanes) * scale - largest);
    store_n(s + i, weight, lanes);
    return weight;
  });
  row.sum = row.sum * double(row.shrink) + sum;
  row.largest = largest;
}

template <class T>
const float* as_floats(const T* from, int64_t count, float* to) {
  if constexpr (std::is_same_v<T, float>) return from;
  std::copy_n(from, count, to);
  return to;
}

}  // namespace

void attend(Context& context, In q, In keys, Out lse, Out mean, double scale) {
  const int64_t rows = q.shape[0], d = q.shape[1], count = keys.shape[0], most = std::min(keys_at_once(rows), count);
  if (rows == 0) return;
  visit_fast(q.dtype, [&](auto type) {
    using T = decltype(type);
    constexpr bool plain = std::is_same_v<T, float>;
    auto* at = static_cast<float*>(context.scratch((rows * most + 2 * rows * d + (plain ? 0 : (rows + most) * d)) * 4, kScratch));
    float *s = at, *part = s + rows * most, *sum = part + rows * d, *q_floats = sum + rows * d, *key_floats = q_floats + rows * d;
    In x{as_floats(q.as<T>(), rows * d, q_floats), q.shape, DType::f32};
    std::vector<Row> state(static_cast<size_t>(rows));
    std::fill_n(sum, rows * d, 0.f);
    for (int64_t first = 0; first < count; first += most) {
      int64_t n = std::min(most, count - first);
      In block{as_floats(keys.as<T>() + first * d, n * d, key_floats), {n, d}, DType::f32};
      matmul(context, x, block, {}, Out{s, {rows, n}, DType::f32}, false, true);
      parallel_rows(context, rows, 8 * n, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) weigh(state[size_t(r)], s + r * n, n, float(scale));
      });
      matmul(context, In{s, {rows, n}, DType::f32}, block, {}, Out{part, {rows, d}, DType::f32}, false, false);
      parallel_rows(context, rows, d, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          float *to = sum + r * d, shrink = state[size_t(r)].shrink;
          for_vectors(0, d, [&](int64_t i, int64_t lanes) {
            store_n(to + i, load_n(to + i, lanes) * shrink + load_n(part + r * d + i, lanes), lanes);
          });
        }
      });
    }
    for (int64_t r = 0; r < rows; ++r) {
      const Row& row = state[size_t(r)];
      lse.as<T>()[r] = T(float(double(row.largest) + std::log(row.sum)));
      float share = float(1 / row.sum);
      T* to = mean.as<T>() + r * d;
      for_vectors(0, d, [&](int64_t i, int64_t lanes) { store_n(to + i, load_n(sum + r * d + i, lanes) * share, lanes); });
    }
  });
}

}  // namespace plumage::cpu
