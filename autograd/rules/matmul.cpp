// y = op(a) op(b) + bias. With A = op(a), B = op(b):  dA = dy B^T,  dB = A^T dy, written back untransposed;  dbias is the sum
// of dy's rows, which the tape makes of dy.
#include "autograd/functions.h"
#include "autograd/tape.h"

namespace plumage {

Var matmul(const Var& a, const Var& b, bool ta, bool tb, const Var& bias) {
  Tensor y = ops::matmul(a.value(), b.value(), ta, tb, bias.value());
  return record("matmul", y, {a, b, bias}, [a = a.value(), b = b.value(), ta, tb](const Tensor& dy, Gradients& d) {
    d.add(2, dy);
    Tensor g = d.wants(0) || d.wants(1) ? ops::cast(dy, a.dtype()) : dy;  // dy is f32 where the bias is
    d.add(0, [&] { return ta ? ops::matmul(b, g, tb, true) : ops::matmul(g, b, false, !tb); });
    d.add(1, [&] { return tb ? ops::matmul(g, a, true, ta) : ops::matmul(a, g, !ta, false); });
  });
}

}  // namespace plumage
