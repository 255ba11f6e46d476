// A batch norm's gradient where a convolution completes it and sums up on its way out what the norm begins with (NormLink): the same as
// without, and only where no one else sees or adds to the gradient on its way.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/functions.h"
#include "autograd/tape.h"
#include "tensor/context.h"

using namespace plumage;

namespace {

int sources = 0;  // convolutions that were given one
const Kernels* own = nullptr;

/// Counts them while it lives.
struct Counting {
  Kernels table;
  explicit Counting(DType dtype) {
    own = &Context::cpu().own_kernels(dtype);
    table = *own;
    table.conv2d_dx = [](Context& context, In dy, In w, In onto, Out dx, Window window, NormSource source) {
      sources += bool(source);
      own->conv2d_dx(context, dy, w, onto, dx, window, source);
    };
    sources = 0;
    Context::cpu().stand_in = &table;
  }
  ~Counting() { Context::cpu().stand_in = nullptr; }
};

Tensor random(const Shape& shape, DType dtype, uint64_t step) { return ops::normal(shape, {7, Purpose::test, step}, 0, 1, dtype); }

enum class Users { one, added_before, added_after, twice };

struct Net {
  Var x, gamma, beta, residual, w, other;
  Net(DType dtype, int64_t c, int64_t k, const Shape& image)
      : x(random({image[0], image[1], image[2], c}, dtype, 1), true), gamma(ops::affine(random({c}, dtype, 2), 0.1, 1), true),
        beta(random({c}, dtype, 3), true), residual(random(x.shape(), dtype, 4), true), w(random({k, 1, 1, c}, dtype, 5), true),
        other(random(x.shape(), dtype, 6), true) {}
  std::vector<Var> leaves(bool with_residual) const {
    std::vector<Var> all{x, gamma, beta, w, other};
    if (with_residual) all.push_back(residual);
    return all;
  }
  // The norm's result has, beside the convolution, users that come before or after it.
  Var loss(bool with_residual, Activation activation, int64_t groups, Users users) const {
    Var y = batch_norm(x, gamma, beta, with_residual ? residual : Var(), {1e-5, activation, groups}, {}).y;
    Var early = users == Users::added_before ? mul(y, other) : Var();
    Var z = conv2d(y, w, 1, 0);
    Var sum = plumage::sum(mul(z, z));
    if (users == Users::twice) sum = add(sum, plumage::sum(mul(conv2d(y, w, 1, 0), z)));
    Var late = users == Users::added_before ? early : mul(users == Users::added_after ? y : other, other);
    return add(sum, plumage::sum(late));
  }
};

}  // namespace

TEST_CASE("norm link: backward gives what each op's own gradient gives") {
  struct Case { DType dtype; int64_t c, k; Shape image; double tolerance; };
  for (const Case& c : {Case{DType::f64, 5, 3, {4, 3, 2}, 1e-12}, Case{DType::f32, 35, 32, {4, 5, 3}, 2e-5}, Case{DType::f32, 128, 128, {4, 13, 11}, 2e-5}})
    for (bool residual : {false, true})
      for (Activation activation : {Activation::none, Activation::relu})
        for (int64_t groups : {1, 2})
          for (Users users : {Users::one, Users::added_before, Users::added_after, Users::twice}) {
            CAPTURE(c.c);
            CAPTURE(residual);
            CAPTURE(groups);
            CAPTURE(int(activation));
            CAPTURE(int(users));
            Net net(c.dtype, c.c, c.k, c.image);
            std::vector<Var> leaves = net.leaves(residual);
            Counting counting(c.dtype);
            std::vector<Tensor> wanted = gradient(net.loss(residual, activation, groups, users), leaves);
            CHECK(sources == 0);  // who asks for gradients may ask for those on the way
            backward(net.loss(residual, activation, groups, users));
            CHECK(sources == (users == Users::added_before ? 0 : 1));  // mul's part comes after the convolution's
            for (size_t i = 0; i < leaves.size(); ++i) {
              CAPTURE(i);
              std::vector<double> a = leaves[i].grad().to_vector(), b = wanted[i].to_vector();
              double largest = 0, apart = 0;
              for (size_t j = 0; j < a.size(); ++j) largest = std::max(largest, std::abs(b[j])), apart = std::max(apart, std::abs(a[j] - b[j]));
              CHECK(apart <= c.tolerance * largest);
            }
          }
}

TEST_CASE("norm link: a user that backward does not come by keeps the convolution from it") {
  Net net(DType::f64, 5, 3, {4, 3, 2});
  Counting counting(DType::f64);
  Var y = batch_norm(net.x, net.gamma, net.beta, {}, {1e-5, Activation::relu, 1}, {}).y;
  Var aside = mul(y, net.other);  // of another loss, which may come later
  backward(sum(conv2d(y, net.w, 1, 0)));
  CHECK(sources == 0);
}

TEST_CASE("norm link: with sums, the norm's gradient takes its input's memory where no one else holds it") {
  Tensor x = random({4, 3, 2, 5}, DType::f32, 1), held = x, dy = random(x.shape(), DType::f32, 2), row = Tensor::full({1, 5}, 1), one = Tensor::full({5}, 1);
  ops::NormArguments norm{row, row, one, one};
  Tensor sums = Tensor::zeros({2, 1, 5});
  std::vector<double> before = x.to_vector();
  ops::NormGradients apart = ops::batch_norm_bwd(x, {}, dy, norm, true, sums);
  CHECK(x.to_vector() == before);
  CHECK(apart.dresidual.data<float>() == dy.data<float>());
  held = Tensor();
  const float* memory = x.data<float>();
  ops::NormGradients g = ops::batch_norm_bwd(std::move(x), {}, dy, norm, true, sums);
  CHECK(g.dx.data<float>() == memory);
  CHECK(g.dx.to_vector() == apart.dx.to_vector());
}
