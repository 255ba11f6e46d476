// Every op on tensors without gradients: checks shapes and types, allocates the result, hands views to the kernel of
// the tensors' device. The same functions with gradients: autograd/functions.h. Next: tensor/backend/ref/.
//
// Errors: ShapeError, DTypeError, DeviceError, each naming op, argument, wanted and got. Sums: f32 for bf16 and f32
// (ref: double), NaN propagates. Source of all definitions: the comment and the loops in tensor/backend/ref.
#pragma once
#include <span>
#include <utility>
#include <vector>

#include "tensor/backend/kernels.h"
#include "tensor/tensor.h"

namespace plumage::ops {

// --- fill and random
void fill(Tensor& y, double value);
/// Numbers of (key, element index): the same on every device and for any number of threads.
Tensor uniform(const Shape& shape, PhiloxKey key, double low = 0, double high = 1, DType dtype = DType::f32,
               Device device = {});
/// Numbers that never change. A device keeps them: the same ones are brought there once, and a recorded step may use them.
Tensor constant(const std::vector<double>& values, const Shape& shape, DType dtype = DType::f32, Device device = {});
/// clock: i64 [1] on the device, added to key.step when the kernel runs; undefined: nothing is.
Tensor normal(const Shape& shape, PhiloxKey key, double mean = 0, double std = 1, DType dtype = DType::f32,
              Device device = {}, const Tensor& clock = {});
/// Between any two types; float to integer truncates towards zero.
Tensor cast(const Tensor& x, DType dtype);

// --- pointwise, any float type
Tensor unary(UnaryFn fn, const Tensor& x);
/// kept: y where unary_keeps_output(fn), else x.
Tensor unary_bwd(UnaryFn fn, const Tensor& kept, const Tensor& dy);
bool unary_keeps_output(UnaryFn fn);
/// Broadcasting; both of one float type. `less` gives 1 or 0; `relu_mask(a, b)` gives a where b > 0, else 0.
Tensor binary(BinaryFn fn, const Tensor& a, const Tensor& b);
Tensor affine(const Tensor& x, double scale, double shift);  ///< scale * x + shift
void accumulate(const Tensor& x, Tensor& y);                 ///< y += x, same shape and type
inline Tensor relu(const Tensor& x) { return unary(UnaryFn::relu, x); }
inline Tensor add(const Tensor& a, const Tensor& b) { return binary(BinaryFn::add, a, b); }
inline Tensor sub(const Tensor& a, const Tensor& b) { return binary(BinaryFn::sub, a, b); }
inline Tensor mul(const Tensor& a, const Tensor& b) { return binary(BinaryFn::mul, a, b); }
inline Tensor div(const Tensor& a, const Tensor& b) { return binary(BinaryFn::div, a, b); }
inline Tensor scale(const Tensor& x, double s) { return affine(x, s, 0); }

// --- reductions and rows (the last dimension is the row; all before it are flattened)
Tensor sum_to(const Tensor& x, const Shape& shape);      ///< sums x down to a shape that broadcasts to x's
Tensor sum(const Tensor& x);                             ///< all elements, rank 0
Tensor mean(const Tensor& x);                            ///< all elements, rank 0
std::pair<Tensor, Tensor> max_last(const Tensor& x);     ///< [.., C] -> values [..], index i64 [..]; C >= 1
/// [.., C] -> values, index i64 [.., k], sorted, ties by lower index, NaN last. 1 <= k <= C.
std::pair<Tensor, Tensor> top_k(const Tensor& x, int64_t k, bool largest = true);
Tensor put_last(const Tensor& dy, const Tensor& index, int64_t columns);  ///< [.., k] -> [.., columns], zero elsewhere
Tensor softmax(const Tensor& x);
Tensor softmax_bwd(const Tensor& y, const Tensor& dy);
Tensor log_softmax(const Tensor& x);
Tensor log_softmax_bwd(const Tensor& y, const Tensor& dy);
Tensor logsumexp(const Tensor& x);                       ///< [.., C] -> [..]
Tensor logsumexp_bwd(const Tensor& x, const Tensor& y, const Tensor& dy);
/// y = x / max(|x|, epsilon) by row; returns y and max(|x|, epsilon) [..]. Where |x| < epsilon the norm is constant.
std::pair<Tensor, Tensor> l2_normalize(const Tensor& x, double epsilon = 1e-12);
Tensor l2_normalize_bwd(const Tensor& y, const Tensor& norm, const Tensor& dy, double epsilon = 1e-12);
/// ring[(first + r) mod size] = rows[r] in place: ring [size, ..], rows [R <= size, ..], first i64 [1] >= 0, read when the kernel runs.
void put_rows(Tensor& ring, const Tensor& rows, const Tensor& first);
Tensor gather_rows(const Tensor& x, const Tensor& index);  ///< x [N, ..], index i64 [M] in 0..N-1 -> [M, ..]
Tensor scatter_add_rows(const Tensor& dy, const Tensor& index, int64_t rows);
Tensor concat(const std::vector<Tensor>& parts, int dimension);
/// Elements first .. first+count-1 of a dimension (a copy; along dimension 0 Tensor::slice is a view).
Tensor narrow(const Tensor& x, int dimension, int64_t first, int64_t count);
/// Gradient of narrow: dy placed into zeros of `shape`.
Tensor narrow_bwd(const Tensor& dy, const Shape& shape, int dimension, int64_t first);

// --- matrix product
/// op(a) op(b) + bias with op = transpose of the last two dimensions; [M, K] or [B, M, K], both of one rank and float type.
/// bias: [N], may be undefined; of their type, or f32 beside bf16. The product is of the bias's type, else of theirs.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false, const Tensor& bias = {});

// --- images [N,H,W,C], filters [K,R,S,C]; stride and pad in pixels, pad is zeros
/// y[n,p,q,k] = sum over r,s,c of x[n, p*stride+r-pad, q*stride+s-pad, c] * w[k,r,s,c]; P = (H + 2 pad - R)/stride + 1
/// up: of upsample(x, up) in x's place, which is not made where the kernels can do without; likewise in those below.
Tensor conv2d(const Tensor& x, const Tensor& w, int64_t stride = 1, int64_t pad = 0, int up = 1);
struct Moments { Tensor mean, variance; };  ///< [groups, C] f32 (f64 for f64); variance is biased
/// conv2d, and batch_norm_stats of what it gives, in one kernel where that was timed to be faster (PLUMAGE_PLANS).
std::pair<Tensor, Moments> conv2d_stats(const Tensor& x, const Tensor& w, int64_t stride = 1, int64_t pad = 0, int64_t groups = 1,
                                        int up = 1);
/// With `onto` given, of x's shape, the gradient is added to it; its memory is taken where no one else holds it.
Tensor conv2d_dx(const Tensor& dy, const Tensor& w, const Shape& x_shape, int64_t stride, int64_t pad, Tensor onto = {}, int up = 1);
struct SourceArguments;  ///< below
struct SummedGradient { Tensor dx, sums; };
/// conv2d_dx where x came from a batch norm and nothing else will be added to its gradient. Where a kernel can, dx is 0 where relu
/// stopped it and sums are those that batch_norm_bwd begins with, [2, groups, C]; else dx is conv2d_dx's and sums are undefined.
SummedGradient conv2d_dx(const Tensor& dy, const Tensor& w, const Shape& x_shape, int64_t stride, int64_t pad, Tensor onto, int up,
                         const SourceArguments& source);
Tensor conv2d_dw(const Tensor& x, const Tensor& dy, const Shape& w_shape, int64_t stride, int64_t pad, int up = 1);
/// act(conv2d(x, w) + shift + residual) in one pass over y: a convolution whose frozen batch norm was folded into w and
/// shift. shift: [K], f32 (f64 for f64); residual: y's shape, may be undefined. No gradient. order: for a w whose numbers do not
/// change from call to call, where the kernel may keep them as it reads them.
Tensor conv2d_frozen(const Tensor& x, const Tensor& w, const Tensor& shift, const Tensor& residual, int64_t stride, int64_t pad,
                     Activation activation, FilterOrder* order = nullptr, int up = 1);
/// First maximum in row order takes the gradient; padding never wins. pad < kernel.
std::pair<Tensor, Tensor> max_pool(const Tensor& x, int64_t kernel, int64_t stride, int64_t pad);
Tensor max_pool_bwd(const Tensor& dy, const Tensor& argmax, const Shape& x_shape, int64_t kernel, int64_t stride, int64_t pad);
Tensor avg_pool(const Tensor& x, int64_t kernel, int64_t stride, int64_t pad);  ///< padding counts as zeros
Tensor avg_pool_bwd(const Tensor& dy, const Shape& x_shape, int64_t kernel, int64_t stride, int64_t pad);
Tensor global_avg_pool(const Tensor& x);                                        ///< -> [N, C]
Tensor global_avg_pool_bwd(const Tensor& dy, const Shape& x_shape);
Tensor upsample(const Tensor& x, int factor = 2);                               ///< nearest
Tensor upsample_bwd(const Tensor& dy, int factor = 2);

// --- batch normalisation over all but the last dimension
/// groups: split statistics, of equal parts of the batch. Throws ShapeError if they do not divide it.
Moments batch_norm_stats(const Tensor& x, int64_t groups = 1);
/// The tensors of kernels.h' BatchNorm.
struct NormArguments {
  Tensor mean, variance, gamma, beta;
  double epsilon = 1e-5;
  Activation activation = Activation::none;
  bool batch_statistics = true;
};
/// residual may be undefined. y takes x's memory where no one else holds it.
Tensor batch_norm_apply(Tensor x, const Tensor& residual, const NormArguments& norm);
/// The tensors of kernels.h' NormSource: a norm's input, and its result if that was made with a residual.
struct SourceArguments {
  Tensor x, y;
  NormArguments norm;
};
struct NormGradients { Tensor dx, dresidual, dgamma, dbeta; };
/// y is read only for the mask of relu, and may be undefined where it was made without a residual: x tells it then, by the same
/// operations. Where dresidual is wanted there was one: relu needs y then. dresidual is computed only if wanted. dx takes dy's memory where no one else holds it.
/// sums: of the conv2d_dx that dy is from; then dresidual is dy, and dx takes rather x's memory.
NormGradients batch_norm_bwd(Tensor x, const Tensor& y, Tensor dy, const NormArguments& norm, bool want_dresidual,
                             const Tensor& sums = {});

// --- losses
/// -log softmax(logits)[label] by row: logits [B, C], labels i64 [B] in 0..C-1 -> loss [B], and logsumexp [B].
std::pair<Tensor, Tensor> cross_entropy(const Tensor& logits, const Tensor& labels);
Tensor cross_entropy_bwd(const Tensor& logits, const Tensor& labels, const Tensor& lse, const Tensor& dloss);
/// InfoNCE's sum over a queue. Of s = scale * q keys^T, [B, K], of which only a block of keys is there at once: logsumexp
/// over the K keys, [B], and the mean of the keys weighted by softmax(s), [B, d], which is the gradient of lse by scale * q.
struct Attention { Tensor lse, mean; };
Attention attend(const Tensor& q, const Tensor& keys, double scale);

// --- updates in place; all tensors f32 or f64, of one count a slot
/// A constant_lr slot does not follow the schedule.
struct SgdParameter { Tensor parameter, gradient, momentum; double weight_decay = 0; double lr_scale = 1; bool constant_lr = false; };
struct AdamParameter { Tensor parameter, gradient, first, second; double weight_decay = 0; double lr_scale = 1; bool constant_lr = false; };
struct EmaParameter { Tensor target, source; };
/// PyTorch's SGD: g += wd * p; momentum = mu * momentum + g (dampening 0); nesterov: g += mu * momentum; p -= lr * ...
/// schedule: f64 [1] beside the parameters, a factor on the rate that is read when the kernel runs; undefined: 1.
void sgd(std::span<const SgdParameter> list, SgdStep step, const Tensor& schedule = {});
/// PyTorch's Adam; decoupled weight decay is AdamW. count: i64 [1] beside the parameters, read in step.step's place.
void adam(std::span<const AdamParameter> list, AdamStep step, const Tensor& schedule = {}, const Tensor& count = {});
void ema(std::span<const EmaParameter> list, double momentum);
/// counter, i64 [1], becomes (counter + by) mod modulo; modulo 0: it goes on without end. by, modulo >= 0.
void advance(Tensor& counter, int64_t by, int64_t modulo = 0);
/// flag, i64 [1], becomes 0 if an element of x (of a float type) is not finite, and otherwise stays.
void check_finite(const Tensor& x, Tensor& flag);
/// Sum of the squares of all elements, f64 [1], whatever the (float) types; at least one tensor, all on one device.
Tensor squared_norm(std::span<const Tensor> list);

}  // namespace plumage::ops
