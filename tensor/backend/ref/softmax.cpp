// Softmax, its logarithm, logsumexp and cross-entropy. An entry of -inf is masked: its weight is 0 and it
// makes no NaN, and of a row that is masked altogether softmax is 0, log-softmax and logsumexp are -inf,
// cross-entropy inf.
#include <vector>

#include "tensor/backend/ref/elements.h"

namespace plumage::ref {
namespace {

/// log(sum(exp(x[first .. first+n-1]))); the largest entry is taken out first, so that nothing overflows.
double log_sum_exp(const Reader& x, int64_t first, int64_t n) {
  double largest = -kInfinity, sum = 0;
  for (int64_t i = first; i < first + n; ++i) largest = nan_max(largest, x[i]);
  if (std::isinf(largest)) return largest;
  for (int64_t i = first; i < first + n; ++i) sum += std::exp(x[i] - largest);
  return largest + std::log(sum);
}

/// Of an entry x in a row whose logsumexp is lse.
double log_probability(double x, double lse) { return x == -kInfinity && !std::isnan(lse) ? x : x - lse; }
double probability(double x, double lse) { return std::exp(log_probability(x, lse)); }

}  // namespace

void softmax(Context&, In x, Out y) {
  auto [rows, columns] = Rows(x.shape);
  Reader in(x);
  Writer out(y);
  for (int64_t r = 0; r < rows; ++r) {
    double lse = log_sum_exp(in, r * columns, columns);
    for (int64_t i = r * columns; i < (r + 1) * columns; ++i) out.set(i, probability(in[i], lse));
  }
}

void softmax_bwd(Context&, In y, In dy, Out dx) {  // dx = y (dy - sum(y dy))
  auto [rows, columns] = Rows(y.shape);
  Reader p(y), g(dy);
  Writer out(dx);
  for (int64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (int64_t i = r * columns; i < (r + 1) * columns; ++i) sum += p[i] * g[i];
    for (int64_t i = r * columns; i < (r + 1) * columns; ++i) out.set(i, p[i] * (g[i] - sum));
  }
}

void log_softmax(Context&, In x, Out y) {
  auto [rows, columns] = Rows(x.shape);
  Reader in(x);
  Writer out(y);
  for (int64_t r = 0; r < rows; ++r) {
    double lse = log_sum_exp(in, r * columns, columns);
    for (int64_t i = r * columns; i < (r + 1) * columns; ++i) out.set(i, log_probability(in[i], lse));
  }
}

void log_softmax_bwd(Context&, In y, In dy, Out dx) {  // dx = dy - exp(y) sum(dy)
  auto [rows, columns] = Rows(y.shape);
  Reader log_p(y), g(dy);
  Writer out(dx);
  for (int64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (int64_t i = r * columns; i < (r + 1) * columns; ++i) sum += g[i];
    for (int64_t i = r * columns; i < (r + 1) * columns; ++i) out.set(i, g[i] - std::exp(log_p[i]) * sum);
  }
}

void logsumexp(Context&, In x, Out y) {
  auto [rows, columns] = Rows(x.shape);
  Reader in(x);
  Writer out(y);
  for (int64_t r = 0; r < rows; ++r) out.set(r, log_sum_exp(in, r * columns, columns));
}

void logsumexp_bwd(Context&, In x, In y, In dy, Out dx) {  // dx = dy softmax(x)
  auto [rows, columns] = Rows(x.shape);
  Reader in(x), lse(y), g(dy);
  Writer out(dx);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = r * columns; i < (r + 1) * columns; ++i) out.set(i, g[r] * probability(in[i], lse[r]));
}

void cross_entropy(Context&, In logits, In labels, Out loss, Out lse) {
  auto [rows, columns] = Rows(logits.shape);
  Reader in(logits);
  Writer out(loss), out_lse(lse);
  for (int64_t r = 0; r < rows; ++r) {
    double row_lse = log_sum_exp(in, r * columns, columns);
    out.set(r, -log_probability(in[r * columns + labels.as<int64_t>()[r]], row_lse));
    out_lse.set(r, row_lse);
  }
}

void attend(Context&, In q, In keys, Out lse, Out mean, double scale) {
  auto [rows, d] = Rows(q.shape);
  int64_t count = keys.shape[0];
  Reader x(q), key(keys);
  Writer out_lse(lse), out_mean(mean);
  std::vector<double> s(size_t(count), 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t k = 0; k < count; ++k) {
      double dot = 0;
      for (int64_t c = 0; c < d; ++c) dot += x[r * d + c] * key[k * d + c];
      s[size_t(k)] = scale * dot;
      largest = std::max(largest, s[size_t(k)]);
    }
    for (double& v : s) sum += v = std::exp(v - largest);
    out_lse.set(r, largest + std::log(sum));
    for (int64_t c = 0; c < d; ++c) {
      double m = 0;
      for (int64_t k = 0; k < count; ++k) m += s[size_t(k)] * key[k * d + c];
      out_mean.set(r * d + c, m / sum);
    }
  }
}

void cross_entropy_bwd(Context&, In logits, In labels, In lse, In dloss,
                       Out dlogits) {  // dloss (softmax - one-hot)
  auto [rows, columns] = Rows(logits.shape);
  Reader in(logits), row_lse(lse), g(dloss);
  Writer out(dlogits);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) {
      double target = c == labels.as<int64_t>()[r] ? 1 : 0;
      out.set(r * columns + c, g[r] * (probability(in[r * columns + c], row_lse[r]) - target));
    }
}

}  // namespace plumage::ref
