// Batch normalisation over all but the last dimension, with the residual and the ReLU that may follow it.
// A batch in G groups has G rows of statistics; running statistics are one row.
#include <vector>

#include "tensor/backend/ref/elements.h"

namespace plumage::ref {
namespace {

/// Rows of x [rows, C] in equal groups, one for each row of the statistics [groups, C].
struct Groups {
  int64_t rows, C, count, rows_each;
  Groups(const Shape& x, const Shape& statistics) {
    Rows all(x);
    rows = all.rows;
    C = all.columns;
    count = C ? statistics.count() / C : 1;
    rows_each = count ? rows / count : 0;
  }
};

// y before the residual, of element i of channel c and statistic s
class Normalized {
 public:
  Normalized(In x, const BatchNorm& norm) : x_(x), mean_(norm.mean), variance_(norm.variance), gamma_(norm.gamma), beta_(norm.beta), epsilon_(norm.epsilon) {}
  double operator()(int64_t i, int64_t c, int64_t s) const {
    return gamma_[c] * (x_[i] - mean_[s]) / std::sqrt(variance_[s] + epsilon_) + beta_[c];
  }

 private:
  Reader x_, mean_, variance_, gamma_, beta_;
  double epsilon_;
};

}  // namespace

void batch_norm_stats(Context&, In x, Out mean, Out variance) {
  Groups groups(x.shape, mean.shape);
  int64_t C = groups.C, m = groups.rows_each;
  Reader in(x);
  Writer out_mean(mean), out_variance(variance);
  for (int64_t g = 0; g < groups.count; ++g)
    for (int64_t c = 0; c < C; ++c) {
      double sum = 0, squares = 0;
      for (int64_t r = g * m; r < (g + 1) * m; ++r) sum += in[r * C + c];
      double center = sum / double(m);
      for (int64_t r = g * m; r < (g + 1) * m; ++r)
        squares += (in[r * C + c] - center) * (in[r * C + c] - center);
      out_mean.set(g * C + c, center);
      out_variance.set(g * C + c, squares / double(m));
    }
}

void batch_norm_apply(Context&, In x, In residual, Out y, BatchNorm norm) {
  Groups groups(x.shape, norm.mean.shape);
  int64_t C = groups.C;
  Reader skip(residual);
  Normalized normalized(x, norm);
  Writer out(y);
  for (int64_t r = 0; r < groups.rows; ++r)
    for (int64_t c = 0; c < C; ++c) {
      int64_t s = r / groups.rows_each * C + c;
      double v = normalized(r * C + c, c, s);
      if (residual) v += skip[r * C + c];
      if (norm.activation == Activation::relu && v <= 0) v = 0;
      out.set(r * C + c, v);
    }
}

// d, the gradient of a norm's result, becomes 0 where relu stopped it; the source's sums are those of d and of d (x - mean).
void sum_gradient(Out d, const NormSource& source) {
  const BatchNorm& norm = source.norm;
  Groups groups(d.shape, norm.mean.shape);
  int64_t C = groups.C, m = groups.rows_each;
  Reader x(source.x), y(source.y), mean(norm.mean), gradient(d);
  Writer passed(d), sums(source.sums);
  Normalized normalized(source.x, norm);
  for (int64_t s = 0; s < groups.count * C; ++s) {
    double sum = 0, product = 0;
    for (int64_t i = s / C * m * C + s % C; i < (s / C + 1) * m * C; i += C) {
      double value = norm.activation != Activation::relu ? 1 : source.y ? y[i] : normalized(i, s % C, s);
      if (value <= 0) passed.set(i, 0);
      sum += gradient[i];
      product += gradient[i] * (x[i] - mean[s]);
    }
    sums.set(s, sum);
    sums.set(groups.count * C + s, product);
  }
}

void batch_norm_bwd(Context&, In x, In y, In dy, In, Out dx, Out dresidual, Out dgamma, Out dbeta,
                    BatchNorm norm) {
  // d = dy where relu let y pass. xhat = (x - mean) / std. Over a group of m rows:
  // dx = gamma / std (d - mean(d) - xhat mean(d xhat)); with running statistics dx = gamma / std d
  Groups groups(x.shape, norm.mean.shape);
  int64_t C = groups.C, m = groups.rows_each;
  Reader in(x), out_y(y), g_y(dy), mean(norm.mean), variance(norm.variance), gamma(norm.gamma);
  Writer out(dx);
  Normalized normalized(x, norm);
  auto passed = [&](int64_t i) {
    if (norm.activation != Activation::relu) return g_y[i];
    double v = y ? out_y[i] : normalized(i, i % C, i / C / m * C + i % C);
    return v <= 0 ? 0.0 : g_y[i];
  };
  if (dresidual)  // first: dx may be written over dy
    for (int64_t i = 0; i < dy.count(); ++i) Writer(dresidual).set(i, passed(i));
  std::vector<double> sum_gamma(size_t(C), 0.0), sum_beta(size_t(C), 0.0);
  for (int64_t g = 0; g < groups.count; ++g)
    for (int64_t c = 0; c < C; ++c) {
      double center = mean[g * C + c], inverse_std = 1 / std::sqrt(variance[g * C + c] + norm.epsilon);
      double sum_d = 0, sum_d_xhat = 0;
      for (int64_t i = g * m * C + c; i < (g + 1) * m * C; i += C) {
        double d = passed(i);
        sum_d += d;
        sum_d_xhat += d * (in[i] - center) * inverse_std;
      }
      sum_beta[size_t(c)] += sum_d;
      sum_gamma[size_t(c)] += sum_d_xhat;
      for (int64_t i = g * m * C + c; i < (g + 1) * m * C; i += C) {
        double d = passed(i), xhat = (in[i] - center) * inverse_std;
        if (norm.batch_statistics) d -= (sum_d + xhat * sum_d_xhat) / double(m);
        out.set(i, gamma[c] * inverse_std * d);
      }
    }
  if (dgamma)
    for (int64_t c = 0; c < C; ++c) Writer(dgamma).set(c, sum_gamma[size_t(c)]);
  if (dbeta)
    for (int64_t c = 0; c < C; ++c) Writer(dbeta).set(c, sum_beta[size_t(c)]);
}

}  // namespace plumage::ref
