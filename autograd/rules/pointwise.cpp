// Pointwise ops: a rule is one line. Where an input was broadcast, the tape sums its gradient back (tape.cpp).
#include "autograd/functions.h"
#include "autograd/tape.h"

namespace plumage {

Var cast(const Var& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  return record("cast", ops::cast(x.value(), dtype), {x}, [from = x.dtype()](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::cast(dy, from); });
  });
}

Var unary(UnaryFn fn, const Var& x) {
  Tensor y = ops::unary(fn, x.value());
  Tensor kept = ops::unary_keeps_output(fn) ? y : x.value();
  return record("unary", y, {x}, [fn, kept](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::unary_bwd(fn, kept, dy); });
  });
}

Var add(const Var& a, const Var& b) {
  return record("add", ops::add(a.value(), b.value()), {a, b}, [](const Tensor& dy, Gradients& d) {
    d.add(0, dy);
    d.add(1, dy);
  });
}

Var sub(const Var& a, const Var& b) {
  return record("sub", ops::sub(a.value(), b.value()), {a, b}, [](const Tensor& dy, Gradients& d) {
    d.add(0, dy);
    d.add(1, [&] { return ops::scale(dy, -1); });
  });
}

Var mul(const Var& a, const Var& b) {
  return record("mul", ops::mul(a.value(), b.value()), {a, b}, [a = a.value(), b = b.value()](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::mul(dy, b); });
    d.add(1, [&] { return ops::mul(dy, a); });
  });
}

Var div(const Var& a, const Var& b) {
  Tensor y = ops::div(a.value(), b.value());
  // y = a / b:  da = dy / b,  db = -dy * y / b
  return record("div", y, {a, b}, [y, b = b.value()](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::div(dy, b); });
    d.add(1, [&] { return ops::scale(ops::div(ops::mul(dy, y), b), -1); });
  });
}

namespace {

// take_a is 1 where y is a's element, ties included.
Var extremum(const char* op, BinaryFn fn, const Var& a, const Var& b) {
  Tensor y = ops::binary(fn, a.value(), b.value());
  return record(op, y, {a, b}, [fn, a = a.value(), b = b.value()](const Tensor& dy, Gradients& d) {
    Tensor take_b = fn == BinaryFn::maximum ? ops::binary(BinaryFn::less, a, b) : ops::binary(BinaryFn::less, b, a);
    d.add(0, [&] { return ops::mul(dy, ops::affine(take_b, -1, 1)); });
    d.add(1, [&] { return ops::mul(dy, take_b); });
  });
}

}  // namespace

Var maximum(const Var& a, const Var& b) { return extremum("maximum", BinaryFn::maximum, a, b); }
Var minimum(const Var& a, const Var& b) { return extremum("minimum", BinaryFn::minimum, a, b); }

Var affine(const Var& x, double scale, double shift) {
  return record("affine", ops::affine(x.value(), scale, shift), {x}, [scale](const Tensor& dy, Gradients& d) {
    d.add(0, [&] { return ops::scale(dy, scale); });
  });
}

}  // namespace plumage
