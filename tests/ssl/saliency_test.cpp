// Equations 3 and 4: eta of all three targets, eta_bar by all three scales, and the rows where there is nothing to scale.
#include "ssl/saliency.h"

#include "autograd/tape.h"
#include "ssl/loss.h"
#include "tests/ssl/expected_values.h"

using namespace plumage;
using test::check_close, test::expected;

namespace {

Tensor row(std::vector<double> values) {
  int64_t n = int64_t(values.size());
  return Tensor::from(values, {1, n});
}

constexpr SaliencyScale kScales[] = {SaliencyScale::minmax, SaliencyScale::p90, SaliencyScale::rank};

}  // namespace

TEST_CASE("eq. 3, by hand: relu of gradient times feature, and the other two targets") {
  Tensor g = row({2, -3, 0.5, -1, 7}), v = row({1, 2, 4, 0, -1});  // g v = 2, -6, 2, 0, -7
  check_close(gradcam(g, v, SaliencyTarget::loss), {2, 0, 2, 0, 0});
  check_close(gradcam(g, v, SaliencyTarget::negative_loss), {0, 6, 0, 0, 7});
  check_close(gradcam(g, v, SaliencyTarget::abs), {2, 6, 2, 0, 7});
}

TEST_CASE("eq. 3 and 4 through a linear head and a queue, from the text") {
  Tensor v = expected("saliency.v", {3, 10});
  Var leaf(v, true);
  Var q = l2_normalize(matmul(leaf, Var(expected("saliency.w", {4, 10})), false, true));
  Var loss = queue_loss(q, expected("queue.k", {3, 4}), expected("queue.queue", {5, 4}), 0.2, Denominator::with_positive);
  Tensor g = gradient(sum(loss), {leaf})[0];  // the sum: each image's own loss
  check_close(g, expected("saliency.gradient"));
  for (auto [name, target] : {std::pair{"loss", SaliencyTarget::loss}, {"negative_loss", SaliencyTarget::negative_loss}, {"abs", SaliencyTarget::abs}}) {
    CAPTURE(name);
    std::string field = std::string("saliency.") + name;
    Tensor eta = gradcam(g, v, target);
    check_close(eta, expected(field + ".eta"));
    check_close(scale_saliency(eta, SaliencyScale::minmax), expected(field + ".eta_bar"));
    // A tenth of ten dimensions is one: p90 is then the maximum, and the same as min-max.
    check_close(scale_saliency(eta, SaliencyScale::p90), expected(field + ".eta_bar"));
    check_close(scale_saliency(eta, SaliencyScale::rank), expected(field + ".rank"));
  }
}

TEST_CASE("p90 clips at the value that a tenth of the dimensions reach") {
  check_close(scale_saliency(expected("p90.eta", {1, 30}), SaliencyScale::p90), expected("p90.eta_bar"));
  // Fewer than a tenth stand out: those are 1.
  std::vector<double> eta(30, 0.0), one(30, 0.0);
  eta[7] = 0.3;
  one[7] = 1;
  check_close(scale_saliency(row(eta), SaliencyScale::p90), one);
}

TEST_CASE("each image is scaled by itself, to [0, 1]") {
  for (SaliencyScale scale : kScales) {
    Tensor eta = Tensor::from(std::vector<double>{0, 1, 2, 3, 0, 100, 200, 300}, {2, 4});
    check_close(scale_saliency(eta, scale), {0, 1.0 / 3, 2.0 / 3, 1, 0, 1.0 / 3, 2.0 / 3, 1});
  }
}

TEST_CASE("where all eta are equal eta_bar is 0: full noise, in f64 and f32, for every scale") {
  for (SaliencyScale scale : kScales)
    for (double value : {0.0, 0.25, 1e-20, 3e6})
      for (DType dtype : {DType::f64, DType::f32}) {
        CAPTURE(int(scale));
        CAPTURE(value);
        check_close(scale_saliency(Tensor::full({2, 12}, value, dtype), scale), std::vector<double>(24, 0.0), 0);
      }
  check_close(scale_saliency(row({0.7}), SaliencyScale::minmax), {0}, 0);  // a single dimension
  check_close(scale_saliency(row({0.7}), SaliencyScale::rank), {0}, 0);
}

TEST_CASE("by rank, equal least values share rank 0, whatever their order") {
  check_close(scale_saliency(row({5, 1, 1, 9, 1}), SaliencyScale::rank), {0.75, 0, 0, 1, 0});
}

TEST_CASE("not a number stays one: a broken gradient is not taken for 'no saliency'") {
  CHECK(std::isnan(scale_saliency(row({NAN, 1, 2}), SaliencyScale::minmax).to_vector()[1]));
}
