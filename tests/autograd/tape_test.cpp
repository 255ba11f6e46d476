// The tape: depth, order, accumulation, memory, what is recorded, and the words of its errors.
#include "autograd/tape.h"

#include <doctest/doctest.h>

#include <string>

#include "autograd/functions.h"
#include "tensor/allocator.h"

using namespace plumage;

namespace {

Var leaf(std::vector<double> values) {
  int64_t n = int64_t(values.size());
  return Var(Tensor::from(values, {n}), true);
}

std::vector<double> grad(const Var& x) { return x.grad().to_vector(); }

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

/// y = x, and its name goes into `log` when backward comes by.
Var traced(const Var& x, const std::string& name, std::vector<std::string>& log) {
  return record("traced", x.value().clone(), {x}, [name, &log](const Tensor& dy, Gradients& d) {
    log.push_back(name);
    d.add(0, dy);
  });
}

}  // namespace

TEST_CASE("tape: a chain of a million nodes, forward, backward and destroyed") {
  Var x = leaf({0.5});
  {
    Var y = x;
    for (int i = 0; i < 1000000; ++i) y = affine(y, 1, 1e-6);
    CHECK(y.value().to_vector()[0] == doctest::Approx(1.5));
    backward(y);
  }
  CHECK(grad(x) == std::vector<double>{1});
  {
    Var y = x;
    for (int i = 0; i < 1000000; ++i) y = record("same", y.value(), {y}, [](const Tensor&, Gradients&) {});
  }  // never walked: the destructor must not recurse
  {
    Var y = x;
    for (int i = 0; i < 100000; ++i) y = affine(y, 1, 0);
    CHECK(gradient(y, {x})[0].item() == 1);  // kept, then destroyed
  }
}

TEST_CASE("tape: gradients of several uses and of several backwards add up") {
  Var x = leaf({2, 3}), y = leaf({5, 7});
  backward(sum(add(mul(x, y), mul(x, x))));
  CHECK(grad(x) == std::vector<double>{5 + 4, 7 + 6});
  CHECK(grad(y) == std::vector<double>{2, 3});
  backward(sum(x));
  CHECK(grad(x) == std::vector<double>{10, 14});
  x.clear_grad();
  CHECK_FALSE(x.grad().defined());
  backward(sum(scale(x, 4)));
  CHECK(grad(x) == std::vector<double>{4, 4});
}

TEST_CASE("tape: a diamond is walked once") {
  std::vector<std::string> log;
  Var x = leaf({1});
  Var a = traced(x, "a", log), b = traced(a, "b", log), c = traced(a, "c", log);
  backward(add(add(b, c), b));
  CHECK(log == std::vector<std::string>{"c", "b", "a"});  // latest first, each once
  CHECK(grad(x) == std::vector<double>{3});
}

TEST_CASE("tape: the order does not depend on how branches are joined") {
  for (bool swap : {false, true}) {
    std::vector<std::string> log;
    Var x = leaf({1});
    Var a = traced(x, "a", log), b = traced(x, "b", log), c = traced(b, "c", log), d = traced(a, "d", log);
    backward(swap ? add(d, c) : add(c, d));
    CHECK(log == std::vector<std::string>{"d", "c", "b", "a"});
  }
}

TEST_CASE("tape: gradients of broadcast inputs are summed back to their shape") {
  Var x(Tensor::full({2, 3}, 2, DType::f64), true), row = leaf({1, 2, 3}),
                                                    one(Tensor::scalar(4, DType::f64), true);
  Var column(Tensor::full({2, 1}, 1, DType::f64), true);
  backward(sum(mul(mul(add(x, row), one), column)));
  CHECK(row.grad().shape() == Shape{3});
  CHECK(grad(row) == std::vector<double>{8, 8, 8});
  CHECK(one.grad().shape() == Shape{});
  CHECK(one.grad().item() == 2 * (3 + 4 + 5));
  CHECK(column.grad().shape() == Shape{2, 1});
  CHECK(grad(column) == std::vector<double>{48, 48});
}

TEST_CASE("tape: gradient() with respect to an intermediate leaves the parameters' gradients alone") {
  Var w = leaf({3}), x = leaf({2});
  Var v = mul(w, x);
  Var loss = sum(square(v));
  std::vector<Tensor> g = gradient(loss, {v, w});
  CHECK(g[0].item() == 12);
  CHECK(g[1].item() == 24);
  CHECK_FALSE(w.grad().defined());
  CHECK_FALSE(x.grad().defined());
  CHECK(gradient(loss, {v})[0].item() == 12);  // the graph is kept ...
  backward(loss);                              // ... for the loss's own backward
  CHECK(grad(w) == std::vector<double>{24});
  CHECK(grad(x) == std::vector<double>{36});
}

TEST_CASE("tape: gradient() runs no rule below what was asked for") {
  std::vector<std::string> log;
  Var x = leaf({2});
  Var encoder = traced(x, "encoder", log), head = traced(encoder, "head", log);
  CHECK(gradient(sum(head), {encoder})[0].item() == 1);
  CHECK(log == std::vector<std::string>{"head"});
}

TEST_CASE("tape: gradient() gives zeros where there is no way, and throws for a constant") {
  Var x = leaf({1, 2}), other = leaf({1, 2, 3});
  std::vector<Tensor> g = gradient(sum(x), {other, x});
  CHECK(g[0].to_vector() == std::vector<double>{0, 0, 0});
  CHECK(g[1].to_vector() == std::vector<double>{1, 1});
  CHECK(message_of([&] { gradient(sum(x), {Var(Tensor::scalar(1))}); }).find("with respect to a constant") !=
        std::string::npos);
}

TEST_CASE("tape: a used graph says so, with the op's name, and does not answer zeros") {
  Var x = leaf({1, 2});
  Var y = exp(x), loss = sum(y);
  backward(loss);
  CHECK(message_of([&] { backward(loss); }) == "backward: the graph through sum_to was already used");
  Var again = sum(mul(y, y));
  CHECK(message_of([&] { backward(again); }) == "backward: the graph through unary was already used");
  CHECK(message_of([&] { gradient(loss, {x}); }) == "backward: the graph through sum_to was already used");
  Var head = exp(x);
  backward(sum(head));
  CHECK(gradient(sum(scale(head, 3)), {head})[0].to_vector() ==
        std::vector<double>{3, 3});  // nothing used is needed
  CHECK(message_of([&] {
          gradient(sum(scale(head, 3)), {head, x});
        }).find("already used") != std::string::npos);
  Var z = exp(x), l = sum(z);
  gradient(l, {x}, {}, /*consume=*/true);
  CHECK(message_of([&] { backward(l); }).find("already used") != std::string::npos);
}

TEST_CASE("tape: what a loss must be") {
  Var x = leaf({1, 2});
  CHECK(message_of([&] { backward(exp(x)); }) == "backward: a loss of shape [2] needs a cotangent");
  CHECK(message_of([&] { backward(exp(x), Tensor::zeros({3}, DType::f64)); }) ==
        "backward: cotangent [3] for a loss [2]");
  CHECK(message_of([&] {
          backward(Var(Tensor::scalar(1)));
        }).find("depends on nothing that needs a gradient") != std::string::npos);
  backward(exp(x), Tensor::from(std::vector<double>{1, 0}, {2}));
  CHECK(grad(x)[1] == 0);
  backward(sum(x.detach().needs_grad() ? x : add(x, x.detach())));
  CHECK(grad(x)[1] == 1);  // one way only
}

TEST_CASE(
    "tape: the loss may be a leaf, and no gradient shares memory with the cotangent or another gradient") {
  Var x = leaf({1, 2}), y = leaf({3, 4});
  Tensor cotangent = Tensor::full({2}, 1, DType::f64);
  backward(x, cotangent);
  backward(x, cotangent);
  CHECK(grad(x) == std::vector<double>{2, 2});
  CHECK(cotangent.to_vector() == std::vector<double>{1, 1});
  Var a = leaf({1, 2});
  backward(add(a, y), cotangent);
  Tensor of_a = a.grad();
  of_a.span<double>()[0] = 9;
  CHECK(grad(y) == std::vector<double>{1, 1});
  CHECK(cotangent.to_vector() == std::vector<double>{1, 1});
}

TEST_CASE("tape: NoGrad is a scope, also through an exception") {
  Var x = leaf({1, 2});
  {
    NoGrad outer;
    { NoGrad inner; }
    CHECK_FALSE(is_recording());
    CHECK_FALSE(exp(x).needs_grad());
    CHECK(leaf({1}).needs_grad());  // a parameter made here is still one
  }
  CHECK(is_recording());
  CHECK(exp(x).needs_grad());
  CHECK_THROWS(([&] {
    NoGrad scope;
    add(x, leaf({1, 2, 3}));
  }()));
  CHECK(is_recording());
  CHECK_FALSE(exp(Var(Tensor::scalar(1))).needs_grad());  // constants record nothing
}

TEST_CASE("tape: saved tensors are freed while backward goes") {
  const int64_t elements = 1 << 16, bytes = elements * 8;
  int links = 32;
  Var x(Tensor::full({elements}, 1, DType::f64), true);
  int64_t before_backward = 0, at_the_end = 0;
  {
    auto in_use = [] { return Allocator::cpu().statistics().current_bytes; };
    Var y = record("first", x.value().clone(), {x}, [&](const Tensor& dy, Gradients& d) {
      at_the_end = in_use();
      d.add(0, dy);
    });
    for (int i = 0; i < links; ++i) y = square(y);  // each keeps its input
    Var loss = sum(y);
    y = Var();
    before_backward = in_use();
    Allocator::cpu().reset_peak();
    backward(loss);
  }
  CHECK(before_backward - at_the_end >= (links - 4) * bytes);
  CHECK(Allocator::cpu().statistics().peak_bytes <= before_backward + 6 * bytes);
  CHECK(grad(x)[7] == 4294967296.0);  // 2^32
}

TEST_CASE("tape: an unused branch is freed with its Var, and a leaf needs a float") {
  int64_t before = Allocator::cpu().statistics().current_bytes;
  {
    Var x(Tensor::zeros({1 << 16}, DType::f64), true);
    Var branch = square(exp(x));
    branch = Var();
  }
  CHECK(Allocator::cpu().statistics().current_bytes == before);
  CHECK_THROWS_AS(Var(Tensor::zeros({2}, DType::i64), true), DTypeError);
}

TEST_CASE("tape: a rule whose gradient does not fit is named") {
  auto with = [](Tensor g) {
    Var x = leaf({1, 2, 3});
    Var y = record("wrong_op", x.value().clone(), {x}, [g](const Tensor&, Gradients& d) { d.add(0, g); });
    return message_of([&] { backward(sum(y)); });
  };
  CHECK(with(Tensor::zeros({2}, DType::f64)) == "gradient of wrong_op, input 0: shape [2], wanted [3]");
  CHECK(with(Tensor::zeros({3}, DType::f32)) == "gradient of wrong_op, input 0: f32, wanted f64");
}

TEST_CASE("tape: a rule is asked only for what is wanted") {
  Var x = leaf({1, 2}), constant(Tensor::full({2}, 3, DType::f64));
  int computed = 0;
  Var y = record("op", x.value().clone(), {x, constant}, [&](const Tensor& dy, Gradients& d) {
    CHECK(d.wants(0));
    CHECK_FALSE(d.wants(1));
    d.add(0, [&] {
      ++computed;
      return dy;
    });
    d.add(1, [&] {
      ++computed;
      return dy;
    });
  });
  backward(sum(y));
  CHECK(computed == 1);
}

TEST_CASE("tape: cast brings the gradient back in the input's type") {
  Var x = leaf({1, 2, 4});
  Var y = cast(x, DType::f32);
  backward(y, Tensor::from(std::vector<float>{0.5f, 0.25f, -1}, {3}));
  CHECK(x.grad().dtype() == DType::f64);
  CHECK(grad(x) == std::vector<double>{0.5, 0.25, -1});
  Var half(Tensor::full({2}, 1), true);
  backward(sum(cast(half, DType::bf16)));
  CHECK(half.grad().dtype() == DType::f32);
}
