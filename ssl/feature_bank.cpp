#include "ssl/feature_bank.h"

#include <cmath>

#include "tensor/ops.h"

namespace plumage {

FeatureBank::FeatureBank(int64_t size, int64_t features, DType dtype, Device device) {
  if (size < 2) throw InputError(message("bank.size=", size, ": wanted at least 2"));
  rows_ = Var(Tensor::zeros({size, features}, dtype, device));
  next_ = Var(Tensor::zeros({1}, DType::i64, device));
  filled_ = Var(Tensor::zeros({1}, DType::i64));
}

FeatureBank FeatureBank::with(const std::vector<Tensor>& batches) const {
  FeatureBank bank;
  bank.rows_ = Var(rows_.value().clone());
  bank.next_ = Var(next_.value().clone());
  bank.filled_ = Var(filled_.value().clone());
  for (const Tensor& v : batches) bank.add(v);
  return bank;
}

void FeatureBank::add(const Tensor& v) {
  // A batch larger than the bank leaves its last rows.
  Tensor newest = v.size(0) > size() ? v.slice(v.size(0) - size(), size()) : v;
  ops::put_rows(rows_.value(), newest, next_.value());
  ops::advance(next_.value(), newest.size(0), size());
  int64_t& filled = *filled_.value().data<int64_t>();
  filled = std::min(size(), filled + newest.size(0));
}

int64_t FeatureBank::filled() const { return filled_.value().data<int64_t>()[0]; }

Tensor FeatureBank::filled_rows() const { return rows_.value().slice(0, filled()); }

Tensor FeatureBank::spread(VarianceCriterion criterion) const {
  if (filled() == 0) throw ShapeError("feature bank: no rows yet");
  Tensor rows = filled_rows();  // [F, n]
  const Shape features{rows.size(1)};
  auto moments = [&](const Tensor& x) { return ops::batch_norm_stats(x); };
  switch (criterion) {
    case VarianceCriterion::raw:
    case VarianceCriterion::quantile: return moments(rows).variance.reshape(features);
    case VarianceCriterion::row_l2_std:
      return ops::unary(UnaryFn::sqrt, moments(ops::l2_normalize(rows).first).variance).reshape(features);
    case VarianceCriterion::column_l2: {
      // variance of w / |w| is variance / |w|^2, and |w|^2 = F (variance + mean^2).
      auto [mean, variance] = moments(rows);
      Tensor square = ops::scale(ops::add(variance, ops::mul(mean, mean)), double(rows.size(0)));
      return ops::div(variance, ops::binary(BinaryFn::maximum, square, Tensor::full({1}, 1e-30, square.dtype(), square.device()))).reshape(features);
    }
    case VarianceCriterion::cv: {
      auto [mean, variance] = moments(rows);
      Tensor size = ops::binary(BinaryFn::maximum, ops::unary(UnaryFn::abs, mean), Tensor::full({1}, 1e-12, mean.dtype(), mean.device()));
      return ops::div(ops::unary(UnaryFn::sqrt, variance), size).reshape(features);
    }
  }
  throw InputError("lowvar.criterion: unknown");
}

Tensor FeatureBank::rms_std() const { return ops::unary(UnaryFn::sqrt, ops::mean(spread(VarianceCriterion::raw))); }

void FeatureBank::visit(const std::string& prefix, const Visitor& f) {
  f(join_name(prefix, "rows"), rows_, Role::buffer);
  f(join_name(prefix, "next"), next_, Role::buffer);
  f(join_name(prefix, "filled"), filled_, Role::buffer);
}

}  // namespace plumage
