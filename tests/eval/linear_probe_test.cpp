// The probe against PyTorch's minima, by hand for one step of SGD, and on data that a line separates.
#include "eval/linear_probe.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

#include "data/split.h"
#include "eval/lbfgs.h"
#include "tests/eval/feature_cases.h"

using namespace plumage;
using test::features;

namespace {

/// Two clusters a class around points of a circle, as far from the origin as their number says: separable by
/// angle.
Features separable(int64_t rows, int64_t classes, uint64_t seed) {
  std::vector<float> v;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < rows; ++i) {
    double angle = 6.283185307179586 * double(i % classes) / double(classes);
    angle += 0.15 * (philox_uniform({seed, Purpose::test}, uint64_t(i)) - 0.5);
    double length = 1 + double(i % 7);
    labels.push_back(i % classes);
    v.insert(v.end(), {float(length * std::cos(angle)), float(length * std::sin(angle))});
  }
  return features(v, 2, labels);
}

bool same(const Tensor& a, const Tensor& b) { return a.to_vector() == b.to_vector(); }

}  // namespace

TEST_CASE("L-BFGS: a quadratic bowl and Rosenbrock's valley") {
  std::vector<double> x{3, -2};
  LbfgsResult bowl = minimize_lbfgs(
      [](auto p, auto g) {
        g[0] = 2 * (p[0] - 1);
        g[1] = 200 * (p[1] + 4);
        return (p[0] - 1) * (p[0] - 1) + 100 * (p[1] + 4) * (p[1] + 4);
      },
      x, {.tolerance = 1e-9});
  CHECK(bowl.converged);
  CHECK(x[0] == doctest::Approx(1));
  CHECK(x[1] == doctest::Approx(-4));

  x = {-1.2, 1};
  LbfgsResult valley = minimize_lbfgs(
      [](auto p, auto g) {
        double a = 1 - p[0], b = p[1] - p[0] * p[0];
        g[0] = -2 * a - 400 * p[0] * b;
        g[1] = 200 * b;
        return a * a + 100 * b * b;
      },
      x, {.tolerance = 1e-9});
  CHECK(valley.converged);
  CHECK(valley.iterations < 60);
  CHECK(x[0] == doctest::Approx(1));
  CHECK(x[1] == doctest::Approx(1));
}

TEST_CASE("L-BFGS: ends on a function without a minimum, refuses one that is not finite") {
  std::vector<double> x{0};
  LbfgsResult slope = minimize_lbfgs(
      [](auto p, auto g) {
        g[0] = 1;
        return p[0];
      },
      x);
  CHECK_FALSE(slope.converged);
  CHECK_THROWS_AS(minimize_lbfgs(
                      [](auto, auto g) {
                        g[0] = 1;
                        return NAN;
                      },
                      x),
                  MachineError);
}

TEST_CASE("probe: L-BFGS reaches PyTorch's minima") {
  std::ifstream file(std::string(PLUMAGE_SOURCE_DIR) + "/tests/eval/expected/probe.txt");
  REQUIRE(file);
  int cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    std::istringstream words(line);
    double penalty, normalised, loss;
    words >> penalty >> normalised >> loss;
    std::vector<double> expected{std::istream_iterator<double>(words), {}};
    REQUIRE(expected.size() == 3 * 4 + 3);
    for (DType dtype : {DType::f64, DType::f32}) {
      CAPTURE(line);
      CAPTURE(name_of(dtype));
      ProbeOptions options{.solver = "lbfgs", .normalize = normalised != 0, .penalties = {penalty}};
      LinearProbe probe = train_probe(test::formula_features(30, 4, 3, dtype), options);
      double tolerance = dtype == DType::f64 ? 2e-6 : 2e-2;
      CHECK(std::abs(probe.loss - loss) <= (dtype == DType::f64 ? 1e-8 : 1e-5));
      std::vector<double> got = probe.weight.to_vector(), bias = probe.bias.to_vector();
      double mean = (bias[0] + bias[1] + bias[2]) / 3;
      for (double b : bias) got.push_back(b - mean);
      for (size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - expected[i]) <= tolerance);
    }
  }
  CHECK(cases == 4);
}

TEST_CASE("probe: two steps of SGD on two pictures, by hand") {
  // v = (1), (-1), labels 0, 1; before: W = (a, b), biases 0. Logits of the first (a, b), of the second (-a,
  // -b), so p = softmax gives the same error for both: d = 1/2 [(p0 - 1) 1 + (1 - p0)(-1)] = p0 - 1 for W0, 1
  // - p0 for W1.
  Features f = features({1, -1}, 1, {0, 1});
  ProbeOptions options{.seed = 5, .epochs = 1, .batch = 256, .lr = 2};
  std::vector<double> w = ops::normal({2, 1}, {5, Purpose::probe, 0}, 0, 0.01).to_vector();
  double p0 = 1 / (1 + std::exp(w[1] - w[0]));
  LinearProbe probe = train_probe(f, options);
  CHECK(probe.weight.to_vector()[0] == doctest::Approx(w[0] + 2 * (1 - p0)).epsilon(1e-5));
  CHECK(probe.weight.to_vector()[1] == doctest::Approx(w[1] - 2 * (1 - p0)).epsilon(1e-5));
  CHECK(probe.loss == doctest::Approx(-std::log(p0)).epsilon(1e-5));
  // The second step adds 0.9 of the first one's gradient to its own.
  double q0 = 1 / (1 + std::exp(w[1] - w[0] - 4 * (1 - p0)));
  options.epochs = 2;
  double moved = 2 * (1 - p0) + 2 * (1 - q0 + 0.9 * (1 - p0));
  CHECK(train_probe(f, options).weight.to_vector()[0] == doctest::Approx(w[0] + moved).epsilon(1e-5));
}

TEST_CASE("probe: what a line separates is told apart completely") {
  Features train = separable(210, 5, 1), test = separable(105, 5, 2);
  for (std::string solver : {"sgd", "lbfgs"}) {
    CAPTURE(solver);
    ProbeResult result = linear_probe(train, test, {.solver = solver});
    CHECK(result.train_top1 == 1);
    CHECK(result.test.top1 == 1);
    CHECK(result.test.mean_class_top1 == 1);
    CHECK(result.test.per_class.size() == 5);
    // A few labels suffice, and only those are looked at.
    std::vector<int64_t> rows =
        label_fraction({train.labels.data<int64_t>(), train.labels.data<int64_t>() + 210}, 0.1, 0);
    ProbeResult few = linear_probe(train, test, {.solver = solver}, rows);
    CHECK(few.test.top1 == 1);
    CHECK_FALSE(same(few.probe.weight, result.probe.weight));
  }
}

TEST_CASE("probe: the same seed gives the same bits, another seed others; the rate falls at its milestones") {
  Features f = test::formula_features(90, 6, 4);
  ProbeOptions options{.epochs = 6, .batch = 32, .lr = 1, .milestones = {4, 5}};
  LinearProbe once = train_probe(f, options), twice = train_probe(f, options);
  CHECK(same(once.weight, twice.weight));
  CHECK(once.loss == twice.loss);
  options.seed = 1;
  CHECK_FALSE(same(train_probe(f, options).weight, once.weight));
  options.seed = 0;
  options.milestones = {};
  CHECK_FALSE(same(train_probe(f, options).weight, once.weight));
}

TEST_CASE("probe: normalised features make lengths irrelevant") {
  Features f = test::formula_features(60, 5, 3), longer = f;
  longer.v = ops::scale(f.v, 64);
  ProbeOptions options{.epochs = 5};
  CHECK(same(train_probe(f, options).weight, train_probe(longer, options).weight));
  CHECK(score_probe(train_probe(f, options), longer).top1 == score_probe(train_probe(f, options), f).top1);
}

TEST_CASE("probe: the penalty is chosen on held-out training pictures") {
  Features f = test::formula_features(120, 6, 3);
  LinearProbe probe = train_probe(f, {.solver = "lbfgs", .penalties = {1e-5, 1e3, 1e-2}});
  CHECK(probe.penalty < 1e3);  // so strong a penalty leaves nothing but the biases
  CHECK(train_probe(f, {.solver = "lbfgs", .penalties = {0.5}}).penalty == 0.5);
  // Every class once: nothing can be held out, the middle of the list is used.
  CHECK(train_probe(features({1, 2, 3}, 1, {0, 1, 2}), {.solver = "lbfgs", .penalties = {1, 1e-2, 1e-4}})
            .penalty == 1e-2);
  // Where several do equally well, the largest; pictures of one group stand on one side, so one group a class leaves
  // nothing to hold out.
  Features sides = features({1, 2, 3, 4, 5, -1, -2, -3, -4, -5}, 1, {0, 0, 0, 0, 0, 1, 1, 1, 1, 1});
  ProbeOptions three{.solver = "lbfgs", .penalties = {1, 1e-2, 1e-4}};
  CHECK(train_probe(sides, three).penalty == 1);
  sides.groups = {"a", "a", "a", "a", "a", "b", "b", "b", "b", "b"};
  CHECK(train_probe(sides, three).penalty == 1e-2);
}

TEST_CASE("probe: a class seen only in the test is wrong, counted by class; ties go to the first class") {
  LinearProbe probe;
  probe.weight = Tensor::from(std::vector<float>{1, 0, 1, 0}, {2, 2});  // both classes answer alike
  probe.bias = Tensor::zeros({2});
  ProbeScores scores = score_probe(probe, features({1, 0, 1, 0, 1, 0, 1, 0}, 2, {0, 0, 1, 7}));
  CHECK(scores.top1 == 0.5);
  CHECK(scores.mean_class_top1 == doctest::Approx(1.0 / 3));
  REQUIRE(scores.per_class.size() == 3);
  CHECK(scores.per_class[2].label == 7);
  CHECK(scores.per_class[2].count == 1);
  CHECK(scores.per_class[2].right == 0);
}

TEST_CASE("probe: bad input is named") {
  Features f = test::formula_features(10, 2, 2);
  CHECK_THROWS_AS(train_probe(f, {.solver = "adam"}), InputError);
  CHECK_THROWS_AS(train_probe(f, {.epochs = 0}), InputError);
  CHECK_THROWS_AS(train_probe(f, {.lr = NAN}), InputError);
  CHECK_THROWS_AS(train_probe(f, {.solver = "lbfgs", .penalties = {}}), InputError);
  CHECK_THROWS_AS(train_probe(features({1, 2}, 1, {0, -1})), InputError);
  CHECK_THROWS_AS(train_probe(features({1, 2}, 1, {3, 3})), InputError);
  CHECK_THROWS_AS(score_probe(train_probe(f, {.epochs = 1}), features({1}, 1, {-1})), InputError);
  CHECK_THROWS_AS(score_probe(train_probe(f, {.epochs = 1}), features({1}, 1, {0})), ShapeError);
  ops::fill(f.v, 1e30);
  CHECK_THROWS_AS(train_probe(f, {.normalize = false, .lr = 1e30}), MachineError);
}
