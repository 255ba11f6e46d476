// gradcheck's own promises: what it accepts, what it refuses and in which words. Wrong rules:
// mutants_test.cpp.
#include "autograd/gradcheck.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autograd/functions.h"
#include "autograd/tape.h"

using namespace plumage;

namespace {

Tensor list(std::vector<double> values) {
  int64_t n = int64_t(values.size());
  return Tensor::from(values, {n});
}

Tensor normal(const Shape& shape, uint64_t step = 0) {
  return ops::normal(shape, {3, Purpose::test, step}, 0, 1, DType::f64);
}

bool says(const GradcheckReport& report, const std::string& words) {
  INFO("failure: ", report.failure);
  bool found = report.failure.find(words) != std::string::npos;
  CHECK(found);
  return found;
}

Var square_with_factor(const Var& x, double factor) {
  return record("square", ops::unary(UnaryFn::square, x.value()), {x},
                [x = x.value(), factor](const Tensor& dy, Gradients& d) {
                  d.add(0, ops::scale(ops::mul(x, dy), factor));
                });
}

}  // namespace

TEST_CASE("gradcheck: a right rule passes, and says how much it compared") {
  auto report =
      gradcheck([](const auto& x) { return std::vector{square_with_factor(x[0], 2)}; }, {normal({4, 3})});
  CHECK_MESSAGE(report.ok, report.failure);
  CHECK(report.compared == 3);
  CHECK(report.kinks == 0);
  CHECK(report.worst < 1e-8);
}

TEST_CASE("gradcheck: a relative error of one in a thousand fails, also at small and at large scales") {
  for (double size : {1e-6, 1e-3, 1.0, 1e3, 1e6}) {
    CAPTURE(size);
    Tensor x = ops::scale(normal({7}), size);
    CHECK(gradcheck([](const auto& v) { return std::vector{square_with_factor(v[0], 2)}; }, {x}).ok);
    CHECK_FALSE(
        gradcheck([](const auto& v) { return std::vector{square_with_factor(v[0], 2.002)}; }, {x}).ok);
  }
}

TEST_CASE("gradcheck: small gradients count as much as large ones") {
  auto mean_of = [](double factor) {
    return
        [factor](const std::vector<Var>& x) { return std::vector{mean(square_with_factor(x[0], factor))}; };
  };
  CHECK(gradcheck(mean_of(2), {normal({1500})}).ok);
  CHECK_FALSE(gradcheck(mean_of(2.002), {normal({1500})}).ok);
}

TEST_CASE("gradcheck: a failure names input, element, analytic and numeric value") {
  // Wrong at one element of the second input only.
  auto f = [](const std::vector<Var>& x) {
    Var y = record("product", ops::mul(x[0].value(), x[1].value()), {x[0], x[1]},
                   [a = x[0].value(), b = x[1].value()](const Tensor& dy, Gradients& d) {
                     d.add(0, ops::mul(dy, b));
                     Tensor g = ops::mul(dy, a);
                     g.span<double>()[4] *= 1.5;
                     d.add(1, g);
                   });
    return std::vector{y};
  };
  for (int64_t locate : {4096, 3}) {  // tries all six, or halves the range until three are left
    GradcheckOptions options;
    options.locate = locate;
    auto report = gradcheck(f, {normal({2, 3}), normal({2, 3}, 1)}, options);
    CHECK_FALSE(report.ok);
    says(report, "input 1, element [1, 1]: analytic ");
    says(report, ", numeric ");
    CHECK(report.input == 1);
    CHECK(report.element == 4);
    CHECK(report.analytic == doctest::Approx(1.5 * report.numeric));
  }
  GradcheckOptions options;
  options.locate = 0;
  auto report = gradcheck(f, {normal({2, 3}), normal({2, 3}, 1)}, options);
  says(report, "input 1, along a random direction: analytic ");
  CHECK(report.element == -1);
  options = {};
  options.full_jacobian = true;
  report = gradcheck(f, {normal({2, 3}), normal({2, 3}, 1)}, options);
  says(report, "input 1, element [1, 1], output 0 element [1, 1]: analytic ");
}

TEST_CASE("gradcheck: full Jacobian compares every output element by every input element") {
  GradcheckOptions options;
  options.full_jacobian = true;
  auto report = gradcheck([](const auto& x) { return std::vector{matmul(x[0], x[1])}; },
                          {normal({2, 3}), normal({3, 4}, 1)}, options);
  CHECK_MESSAGE(report.ok, report.failure);
  CHECK(report.compared == 8 * (6 + 12));
}

TEST_CASE("gradcheck: joint directions move all inputs at once") {
  GradcheckOptions options;
  options.joint = true;
  options.directions = 2;
  auto report = gradcheck([](const auto& x) { return std::vector{matmul(x[0], x[1])}; },
                          {normal({2, 3}), normal({3, 4}, 1)}, options);
  CHECK_MESSAGE(report.ok, report.failure);
  CHECK(report.compared == 2);
  report = gradcheck([](const auto& x) { return std::vector{add(exp(x[0]), square_with_factor(x[1], 3))}; },
                     {normal({5}), normal({5}, 1)}, options);
  CHECK_FALSE(report.ok);
  CHECK(report.input == 1);
}

TEST_CASE("gradcheck: kinks are left out, counted, and not mistaken for agreement") {
  auto f = [](const std::vector<Var>& x) { return std::vector{relu(x[0])}; };
  auto report = gradcheck(f, {list({1, -2, 3})});
  CHECK_MESSAGE(report.ok, report.failure);
  CHECK(report.kinks == 0);

  report = gradcheck(
      f, {list({1, 0, -2, 3})});  // every direction crosses it: the elements are compared by themselves
  CHECK_MESSAGE(report.ok, report.failure);
  CHECK(report.kinks == 3 + 1);
  CHECK(report.compared == 3);

  GradcheckOptions jacobian;
  jacobian.full_jacobian = true;
  report = gradcheck(f, {list({1, 0, -2, 3})}, jacobian);
  CHECK_MESSAGE(report.ok, report.failure);
  CHECK(report.kinks == 1);
  CHECK(report.compared == 15);

  report = gradcheck(f, {list({0, 0, 0})});
  CHECK_FALSE(report.ok);
  CHECK(report.kinks == 3 + 3);
  CHECK(report.compared == 0);
  says(report, "nothing was compared");

  report = gradcheck([](const auto& x) { return std::vector{max_last(x[0]).first}; }, {list({2, 2, 1, -1})});
  CHECK(report.kinks == 3 + 2);
  CHECK(report.compared == 2);
  CHECK(report.ok);

  report = gradcheck([](const auto& x) { return std::vector{abs(x[0])}; }, {list({0})});
  CHECK_FALSE(report.ok);
}

TEST_CASE("gradcheck: a kink close by, strong curvature and large values are no kinks") {
  auto report = gradcheck([](const auto& x) { return std::vector{relu(x[0])}; }, {list({1, 4e-6, -2})});
  CHECK_MESSAGE(report.ok, report.failure);
  CHECK(report.kinks == 0);
  report = gradcheck([](const auto& x) { return std::vector{log(x[0])}; }, {list({1, 1e-4, 2})});
  CHECK_MESSAGE(report.ok, report.failure);
  CHECK(report.kinks == 0);
  report =
      gradcheck([](const auto& x) { return std::vector{affine(square(x[0]), 1, 1e7)}; }, {list({1, 0.5, 2})});
  CHECK_MESSAGE(report.ok, report.failure);
  CHECK(report.kinks == 0);
}

TEST_CASE("gradcheck: NaN and nothing to compare fail") {
  says(gradcheck([](const auto& x) { return std::vector{log(x[0])}; }, {list({1, -1})}),
       "output 0, element [1] is NaN");
  auto nan_rule = [](const std::vector<Var>& x) {
    return std::vector{record("id", x[0].value().clone(), {x[0]}, [](const Tensor& dy, Gradients& d) {
      d.add(0, ops::scale(dy, std::numeric_limits<double>::quiet_NaN()));
    })};
  };
  CHECK_FALSE(gradcheck(nan_rule, {list({1, 2})}).ok);
  says(gradcheck([](const auto& x) { return std::vector{exp(x[0])}; }, {list({1, std::nan("")})}),
       "input 0 is not finite");
  says(gradcheck([](const auto& x) { return std::vector{exp(x[0])}; }, {Tensor::zeros({0, 3}, DType::f64)}),
       "nothing to compare");
  says(gradcheck([](const auto&) { return std::vector<Var>{}; }, {list({1})}), "nothing to compare");
  says(gradcheck([](const auto&) { return std::vector{Var(list({1}))}; }, {}), "nothing was compared");
  GradcheckOptions none;
  none.directions = 0;
  says(gradcheck([](const auto& x) { return std::vector{exp(x[0])}; }, {list({1})}, none),
       "nothing was compared");
}

TEST_CASE("gradcheck: an unused input gets zero, and must") {
  auto unused = [](const std::vector<Var>& x) { return std::vector{exp(x[0])}; };
  auto report = gradcheck(unused, {list({1, 2}), list({5, 6, 7})});
  CHECK_MESSAGE(report.ok, report.failure);
  auto leaks = [](const std::vector<Var>& x) {
    return std::vector{record("exp", ops::unary(UnaryFn::exp, x[0].value()), {x[0], x[1]},
                              [y = ops::unary(UnaryFn::exp, x[0].value())](const Tensor& dy, Gradients& d) {
                                d.add(0, ops::mul(dy, y));
                                d.add(1, Tensor::full({3}, 0.01, DType::f64));
                              })};
  };
  CHECK_FALSE(gradcheck(leaks, {list({1, 2}), list({5, 6, 7})}).ok);
}

TEST_CASE("gradcheck: a result that forgets its input fails") {
  auto report = gradcheck([](const auto& x) { return std::vector{exp(x[0].detach())}; }, {list({1, 2})});
  CHECK_FALSE(report.ok);
  CHECK(report.analytic == 0);
}

TEST_CASE("gradcheck: rules that write where they must not, or answer differently, fail by name") {
  auto with_rule = [](auto rule) {
    return [rule](const std::vector<Var>& x) {
      return std::vector{record("test", ops::scale(x[0].value(), 2), {x[0]}, rule)};
    };
  };
  std::vector<Tensor> at{list({1, 2, 3})};
  CHECK(gradcheck(with_rule([](const Tensor& dy, Gradients& d) { d.add(0, ops::scale(dy, 2)); }), at).ok);

  says(gradcheck(with_rule([](const Tensor& dy, Gradients& d) {
                   Tensor in_place = dy;
                   ops::accumulate(dy.clone(), in_place);
                   d.add(0, in_place);
                 }),
                 at),
       "cotangent 0, element [0] was changed by backward");
  says(gradcheck(with_rule([count = std::make_shared<int>(0)](const Tensor& dy, Gradients& d) {
                   d.add(0, ops::scale(dy, 2 + 1e-9 * double((*count)++)));
                 }),
                 at),
       "differs between two calls");
  says(gradcheck(with_rule([](const Tensor& dy, Gradients& d) {
                   d.add(0, ops::scale(ops::unary(UnaryFn::abs, dy), 2));
                 }),
                 at),
       "not linear in the cotangent");
  says(gradcheck(with_rule([](const Tensor& dy, Gradients& d) { d.add(0, Tensor::zeros({2}, dy.dtype())); }),
                 at),
       "backward threw: gradient of test, input 0: shape [2], wanted [3]");

  says(gradcheck(
           [](const std::vector<Var>& x) {
             Tensor alias = x[0].value();
             ops::accumulate(Tensor::full(alias.shape(), 1, DType::f64), alias);
             return std::vector{exp(x[0])};
           },
           at),
       "input 0, element [0] was changed by f");
  says(gradcheck([count = std::make_shared<int>(0)](
                     const std::vector<Var>& x) { return std::vector{affine(x[0], 1, (*count)++)}; },
                 at),
       "output 0, element [0] differs between two calls");
}

TEST_CASE("gradcheck: one Var in two places, and several outputs") {
  auto two = [](const std::vector<Var>& x) {
    return std::vector{mul(x[0], x[1]), sub(x[0], exp(x[1])), x[0]};
  };
  auto report = gradcheck(two, {list({1, 2, 3}), list({0.5, -1, 2})});
  CHECK_MESSAGE(report.ok, report.failure);
  // A rule that hands the same buffer to both inputs and then changes it.
  auto buffer = [](const std::vector<Var>& x) {
    return std::vector{
        record("add", ops::add(x[0].value(), x[1].value()), {x[0], x[1]}, [](const Tensor& dy, Gradients& d) {
          d.add(0, dy);
          d.add(1, dy);
        })};
  };
  report = gradcheck(buffer, {list({1, 2, 3}), list({0.5, -1, 2})});
  CHECK_MESSAGE(report.ok, report.failure);
}

TEST_CASE("gradcheck: index outputs have no gradient and are passed over") {
  auto f = [](const std::vector<Var>& x) {
    auto [values, index] = top_k(x[0], 2);
    return std::vector{Var(index), values};
  };
  auto report = gradcheck(f, {list({1, 5, 3, 4})});
  CHECK_MESSAGE(report.ok, report.failure);
}

TEST_CASE("gradcheck: parameters that f captures keep their gradients") {
  Var weight(list({1, 2, 3}), true);
  auto report = gradcheck([&](const auto& x) { return std::vector{mul(x[0], weight)}; }, {list({4, 5, 6})});
  CHECK_MESSAGE(report.ok, report.failure);
  CHECK_FALSE(weight.grad().defined());
}

TEST_CASE("gradcheck: what it does not take") {
  auto f = [](const std::vector<Var>& x) { return std::vector{exp(x[0])}; };
  CHECK_THROWS_AS(gradcheck(f, {Tensor::zeros({2})}), DTypeError);
  CHECK_THROWS_AS(gradcheck(f, {Tensor()}), DTypeError);
  CHECK_THROWS_AS(gradcheck([](const auto& x) { return std::vector{cast(x[0], DType::f32)}; }, {list({1})}),
                  DTypeError);
  CHECK_THROWS_AS(gradcheck([](const auto&) { return std::vector{Var()}; }, {list({1})}), InputError);
  GradcheckOptions options;
  options.step = 0;
  CHECK_THROWS_AS(gradcheck(f, {list({1})}, options), InputError);
  NoGrad no_grad;
  CHECK_THROWS_AS(gradcheck(f, {list({1})}), Error);
}
