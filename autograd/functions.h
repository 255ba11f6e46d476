// Every op with a gradient. Definitions, shapes and errors are those of tensor/ops.h; rules stand in autograd/rules/,
// one file an op family, the gradient right under its forward.
#pragma once
#include <utility>
#include <vector>

#include "autograd/var.h"
#include "tensor/ops.h"

namespace plumage {

// --- pointwise (rules/pointwise.cpp)
Var cast(const Var& x, DType dtype);
Var unary(UnaryFn fn, const Var& x);
inline Var relu(const Var& x) { return unary(UnaryFn::relu, x); }
inline Var exp(const Var& x) { return unary(UnaryFn::exp, x); }
inline Var log(const Var& x) { return unary(UnaryFn::log, x); }
inline Var sqrt(const Var& x) { return unary(UnaryFn::sqrt, x); }
inline Var square(const Var& x) { return unary(UnaryFn::square, x); }
inline Var abs(const Var& x) { return unary(UnaryFn::abs, x); }
inline Var sigmoid(const Var& x) { return unary(UnaryFn::sigmoid, x); }
inline Var tanh(const Var& x) { return unary(UnaryFn::tanh, x); }
Var add(const Var& a, const Var& b);
Var sub(const Var& a, const Var& b);
Var mul(const Var& a, const Var& b);
Var div(const Var& a, const Var& b);
Var maximum(const Var& a, const Var& b);  ///< at a tie the gradient goes to a
Var minimum(const Var& a, const Var& b);  ///< at a tie the gradient goes to a
Var affine(const Var& x, double scale, double shift);
inline Var scale(const Var& x, double s) { return affine(x, s, 0); }
inline Var neg(const Var& x) { return affine(x, -1, 0); }

// --- reductions and rows (rules/rows.cpp)
Var reshape(const Var& x, const Shape& shape);
Var slice(const Var& x, int64_t first, int64_t count);  ///< rows of the first dimension
Var narrow(const Var& x, int dimension, int64_t first, int64_t count);
Var concat(const std::vector<Var>& parts, int dimension);
Var sum_to(const Var& x, const Shape& shape);
Var sum(const Var& x);        ///< rank 0
Var mean(const Var& x);       ///< rank 0
Var sum_last(const Var& x);   ///< [.., C] -> [..]
std::pair<Var, Tensor> max_last(const Var& x);
std::pair<Var, Tensor> top_k(const Var& x, int64_t k, bool largest = true);
Var softmax(const Var& x);
Var log_softmax(const Var& x);
Var logsumexp(const Var& x);
Var l2_normalize(const Var& x, double epsilon = 1e-12);
Var gather_rows(const Var& x, const Tensor& index);
/// Per-row loss [B]; labels i64 [B].
Var cross_entropy(const Var& logits, const Tensor& labels);
/// logsumexp over keys [K, d] of scale * q keys^T, [B]: InfoNCE's sum over a queue, whose keys get no gradient.
Var attend(const Var& q, const Tensor& keys, double scale);

// --- matrix products and convolution (rules/matmul.cpp, rules/conv.cpp)
/// op(a) op(b) + bias, in the bias's type if there is one, as ops::matmul.
Var matmul(const Var& a, const Var& b, bool transpose_a = false, bool transpose_b = false, const Var& bias = {});
/// up: of upsample(x, up), which is not kept.
Var conv2d(const Var& x, const Var& w, int64_t stride = 1, int64_t pad = 0, int up = 1);
/// The same, and the statistics of its result, which are numbers: batch_norm, which takes them, has their gradient. recompute: it
/// keeps x in place of y, which is computed again in backward.
std::pair<Var, ops::Moments> conv2d_stats(const Var& x, const Var& w, int64_t stride = 1, int64_t pad = 0, int64_t groups = 1,
                                          bool recompute = false, int up = 1);

// --- pooling and upsampling (rules/pool.cpp)
Var max_pool(const Var& x, int64_t kernel, int64_t stride, int64_t pad);
Var avg_pool(const Var& x, int64_t kernel, int64_t stride, int64_t pad);
Var global_avg_pool(const Var& x);
Var upsample(const Var& x, int factor = 2);

// --- batch normalisation (rules/batch_norm.cpp); gamma, beta [C]
struct BatchNormOptions {
  double epsilon = 1e-5;
  Activation activation = Activation::none;
  int64_t groups = 1;  ///< split statistics
  bool recompute = false;  ///< a convolution keeps x in place of y, which is computed again in backward; not with a residual
};
/// With the batch's own statistics, which are given back for the running ones. residual may be undefined:
/// y = act(batch_norm(x) + residual). Given away (std::move) where nothing is recorded, x lends its memory to y. `known`: x's
/// statistics, where they have been computed already.
struct BatchNormResult { Var y; ops::Moments moments; };
BatchNormResult batch_norm(Var x, const Var& gamma, const Var& beta, const Var& residual, const BatchNormOptions& options,
                           const ops::Moments& known = {});
/// With given statistics [C], constants for the gradient.
Var batch_norm_with(Var x, const Var& gamma, const Var& beta, const Var& residual, const Tensor& mean,
                    const Tensor& variance, const BatchNormOptions& options);

}  // namespace plumage
