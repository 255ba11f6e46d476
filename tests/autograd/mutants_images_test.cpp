// Mutants of convolution, pooling and batch normalisation with residual and ReLU.
#include "tests/autograd/mutants.h"

using namespace plumage;

namespace {

// --- convolution: dx and dw from stride 1 alone, so that a rule written down by hand stands beside the
// kernels

/// dy [N, P, Q, K] put at the pixels (p * stride, q * stride) of a map of zeros.
Tensor spread_out(const Tensor& dy, int64_t height, int64_t width, int64_t stride) {
  Tensor out = Tensor::zeros({dy.size(0), height, width, dy.size(3)}, DType::f64);
  auto from = dy.span<double>();
  auto to = out.span<double>();
  int64_t k = dy.size(3);
  for (int64_t n = 0; n < dy.size(0); ++n)
    for (int64_t p = 0; p < dy.size(1); ++p)
      for (int64_t q = 0; q < dy.size(2); ++q)
        for (int64_t i = 0; i < k; ++i)
          to[size_t(((n * height + p * stride) * width + q * stride) * k + i)] =
              from[size_t(((n * dy.size(1) + p) * dy.size(2) + q) * k + i)];
  return out;
}

enum class Order { turned, transposed };

/// w [K, R, S, C] with R and S both reversed, or exchanged (R = S).
Tensor reordered(const Tensor& w, Order order) {
  Tensor out = w.clone();
  int64_t r_count = w.size(1), s_count = w.size(2), c_count = w.size(3);
  auto from = w.span<double>();
  auto to = out.span<double>();
  for (int64_t k = 0; k < w.size(0); ++k)
    for (int64_t r = 0; r < r_count; ++r)
      for (int64_t s = 0; s < s_count; ++s)
        for (int64_t c = 0; c < c_count; ++c) {
          int64_t r2 = order == Order::turned ? r_count - 1 - r : s,
                  s2 = order == Order::turned ? s_count - 1 - s : r;
          to[size_t(((k * r_count + r) * s_count + s) * c_count + c)] =
              from[size_t(((k * r_count + r2) * s_count + s2) * c_count + c)];
        }
  return out;
}

Function conv_with(const std::string& fault) {
  return [fault](const std::vector<Var>& in) {
    const int64_t stride = 2, pad = 1;
    Tensor x = in[0].value(), w = in[1].value();
    return std::vector{
        record("conv2d", ops::conv2d(x, w, stride, pad), {in[0], in[1]}, [=](const Tensor& dy, Gradients& d) {
          int64_t height = x.size(1) + 2 * pad - w.size(1) + 1, width = x.size(2) + 2 * pad - w.size(2) + 1;
          Tensor dense = spread_out(dy, height, width, fault == "stride ignored" ? 1 : stride);
          Tensor filters = fault == "dx: filters not turned" ? reordered(w, Order::turned) : w;
          Tensor dx = ops::conv2d_dx(dense, filters, x.shape(), 1, pad);
          if (fault == "dx: sign") dx = ops::scale(dx, -1);
          if (fault == "dx: border dropped") {
            Tensor inside = ops::narrow(ops::narrow(dx, 1, 0, x.size(1) - 1), 2, 0, x.size(2) - 1);
            dx = ops::narrow_bwd(
                ops::narrow_bwd(inside, {x.size(0), x.size(1) - 1, x.size(2), x.size(3)}, 2, 0), x.shape(), 1,
                0);
          }
          Tensor dw = ops::conv2d_dw(x, dense, w.shape(), 1, pad);
          if (fault == "dw: factor") dw = ops::scale(dw, 1.01);
          if (fault == "dw: swapped axes") dw = reordered(dw, Order::transposed);
          if (fault == "dw: first image only")
            dw = ops::conv2d_dw(x.slice(0, 1), dense.slice(0, 1), w.shape(), 1, pad);
          d.add(0, dx);
          if (fault != "dw: missing") d.add(1, dw);
        })};
  };
}

// --- max pooling, kernel 2, stride 2

Function max_pool_with(const std::string& fault) {
  return [fault](const std::vector<Var>& in) {
    Tensor x = in[0].value();
    auto [y, argmax] = ops::max_pool(x, 2, 2, 0);
    return std::vector{
        record("max_pool", y, {in[0]}, [=, y = y, argmax = argmax](const Tensor& dy, Gradients& d) {
          Tensor index = argmax.clone();
          for (int32_t& i : index.span<int32_t>()) {
            if (fault == "last of the window") i = 3;
            if (fault == "wrong argmax: axes swapped") i = i % 2 * 2 + i / 2;
            if (fault == "wrong argmax: next") i = (i + 1) % 4;
          }
          if (fault == "shared by the window")
            d.add(0, ops::avg_pool_bwd(dy, x.shape(), 2, 2, 0));
          else if (fault == "to every tie")
            d.add(0, ops::mul(ops::upsample(dy, 2),
                              ops::affine(ops::binary(BinaryFn::less, x, ops::upsample(y, 2)), -1, 1)));
          else if (fault == "to the whole window")
            d.add(0, ops::upsample(dy, 2));
          else
            d.add(0, ops::max_pool_bwd(dy, index, x.shape(), 2, 2, 0));
        })};
  };
}

Function avg_pool_with(const std::string& fault) {
  return [fault](const std::vector<Var>& in) {
    Tensor x = in[0].value();
    return std::vector{
        record("avg_pool", ops::avg_pool(x, 2, 2, 0), {in[0]}, [=](const Tensor& dy, Gradients& d) {
          Tensor dx = ops::avg_pool_bwd(dy, x.shape(), 2, 2, 0);
          d.add(0, fault == "sum instead of mean" ? ops::scale(dx, 4) : dx);
        })};
  };
}

// --- y = relu(batch_norm(x) + residual), statistics of two halves of the batch; x [N, C]

Function batch_norm_with_fault(const std::string& fault) {
  return [fault](const std::vector<Var>& in) {
    const int64_t groups = 2, n = in[0].size(0), c = in[0].size(1);
    Tensor x = in[0].value(), gamma = in[1].value(), beta = in[2].value(), residual = in[3].value();
    ops::Moments moments = ops::batch_norm_stats(x, groups);  // [groups, C]
    ops::NormArguments norm{moments.mean, moments.variance, gamma, beta, 1e-5, Activation::relu, true};
    Tensor y = ops::batch_norm_apply(x, residual, norm);
    return std::vector{
        record("batch_norm", y, {in[0], in[1], in[2], in[3]}, [=](const Tensor& dy, Gradients& d) {
          Tensor g = fault == "mask dropped" ? dy : ops::binary(BinaryFn::relu_mask, dy, y);  // [N, C]
          Shape split{groups, n / groups, c}, rows{groups, 1, c};
          Tensor std = ops::unary(UnaryFn::sqrt, ops::affine(moments.variance.reshape(rows), 1, 1e-5));
          Tensor xhat = ops::div(ops::sub(x.reshape(split), moments.mean.reshape(rows)), std);
          Tensor gg = g.reshape(split);
          bool all = fault == "means of the whole batch";
          auto mean = [&](const Tensor& t) {
            return all ? ops::scale(ops::sum_to(t, {1, 1, c}), 1.0 / double(n))
                       : ops::scale(ops::sum_to(t, rows), double(groups) / double(n));
          };
          Tensor inner = gg;
          if (fault != "missing mean of g" && fault != "statistics as constants")
            inner = ops::sub(inner, mean(gg));
          if (fault != "missing mean of g*xhat" && fault != "statistics as constants")
            inner = ops::sub(inner, ops::mul(xhat, mean(ops::mul(gg, xhat))));
          if (fault == "sign of the last term")
            inner = ops::add(inner, ops::scale(ops::mul(xhat, mean(ops::mul(gg, xhat))), 2));
          Tensor dx = ops::div(inner, std);
          if (fault != "missing gamma") dx = ops::mul(dx, gamma);
          if (fault == "missing 1/std") dx = ops::mul(dx, std);
          if (fault == "sign") dx = ops::scale(dx, -1);
          d.add(0, dx.reshape({n, c}));
          d.add(1, fault == "dgamma without xhat" ? g : ops::mul(gg, xhat).reshape({n, c}));
          d.add(2, fault == "dbeta: factor" ? ops::scale(g, 1.0 / double(n)) : g);
          if (fault != "missing dresidual") d.add(3, fault == "mask dropped for the residual" ? dy : g);
        })};
  };
}

std::vector<Tensor> norm_inputs(double shift) {
  // Shifted up, no element is cut off by the ReLU, and the faults of the means stand alone.
  return {random({8, 3}), positive({3}), ops::affine(random({3}, 2), 1, shift), random({8, 3}, 3)};
}

}  // namespace

TEST_CASE("mutants: convolution") {
  reject_all(conv_with, {random({2, 4, 5, 1}), random({2, 3, 3, 1}, 1)},
             {"stride ignored", "dx: filters not turned", "dx: sign", "dx: border dropped", "dw: factor",
              "dw: swapped axes", "dw: first image only", "dw: missing"});
}

TEST_CASE("mutants: pooling") {
  reject_all(max_pool_with, {random({2, 4, 4, 2})},
             {"last of the window", "wrong argmax: axes swapped", "wrong argmax: next",
              "shared by the window", "to the whole window"});
  reject_all(avg_pool_with, {random({2, 4, 4, 2})}, {"sum instead of mean"});
}

TEST_CASE("mutants: max pooling of ties, which move together and so have a derivative") {
  auto of_tied = [](const std::string& fault) {
    return [fault](const std::vector<Var>& x) { return max_pool_with(fault)({upsample(x[0], 2)}); };
  };
  reject_all(of_tied, {random({1, 3, 2, 2})}, {"to every tie", "to the whole window"});
}

TEST_CASE("mutants: batch normalisation with residual and ReLU") {
  for (double shift : {0.0, 9.0}) {
    CAPTURE(shift);
    reject_all(batch_norm_with_fault, norm_inputs(shift),
               {"missing mean of g", "missing mean of g*xhat", "statistics as constants",
                "means of the whole batch", "missing gamma", "missing 1/std", "sign", "sign of the last term",
                "dgamma without xhat", "dbeta: factor", "missing dresidual"});
  }
  reject_all(batch_norm_with_fault, norm_inputs(0), {"mask dropped", "mask dropped for the residual"});
}

TEST_CASE("mutants: batch-norm faults that a plain sum of the outputs would let through") {
  for (const char* fault :
       {"sign", "missing gamma", "missing 1/std", "means of the whole batch", "missing mean of g*xhat"}) {
    CAPTURE(fault);
    CHECK(plain_sum_passes(batch_norm_with_fault(fault), norm_inputs(9)));
  }
  CHECK_FALSE(plain_sum_passes(batch_norm_with_fault("missing mean of g"), norm_inputs(9)));
}
