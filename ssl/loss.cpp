#include "ssl/loss.h"

#include <limits>

namespace plumage {

namespace {

void check_tau(double tau) {
  if (!(tau > 0)) throw InputError(message("tau=", tau, ": the temperature must be positive"));
}

// Row i of a times row i of b: [B, 1].
Var row_dot(const Var& a, const Var& b) {
  Shape column{a.size(0), 1};
  return sum_to(mul(a, b), column);
}

// 0 where a similarity takes part in the denominator, -inf where it does not: [rows, 2B]. Row r of anchors stands for
// row r of the 2B; itself never counts, its positive (r + B mod 2B) by choice.
Tensor denominator_mask(int64_t rows, int64_t batch, Denominator denominator, const Tensor& like) {
  std::vector<double> mask(size_t(rows * 2 * batch), 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    double* row = mask.data() + r * 2 * batch;
    row[r] = -std::numeric_limits<double>::infinity();
    if (denominator == Denominator::without_positive) row[(r + batch) % (2 * batch)] = row[r];
  }
  return ops::constant(mask, {rows, 2 * batch}, like.dtype(), like.device());
}

Var in_batch(const Var& a, const Var& b, double tau, Denominator denominator, bool symmetric) {
  check_tau(tau);
  int64_t batch = a.size(0);
  expect_shape(b.value(), {batch, a.size(1)}, "batch_loss: b");
  if (batch < 2) throw ShapeError("batch_loss: a batch of 1 has no negatives; wanted at least 2 images");
  Var all = concat({a, b}, 0);                              // [2B, d]
  Var anchors = symmetric ? all : a;                        // [R, d], R = 2B or B
  Var partners = symmetric ? concat({b, a}, 0) : b;         // [R, d]
  Var similarity = scale(matmul(anchors, all, false, true), 1 / tau);  // [R, 2B]
  Tensor mask = denominator_mask(anchors.size(0), batch, denominator, a.value());
  Var positive = reshape(scale(row_dot(anchors, partners), 1 / tau), {anchors.size(0)});
  return sub(logsumexp(add(similarity, Var(mask))), positive);  // [R]
}

}  // namespace

Var queue_loss(const Var& q, const Tensor& k, const Tensor& queue, double tau, Denominator denominator) {
  check_tau(tau);
  int64_t batch = q.size(0);
  expect_shape(k, {batch, q.size(1)}, "queue_loss: k");
  expect_shape(queue, {-1, q.size(1)}, "queue_loss: queue");
  Var positive = scale(row_dot(q, Var(k)), 1 / tau);  // [B, 1]
  Var negatives = attend(q, queue, 1 / tau);          // [B]: logsumexp over the queue
  if (denominator == Denominator::without_positive) return sub(negatives, reshape(positive, {batch}));
  Tensor labels = Tensor::zeros({batch}, DType::i64, q.value().device());  // the positive stands first
  return cross_entropy(concat({positive, reshape(negatives, {batch, 1})}, 1), labels);
}

Var batch_loss(const Var& a, const Var& b, double tau, Denominator denominator) {
  return in_batch(a, b, tau, denominator, false);
}

Var symmetric_batch_loss(const Var& a, const Var& b, double tau, Denominator denominator) {
  return in_batch(a, b, tau, denominator, true);
}

Var negative_cosine(const Var& p, const Tensor& z) {
  Tensor unit_z = ops::l2_normalize(z, 1e-8).first;
  return reshape(neg(row_dot(l2_normalize(p, 1e-8), Var(unit_z))), {p.size(0)});
}

Var reconstruction_loss(const Var& x_hat, const Tensor& x) { return mean(square(sub(x_hat, Var(x)))); }

}  // namespace plumage
