// Collapse gauges on features whose spectrum is known.
#include "ssl/gauges.h"

#include "tensor/ops.h"
#include "tests/ssl/expected_values.h"

using namespace plumage;

namespace {

Tensor identity(int64_t n, double scale = 1) {
  std::vector<double> values(size_t(n * n), 0.0);
  for (int64_t i = 0; i < n; ++i) values[size_t(i * n + i)] = scale;
  return Tensor::from(values, {n, n});
}

}  // namespace

TEST_CASE("orthogonal rows use N - 1 directions, all alike") {
  // The centred identity has N - 1 equal eigenvalues. A dimension is 1 in one row of N: variance 1/N - 1/N^2.
  for (int64_t n : {3, 8, 20}) {
    CollapseGauges g = collapse_gauges(identity(n, 7));
    CHECK(g.effective_rank == doctest::Approx(double(n - 1)).epsilon(1e-9));
    CHECK(g.unit_std == doctest::Approx(std::sqrt(1 - 1 / double(n))).epsilon(1e-12));
    CHECK(g.dead_share == 0);
    CHECK(collapse_warning(g).empty() == (n > 3));
  }
}

TEST_CASE("known eigenvalues: the rank is exp of their entropy") {
  // Rows +-a e1, +-b e2 with unit length against a large constant third axis would lose the ratio; so build unit rows
  // directly: (cos t, +-sin t, 0), (cos t, 0, +-sin u) have covariances 2 sin^2 along axes 2 and 3, and along axis 1 a
  // spread that is 0 when t = u.
  double s = 0.6, c = 0.8;
  Tensor v = Tensor::from(std::vector<double>{c, s, 0, c, -s, 0, c, 0, s, c, 0, -s}, {4, 3});
  CollapseGauges g = collapse_gauges(v);
  CHECK(g.effective_rank == doctest::Approx(2).epsilon(1e-9));
  CHECK(g.dead_share == doctest::Approx(1.0 / 3));
  // Three times as many rows along axis 2: eigenvalues 3 to 1, entropy of (3/4, 1/4).
  Tensor w = Tensor::from(std::vector<double>{c, s, 0, c, -s, 0, c, s, 0, c, -s, 0, c, s, 0, c, -s, 0, c, 0, s, c, 0, -s}, {8, 3});
  CHECK(collapse_gauges(w).effective_rank == doctest::Approx(std::exp(-0.75 * std::log(0.75) - 0.25 * std::log(0.25))).epsilon(1e-9));
}

TEST_CASE("the length of a feature vector does not count, its direction does") {
  Tensor v = ops::normal({32, 6}, {5}, 0, 1, DType::f64);
  std::vector<double> lengths;
  for (int i = 0; i < 32; ++i) lengths.push_back(0.1 + i);
  CollapseGauges a = collapse_gauges(v), b = collapse_gauges(ops::mul(v, Tensor::from(lengths, {32, 1})));
  CHECK(a.effective_rank == doctest::Approx(b.effective_rank).epsilon(1e-9));
  CHECK(a.unit_std == doctest::Approx(b.unit_std).epsilon(1e-9));
  CHECK(a.unit_std == doctest::Approx(1).epsilon(0.1));  // normal directions are spread over the sphere
  CHECK(a.effective_rank > 5);
}

TEST_CASE("identical rows, and rows on a line, are warned about") {
  std::vector<double> same, line;
  for (int i = 0; i < 16; ++i)
    for (double x : {0.3, 1.7, 0.0, 2.2}) {
      same.push_back(x);
      line.push_back(x + (x == 0.3 ? 0.5 * i : 0));
    }
  CollapseGauges g = collapse_gauges(Tensor::from(same, {16, 4}));
  CHECK(g.unit_std < 1e-6);
  CHECK_FALSE(!(g.effective_rank <= 1 + 1e-9));
  CHECK(collapse_warning(g).find("nearly the same") != std::string::npos);
  CHECK(collapse_gauges(Tensor::zeros({16, 4})).unit_std == 0);
  g = collapse_gauges(Tensor::from(line, {16, 4}));
  CHECK(g.effective_rank < 2);
  CHECK(collapse_warning(g).find("directions") != std::string::npos);
  g.unit_std = NAN;
  CHECK_FALSE(collapse_warning(g).empty());
}

TEST_CASE("more rows than enter the rank, and too few of them") {
  CHECK(collapse_gauges(ops::normal({600, 5}, {6})).effective_rank == doctest::Approx(5).epsilon(0.05));
  CHECK_THROWS_AS(collapse_gauges(Tensor::zeros({1, 4})), ShapeError);
}
