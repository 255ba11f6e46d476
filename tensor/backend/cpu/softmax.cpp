// Softmax and its kin by rows, which stay in the cache between the passes: largest entry, sum of exponentials, result.
// The cases of -inf and NaN are ref's (tensor/backend/ref/softmax.cpp).
#include "tensor/backend/cpu/parallel.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu {
namespace {

constexpr float kInfinity = __builtin_inff();

struct Rows {
  int64_t count, columns;
  explicit Rows(const Shape& s) : count(1), columns(s.rank() ? s[-1] : 1) {
    for (int i = 0; i + 1 < s.rank(); ++i) count *= s[i];
  }
};

// f(row) in parallel; an exponential counts as several plain elements
template <class F>
void for_rows(Context& context, Rows rows, F&& f) {
  parallel_rows(context, rows.count, 4 * rows.columns, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r);
  });
}

/// logsumexp = largest + log_sum. An infinite or NaN largest stands alone.
struct LogSum {
  float largest, log_sum;
  float value() const { return largest + log_sum; }
  bool plain() const { return std::isfinite(largest); }
};

template <class T>
LogSum log_sum(const T* x, int64_t n) {
  V m = splat(-kInfinity);
  for_vectors(0, n, [&](int64_t i, int64_t lanes) { m = vmax(m, load_n(x + i, lanes, -kInfinity)); });
  float largest = lane_max(m);
  if (!std::isfinite(largest)) return {largest, 0.f};
  double sum = sum_of(n, [&](int64_t i, int64_t lanes) { return vexp(load_n(x + i, lanes) - largest); });
  return {largest, float(std::log(sum))};
}

// (x - largest) - log_sum; -inf stays -inf also where the row has nothing else
PLUMAGE_INLINE V log_probability(V x, LogSum s) {
  V y = (x - s.largest) - s.log_sum;
  return s.largest != s.largest ? y : select(x == -kInfinity, x, y);
}

template <class T, class F>
PLUMAGE_INLINE void map_row(T* y, int64_t n, F&& f) {
  for_vectors(0, n, [&](int64_t i, int64_t lanes) { store_n(y + i, f(i, lanes), lanes); });
}

}  // namespace

void softmax(Context& context, In x, Out y) {
  Rows rows(x.shape);
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    for_rows(context, rows, [&](int64_t r) {
      const T* in = x.as<T>() + r * rows.columns;
      LogSum s = log_sum(in, rows.columns);
      map_row(y.as<T>() + r * rows.columns, rows.columns,
              [&](int64_t i, int64_t lanes) { return vexp(log_probability(load_n(in + i, lanes), s)); });
    });
  });
}

void softmax_bwd(Context& context, In y, In dy, Out dx) {
  Rows rows(y.shape);
  visit_fast(y.dtype, [&](auto type) {
    using T = decltype(type);
    for_rows(context, rows, [&](int64_t r) {
      const T *p = y.as<T>() + r * rows.columns, *g = dy.as<T>() + r * rows.columns;
      float sum = float(sum_of(rows.columns, [&](int64_t i, int64_t lanes) { return load_n(p + i, lanes) * load_n(g + i, lanes); }));
      map_row(dx.as<T>() + r * rows.columns, rows.columns,
              [&](int64_t i, int64_t lanes) { return load_n(p + i, lanes) * (load_n(g + i, lanes) - sum); });
    });
  });
}

void log_softmax(Context& context, In x, Out y) {
  Rows rows(x.shape);
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    for_rows(context, rows, [&](int64_t r) {
      const T* in = x.as<T>() + r * rows.columns;
      LogSum s = log_sum(in, rows.columns);
      map_row(y.as<T>() + r * rows.columns, rows.columns,
              [&](int64_t i, int64_t lanes) { return log_probability(load_n(in + i, lanes), s); });
    });
  });
}

void log_softmax_bwd(Context& context, In y, In dy, Out dx) {
  Rows rows(y.shape);
  visit_fast(y.dtype, [&](auto type) {
    using T = decltype(type);
    for_rows(context, rows, [&](int64_t r) {
      const T *log_p = y.as<T>() + r * rows.columns, *g = dy.as<T>() + r * rows.columns;
      float sum = float(sum_of(rows.columns, [&](int64_t i, int64_t lanes) { return load_n(g + i, lanes); }));
      map_row(dx.as<T>() + r * rows.columns, rows.columns,
              [&](int64_t i, int64_t lanes) { return load_n(g + i, lanes) - vexp(load_n(log_p + i, lanes)) * sum; });
    });
  });
}

void logsumexp(Context& context, In x, Out y) {
  Rows rows(x.shape);
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    for_rows(context, rows, [&](int64_t r) { y.as<T>()[r] = T(log_sum(x.as<T>() + r * rows.columns, rows.columns).value()); });
  });
}

void logsumexp_bwd(Context& context, In x, In y, In dy, Out dx) {
  Rows rows(x.shape);
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    for_rows(context, rows, [&](int64_t r) {
      const T* in = x.as<T>() + r * rows.columns;
      LogSum s{float(y.as<T>()[r]), 0.f};
      float g = float(dy.as<T>()[r]);
      map_row(dx.as<T>() + r * rows.columns, rows.columns,
              [&](int64_t i, int64_t lanes) { return g * vexp(log_probability(load_n(in + i, lanes), s)); });
    });
  });
}

void cross_entropy(Context& context, In logits, In labels, Out loss, Out lse) {
  Rows rows(logits.shape);
  visit_fast(logits.dtype, [&](auto type) {
    using T = decltype(type);
    for_rows(context, rows, [&](int64_t r) {
      const T* in = logits.as<T>() + r * rows.columns;
      LogSum s = log_sum(in, rows.columns);
      loss.as<T>()[r] = T(-log_probability(splat(float(in[labels.as<int64_t>()[r]])), s)[0]);
      lse.as<float>()[r] = s.value();
    });
  });
}

void cross_entropy_bwd(Context& context, In logits, In labels, In lse, In dloss, Out dlogits) {
  Rows rows(logits.shape);
  visit_fast(logits.dtype, [&](auto type) {
    using T = decltype(type);
    for_rows(context, rows, [&](int64_t r) {
      const T* in = logits.as<T>() + r * rows.columns;
      T* out = dlogits.as<T>() + r * rows.columns;
      LogSum s{lse.as<float>()[r], 0.f};
      float g = float(dloss.as<T>()[r]);
      map_row(out, rows.columns, [&](int64_t i, int64_t lanes) { return g * vexp(log_probability(load_n(in + i, lanes), s)); });
      int64_t label = labels.as<int64_t>()[r];
      float p = vexp(log_probability(splat(float(in[label])), s))[0];
      out[label] = T(g * (p - 1.f));  // from p itself: the rounded product would lose digits
    });
  });
}

}  // namespace plumage::cpu
