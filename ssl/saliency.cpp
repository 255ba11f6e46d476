#include "ssl/saliency.h"

#include "tensor/ops.h"

namespace plumage {

namespace {

constexpr double kTiny = 1e-30;  // keeps 0 / 0 at 0 where a row is constant

Tensor column(const Tensor& x) {  // [..] -> [.., 1]
  Shape shape = x.shape();
  shape.push_back(1);
  return x.reshape(shape);
}

Tensor at_least_tiny(const Tensor& x) { return ops::binary(BinaryFn::maximum, x, Tensor::full({1}, kTiny, x.dtype(), x.device())); }

Tensor row_min(const Tensor& x) {  // [.., n] -> [.., 1]
  return ops::scale(column(ops::max_last(ops::scale(x, -1)).first), -1);
}

Tensor by_p90(const Tensor& eta) {
  int64_t n = eta.size(-1);
  auto [largest, index] = ops::top_k(eta, std::max<int64_t>(1, (n + 9) / 10));
  Tensor p90 = ops::narrow(largest, -1, largest.size(-1) - 1, 1);  // [B, 1]
  Tensor lowest = row_min(eta);
  Tensor scaled = ops::div(ops::sub(eta, lowest), at_least_tiny(ops::sub(p90, lowest)));
  return ops::binary(BinaryFn::minimum, scaled, Tensor::full({1}, 1, eta.dtype(), eta.device()));
}

Tensor by_rank(const Tensor& eta) {
  int64_t n = eta.size(-1);
  if (n < 2) return Tensor::zeros(eta.shape(), eta.dtype(), eta.device());
  Tensor order = ops::top_k(eta, n, /*largest=*/false).second;  // [B, n]: index of the smallest first
  std::vector<double> ranks(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) ranks[size_t(i)] = double(i) / double(n - 1);
  Tensor row = ops::constant(ranks, {1, n}, eta.dtype(), eta.device());
  Tensor spread = ops::add(Tensor::zeros(eta.shape(), eta.dtype(), eta.device()), row);
  // All that share the least value keep rank 0, whatever their order.
  return ops::binary(BinaryFn::relu_mask, ops::put_last(spread, order, n), ops::sub(eta, row_min(eta)));
}

}  // namespace

Tensor min_max(const Tensor& x) {
  Tensor highest = column(ops::max_last(x).first), lowest = row_min(x);
  return ops::div(ops::sub(x, lowest), at_least_tiny(ops::sub(highest, lowest)));
}

Tensor gradcam(const Tensor& gradient, const Tensor& v, SaliencyTarget target) {
  Tensor product = ops::mul(gradient, v);
  switch (target) {
    case SaliencyTarget::loss: return ops::relu(product);
    case SaliencyTarget::negative_loss: return ops::relu(ops::scale(product, -1));
    case SaliencyTarget::abs: return ops::unary(UnaryFn::abs, product);
  }
  throw InputError("saliency.target: unknown");
}

Tensor scale_saliency(const Tensor& eta, SaliencyScale scale) {
  switch (scale) {
    case SaliencyScale::minmax: return min_max(eta);
    case SaliencyScale::p90: return by_p90(eta);
    case SaliencyScale::rank: return by_rank(eta);
  }
  throw InputError("saliency.scale: unknown");
}

}  // namespace plumage
