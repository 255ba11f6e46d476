// y = op(a) op(b). With A = op(a), B = op(b):  dA = dy B^T,  dB = A^T dy, written back untransposed.
#include "autograd/functions.h"
#include "autograd/tape.h"

namespace plumage {

Var matmul(const Var& a, const Var& b, bool ta, bool tb) {
  Tensor y = ops::matmul(a.value(), b.value(), ta, tb);
  return record("matmul", y, {a, b}, [a = a.value(), b = b.value(), ta, tb](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ta ? ops::matmul(b, dy, tb, true) : ops::matmul(dy, b, false, !tb); });
    d.add(1, [&] { return tb ? ops::matmul(dy, a, true, ta) : ops::matmul(a, dy, !ta, false); });
  });
}

}  // namespace plumage
