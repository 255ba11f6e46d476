// Equations 1, 2 and 7, MoCo's and SimSiam's losses: values and gradients by hand, from the text, and PyTorch's.
#include "ssl/loss.h"

#include "autograd/tape.h"
#include "tests/ssl/expected_values.h"

using namespace plumage;
using test::bundle_values, test::check_close, test::expected, test::transposed;

namespace {

constexpr double kTau = 0.2;

Var leaf(const Tensor& value) { return Var(value.clone(), true); }

void check_queue_loss(Denominator denominator, const std::string& name) {
  CAPTURE(name);
  Var raw = leaf(expected("queue.raw_q", {3, 4}));
  Var loss = queue_loss(l2_normalize(raw), expected("queue.k", {3, 4}), expected("queue.queue", {5, 4}), kTau, denominator);
  CHECK(loss.shape() == Shape{3});
  check_close(loss.value(), expected(name + ".loss"));
  backward(mean(loss));
  check_close(raw.grad(), expected(name + ".grad_raw_q"));
}

void check_batch_loss(Denominator denominator, bool symmetric) {
  std::string name = denominator == Denominator::with_positive ? "batch.with." : "batch.without.";
  name += symmetric ? "symmetric" : "one_sided";
  CAPTURE(name);
  Var a = leaf(expected("batch.raw_a", {4, 3})), b = leaf(expected("batch.raw_b", {4, 3}));
  auto f = symmetric ? symmetric_batch_loss : batch_loss;
  Var loss = f(l2_normalize(a), l2_normalize(b), kTau, denominator);
  CHECK(loss.shape() == Shape{symmetric ? 8 : 4});
  check_close(loss.value(), expected(name + ".loss"));
  backward(mean(loss));
  check_close(a.grad(), expected(name + ".grad_raw_a"));
  check_close(b.grad(), expected(name + ".grad_raw_b"));
}

}  // namespace

TEST_CASE("MoCo's loss, by hand: q = k against one orthogonal and one opposite key") {
  // q.k = 1, q.n = 0 and -1, tau = 1/2: -log(e^2 / (e^2 + e^0 + e^-2)).
  Tensor q = Tensor::from(std::vector<double>{1, 0}, {1, 2}), queue = Tensor::from(std::vector<double>{0, 1, -1, 0}, {2, 2});
  double e2 = std::exp(2.0);
  check_close(queue_loss(Var(q), q, queue, 0.5, Denominator::with_positive).value(), {-std::log(e2 / (e2 + 1 + 1 / e2))});
  check_close(queue_loss(Var(q), q, queue, 0.5, Denominator::without_positive).value(), {-std::log(e2 / (1 + 1 / e2))});
}

TEST_CASE("MoCo's loss against a queue, from the text, with its gradient") {
  check_queue_loss(Denominator::with_positive, "queue.with");
  check_queue_loss(Denominator::without_positive, "queue.without");
}

TEST_CASE("eq. 7, by hand: two images, all unit vectors on the axes") {
  // a = e1, e2; b = e1, -e1; tau = 1. Of a_1: positive b_1 (1), negatives a_2 (0) and b_2 (-1). Of a_2: positive b_2
  // (0), negatives a_1 (0) and b_1 (0). Of b_1: positive a_1 (1), negatives a_2 (0), b_2 (-1). Of b_2: positive a_2
  // (0), negatives a_1 (-1), b_1 (-1).
  Var a(Tensor::from(std::vector<double>{1, 0, 0, 1}, {2, 2})), b(Tensor::from(std::vector<double>{1, 0, -1, 0}, {2, 2}));
  double e = std::exp(1.0);
  std::vector<double> without = {std::log(1 + 1 / e) - 1, std::log(2.0), std::log(1 + 1 / e) - 1, std::log(2 / e)};
  std::vector<double> with = {std::log(e + 1 + 1 / e) - 1, std::log(3.0), std::log(e + 1 + 1 / e) - 1, std::log(1 + 2 / e)};
  check_close(symmetric_batch_loss(a, b, 1, Denominator::without_positive).value(), without);
  check_close(symmetric_batch_loss(a, b, 1, Denominator::with_positive).value(), with);
  check_close(batch_loss(a, b, 1, Denominator::without_positive).value(), {without[0], without[1]});
  check_close(batch_loss(a, b, 1, Denominator::with_positive).value(), {with[0], with[1]});
}

TEST_CASE("eq. 1 and 7 within a batch, from the text, with both gradients") {
  for (Denominator denominator : {Denominator::with_positive, Denominator::without_positive})
    for (bool symmetric : {false, true}) check_batch_loss(denominator, symmetric);
}

TEST_CASE("a contrastive loss that cannot be is refused in words") {
  Var one(Tensor::full({1, 3}, 1, DType::f64)), two(Tensor::full({2, 3}, 1, DType::f64));
  CHECK_THROWS_WITH_AS(batch_loss(one, one, kTau, Denominator::without_positive),
                       "batch_loss: a batch of 1 has no negatives; wanted at least 2 images", ShapeError);
  CHECK_THROWS_AS(batch_loss(two, one, kTau, Denominator::without_positive), ShapeError);
  CHECK_THROWS_AS(batch_loss(two, two, 0, Denominator::without_positive), InputError);
  CHECK_THROWS_AS(batch_loss(two, two, NAN, Denominator::without_positive), InputError);
  CHECK_THROWS_AS(queue_loss(two, two.value(), two.value(), -1, Denominator::with_positive), InputError);
  CHECK_THROWS_AS(queue_loss(two, one.value(), two.value(), kTau, Denominator::with_positive), ShapeError);
}

TEST_CASE("SimSiam's negative cosine, from the text; the target takes no gradient") {
  Var p = leaf(expected("cosine.p", {3, 4}));
  Var loss = negative_cosine(p, expected("cosine.z", {3, 4}));
  CHECK(loss.shape() == Shape{3});
  check_close(loss.value(), expected("cosine.loss"));
  backward(mean(loss));
  check_close(p.grad(), expected("cosine.grad_p"));
}

TEST_CASE("eq. 2: the mean over pixels, colours and images, with its gradient") {
  Var x_hat = leaf(expected("mse.x_hat", {2, 2, 2, 3}));
  Var loss = reconstruction_loss(x_hat, expected("mse.x", {2, 2, 2, 3}));
  check_close(loss.value(), expected("mse.loss"));
  backward(loss);
  check_close(x_hat.grad(), expected("mse.grad_x_hat"));
}

TEST_CASE("PyTorch's MoCo loss: value, and gradient through the normalising") {
  auto file = bundle_values("moco_loss.safetensors");
  if (file.empty()) return;
  for (const char* name : {"t02", "t007", "one"}) {
    CAPTURE(name);
    auto get = [&, n = std::string(name)](const char* field) { return file.at(n + "." + field); };
    Var raw = leaf(get("proj_q"));
    Tensor k = ops::l2_normalize(get("proj_k")).first;
    check_close(k, get("k").to_vector());
    Var q = l2_normalize(raw);
    Var loss = mean(queue_loss(q, k, transposed(get("queue")), get("temperature").item(), Denominator::with_positive));
    check_close(loss.value(), get("loss").to_vector());
    check_close(gradient(loss, {q})[0], get("grad_q").to_vector());
    backward(loss);
    check_close(raw.grad(), get("grad_proj_q").to_vector());
  }
}

TEST_CASE("PyTorch's SimSiam loss: value and both gradients") {
  auto file = bundle_values("simsiam_loss.safetensors");
  if (file.empty()) return;
  for (const char* name : {"a", "b", "one"}) {
    CAPTURE(name);
    auto get = [&, n = std::string(name)](const char* field) { return file.at(n + "." + field); };
    Var p1 = leaf(get("p1")), p2 = leaf(get("p2"));
    Var loss = scale(add(mean(negative_cosine(p1, get("z2"))), mean(negative_cosine(p2, get("z1")))), 0.5);
    check_close(loss.value(), get("loss").to_vector());
    backward(loss);
    check_close(p1.grad(), get("grad_p1").to_vector());
    check_close(p2.grad(), get("grad_p2").to_vector());
  }
}
