// gradcheck of every function of autograd/functions.h, by itself and in the nets that the method is made of.
#include "autograd/functions.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>

#include "autograd/gradcheck.h"

using namespace plumage;

namespace {

Tensor random(const Shape& shape, uint64_t step = 0) {
  return ops::normal(shape, {21, Purpose::test, step}, 0, 1, DType::f64);
}

Tensor positive(const Shape& shape, uint64_t step = 0) {
  return ops::uniform(shape, {22, Purpose::test, step}, 0.5, 2, DType::f64);
}

Tensor indices(std::vector<int64_t> values) { return Tensor::from(values, {int64_t(values.size())}); }

/// Random directions first, then the whole Jacobian; tighter than the default tolerance.
void passes(const std::string& what, const Function& f, const std::vector<Tensor>& inputs,
            bool jacobian = true) {
  GradcheckOptions options;
  options.tolerance = 1e-7;
  for (bool full : {false, true}) {
    if (full && !jacobian) continue;
    options.full_jacobian = full;
    GradcheckReport report = gradcheck(f, inputs, options);
    INFO(what, full ? std::string(", full Jacobian: ") : std::string(": "), report.failure);
    CHECK(report.ok);
    CHECK(report.kinks == 0);
    CHECK(report.compared > 0);
  }
}

void passes(const std::string& what, const std::function<Var(const std::vector<Var>&)>& f,
            const std::vector<Tensor>& inputs) {
  passes(what, Function([&](const std::vector<Var>& x) { return std::vector{f(x)}; }), inputs);
}

}  // namespace

TEST_CASE("gradients: pointwise functions of one input") {
  struct Row {
    const char* name;
    UnaryFn fn;
    bool needs_positive;
  };
  for (Row row : {Row{"relu", UnaryFn::relu, false},
                  {"neg", UnaryFn::neg, false},
                  {"exp", UnaryFn::exp, false},
                  {"log", UnaryFn::log, true},
                  {"sqrt", UnaryFn::sqrt, true},
                  {"square", UnaryFn::square, false},
                  {"abs", UnaryFn::abs, false},
                  {"sigmoid", UnaryFn::sigmoid, false},
                  {"tanh", UnaryFn::tanh, false}})
    passes(row.name, [&](const auto& x) { return unary(row.fn, x[0]); },
           {row.needs_positive ? positive({3, 5}) : random({3, 5})});
  passes("affine", [](const auto& x) { return affine(x[0], -1.5, 0.25); }, {random({7})});
  passes("scale, neg", [](const auto& x) { return neg(scale(x[0], 3)); }, {random({})});
}

TEST_CASE("gradients: pointwise functions of two inputs, broadcast each way") {
  struct Row {
    const char* name;
    Var (*f)(const Var&, const Var&);
  };
  for (Row row : {Row{"add", add},
                  {"sub", sub},
                  {"mul", mul},
                  {"div", div},
                  {"maximum", maximum},
                  {"minimum", minimum}})
    for (auto [a, b] : {std::pair<Shape, Shape>{{2, 3}, {2, 3}},
                        {{2, 3, 4}, {4}},
                        {{3, 1}, {1, 4}},
                        {{}, {2, 3}},
                        {{1}, {1, 1}}}) {
      INFO(a.str(), " and ", b.str());
      passes(row.name, [&](const auto& x) { return row.f(x[0], x[1]); }, {random(a, 1), positive(b, 2)});
    }
  passes("x * x", [](const auto& x) { return mul(x[0], x[0]); }, {random({4})});
  passes("x / x^2", [](const auto& x) { return div(x[0], square(x[0])); }, {positive({4})});
}

TEST_CASE("gradients: views, parts and sums") {
  passes("reshape",
         [](const auto& x) {
           return mul(reshape(x[0], {3, 4}), x[1]);
         },
         {random({2, 6}), random({4}, 1)});
  passes("slice", [](const auto& x) { return exp(slice(x[0], 1, 2)); }, {random({4, 3})});
  for (int dimension : {0, 1, 2, -1})
    passes("narrow", [&](const auto& x) { return exp(narrow(x[0], dimension, 1, 1)); }, {random({3, 2, 4})});
  for (int dimension : {0, 1, -1})
    passes("concat",
           [&](const auto& x) {
             return exp(concat({x[0], x[1], x[0]}, dimension));
           },
           {random({2, 3}), random({2, 3}, 1)});
  passes("concat of unequal parts",
         [](const auto& x) {
           return square(concat({x[0], x[1]}, 1));
         },
         {random({2, 1}), random({2, 4}, 1)});
  for (Shape to : {Shape{}, {1}, {4}, {1, 4}, {3, 1}, {3, 4}, {1, 3, 1}, {2, 1, 1}})
    passes("sum_to", [&](const auto& x) { return square(sum_to(x[0], to)); }, {random({2, 3, 4})});
  passes("sum", [](const auto& x) { return square(sum(x[0])); }, {random({2, 3})});
  passes("mean", [](const auto& x) { return square(mean(x[0])); }, {random({2, 3})});
  passes("sum_last", [](const auto& x) { return exp(sum_last(x[0])); }, {random({2, 3, 4})});
  passes("sum_last of a row", [](const auto& x) { return exp(sum_last(x[0])); }, {random({4})});
}

TEST_CASE("gradients: rows") {
  passes("max_last", [](const auto& x) { return max_last(x[0]).first; }, {random({2, 3, 5})});
  for (bool largest : {true, false})
    passes("top_k", [&](const auto& x) { return top_k(x[0], 3, largest).first; }, {random({4, 5})});
  for (Shape shape : {Shape{3, 5}, {7}, {2, 2, 3}, {4, 1}}) {
    passes("softmax", [](const auto& x) { return softmax(x[0]); }, {random(shape)});
    passes("log_softmax", [](const auto& x) { return log_softmax(x[0]); }, {random(shape)});
    passes("logsumexp", [](const auto& x) { return logsumexp(x[0]); }, {random(shape)});
    passes("l2_normalize", [](const auto& x) { return l2_normalize(x[0]); }, {random(shape)});
  }
  // Where |x| < epsilon the norm is a constant: y = x / epsilon.
  passes("l2_normalize below epsilon", [](const auto& x) { return l2_normalize(x[0], 100); },
         {random({3, 4})});
  passes("softmax of large logits", [](const auto& x) { return softmax(scale(x[0], 1 / 0.05)); },
         {random({3, 5})});
  passes("gather_rows",
         [](const auto& x) {
           return exp(gather_rows(x[0], indices({2, 0, 2, 2})));
         },
         {random({4, 3})});
  passes("attend", [](const auto& x) { return attend(x[0], random({6, 4}, 3), -2); }, {random({3, 4})});
  passes("cross_entropy",
         [](const auto& x) {
           return cross_entropy(x[0], indices({2, 0, 4, 4}));
         },
         {random({4, 5})});
}

TEST_CASE("gradients: matrix products") {
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      CAPTURE(ta);
      CAPTURE(tb);
      auto f = [&](const std::vector<Var>& x) { return matmul(x[0], x[1], ta, tb); };
      passes("matmul", f,
             {random(ta ? Shape{3, 2} : Shape{2, 3}), random(tb ? Shape{4, 3} : Shape{3, 4}, 1)});
      passes("matmul, batched", f,
             {random(ta ? Shape{2, 3, 2} : Shape{2, 2, 3}), random(tb ? Shape{2, 4, 3} : Shape{2, 3, 4}, 1)});
    }
  passes("x x^T", [](const auto& x) { return matmul(x[0], x[0], false, true); }, {random({3, 4})});
}

TEST_CASE("gradients: convolution at every stride and padding that a ResNet has") {
  struct Row {
    int64_t kernel, stride, pad;
  };
  for (Row r : {Row{1, 1, 0}, {1, 2, 0}, {3, 1, 1}, {3, 2, 1}, {3, 3, 0}, {2, 1, 0}, {5, 2, 2}, {3, 1, 2}}) {
    INFO("kernel ", r.kernel, " stride ", r.stride, " pad ", r.pad);
    passes("conv2d", [&](const auto& x) { return conv2d(x[0], x[1], r.stride, r.pad); },
           {random({1, 5, 4, 2}), random({2, r.kernel, r.kernel, 2}, 1)});
  }
  for (int up : {2, 3})
    passes("conv2d of a map seen larger", [up](const auto& x) { return conv2d(x[0], x[1], 1, 1, up); }, {random({2, 2, 3, 2}), random({3, 3, 3, 2})});
  passes("conv2d, 3x1 filter", [](const auto& x) { return conv2d(x[0], x[1], 2, 1); },
         {random({1, 5, 4, 2}), random({2, 3, 1, 2}, 1)});
}

TEST_CASE("gradients: pooling and upsampling") {
  struct Row {
    int64_t kernel, stride, pad;
  };
  for (Row r : {Row{2, 2, 0}, {3, 2, 1}, {3, 1, 1}, {2, 1, 0}, {3, 3, 0}, {2, 3, 0}}) {
    INFO("kernel ", r.kernel, " stride ", r.stride, " pad ", r.pad);
    passes("max_pool", [&](const auto& x) { return max_pool(x[0], r.kernel, r.stride, r.pad); },
           {random({1, 7, 6, 2})});
    passes("avg_pool", [&](const auto& x) { return avg_pool(x[0], r.kernel, r.stride, r.pad); },
           {random({1, 7, 6, 2})});
  }
  passes("global_avg_pool", [](const auto& x) { return global_avg_pool(x[0]); }, {random({2, 3, 5, 2})});
  for (int factor : {1, 2, 3})
    passes("upsample", [&](const auto& x) { return upsample(x[0], factor); }, {random({2, 2, 3, 2})});
}

TEST_CASE("gradients: batch normalisation with every choice of groups, residual and activation") {
  for (int64_t groups : {1, 2})
    for (bool with_residual : {false, true})
      for (Activation activation : {Activation::none, Activation::relu}) {
        CAPTURE(groups);
        CAPTURE(with_residual);
        CAPTURE(int(activation));
        BatchNormOptions options;
        options.groups = groups;
        options.activation = activation;
        std::vector<Tensor> inputs{random({4, 2, 1, 3}), positive({3}, 1), random({3}, 2)};
        if (with_residual) inputs.push_back(random({4, 2, 1, 3}, 3));
        passes(
            "batch_norm",
            [&](const auto& x) {
              return batch_norm(x[0], x[1], x[2], with_residual ? x[3] : Var(), options).y;
            },
            inputs);
        if (groups > 1) continue;
        passes(
            "batch_norm_with",
            [&](const auto& x) {
              return batch_norm_with(x[0], x[1], x[2], with_residual ? x[3] : Var(), random({3}, 4),
                                     positive({3}, 5), options);
            },
            inputs);
      }
  passes("batch_norm of rows", [](const auto& x) { return batch_norm(x[0], x[1], x[2], Var(), {}).y; },
         {random({5, 3}), positive({3}, 1), random({3}, 2)});
  // x may be its own residual: a variable used twice by one op.
  passes("batch_norm, x as residual", [](const auto& x) { return batch_norm(x[0], x[1], x[2], x[0], {}).y; },
         {random({5, 3}), positive({3}, 1), random({3}, 2)});
}

TEST_CASE("gradients: a residual block of a ResNet") {
  auto block = [](const std::vector<Var>& p) {
    BatchNormOptions act, none;
    act.activation = Activation::relu;
    Var y = batch_norm(conv2d(p[0], p[1], 2, 1), p[2], p[3], Var(), act).y;          // [2, 3, 3, 3]
    Var shortcut = batch_norm(conv2d(p[0], p[4], 2, 0), p[5], p[6], Var(), none).y;  // [2, 3, 3, 3]
    return std::vector{batch_norm(conv2d(y, p[7], 1, 1), p[8], p[9], shortcut, act).y};
  };
  std::vector<Tensor> inputs{random({2, 6, 6, 2}), random({3, 3, 3, 2}, 1), positive({3}, 2),
                             random({3}, 3),       random({3, 1, 1, 2}, 4), positive({3}, 5),
                             random({3}, 6),       random({3, 3, 3, 3}, 7), positive({3}, 8),
                             random({3}, 9)};
  passes("residual block", block, inputs, /*jacobian=*/false);
}

TEST_CASE("gradients: InfoNCE with a queue") {
  Var queue(l2_normalize(Var(random({6, 4}, 5))).value());  // [K, D], a constant
  auto loss = [&](const std::vector<Var>& x) {
    Var q = l2_normalize(x[0]), k = l2_normalize(x[1]);  // [B, D]
    Var positive_logit = reshape(sum_last(mul(q, k)), {3, 1});
    Var logits = scale(concat({positive_logit, matmul(q, queue, false, true)}, 1), 1 / 0.2);  // [B, 1 + K]
    return std::vector{mean(cross_entropy(logits, indices({0, 0, 0})))};
  };
  passes("InfoNCE", loss, {random({3, 4}), random({3, 4}, 1)});
}

TEST_CASE("gradients: a masked logsumexp, where minus infinity takes no part") {
  const double inf = std::numeric_limits<double>::infinity();
  Var mask(
      Tensor::from(std::vector<double>{-inf, 0, 0, 0, -inf, 0, 0, 0, -inf}, {3, 3}));  // without the positive
  auto loss = [&](const std::vector<Var>& x) {
    Var similarity = scale(matmul(x[0], x[1], false, true), 5);  // [B, B]
    Var positives = scale(sum_last(mul(x[0], x[1])), 5);
    return std::vector{sub(logsumexp(add(similarity, mask)), positives)};
  };
  passes("masked logsumexp", loss, {random({3, 4}), random({3, 4}, 1)});
}

TEST_CASE("gradients: a loss through max pool, linear and cosine, as a whole") {
  auto f = [](const std::vector<Var>& p) {
    Var features = reshape(max_pool(relu(conv2d(p[0], p[1], 1, 1)), 3, 2, 1), {2, 18});
    Var z = add(matmul(features, p[2], false, true), p[3]);  // [2, 4]
    Var a = l2_normalize(slice(z, 0, 1)), b = l2_normalize(slice(z, 1, 1));
    return std::vector{neg(mean(sum_last(mul(a, b)))), mean(square(z))};
  };
  passes("tiny net", f, {random({2, 5, 5, 2}), random({2, 3, 3, 2}, 1), random({4, 18}, 2), random({4}, 3)},
         /*jacobian=*/false);
}
