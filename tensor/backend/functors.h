// The pointwise functions, one struct each, for every backend: `f` is the function, `df` its gradient. They
// compile for the host and for the device, and compute in the type that they are given (ref: double, fast:
// float). Next: tensor/backend/ref/pointwise.cpp.
#pragma once
#include <cmath>

#include "tensor/backend/kernels.h"
#include "tensor/host_device.h"

namespace plumage::functors {

// Unary: df(kept, dy) is dx, where kept is y if kKeepsOutput, else x.
// Comparisons are written so that a NaN passes on instead of becoming a zero.

struct Relu {
  static constexpr bool kKeepsOutput = true;
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T x) {
    return x <= T(0) ? T(0) : x;
  }
  template <class T>
  PLUMAGE_HOST_DEVICE static T df(T y, T dy) {
    return y <= T(0) ? T(0) : dy;
  }
};

struct Neg {
  static constexpr bool kKeepsOutput = false;
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T x) {
    return -x;
  }
  template <class T>
  PLUMAGE_HOST_DEVICE static T df(T, T dy) {
    return -dy;
  }
};

struct Exp {
  static constexpr bool kKeepsOutput = true;
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T x) {
    return std::exp(x);
  }
  template <class T>
  PLUMAGE_HOST_DEVICE static T df(T y, T dy) {
    return dy * y;
  }
};

struct Log {
  static constexpr bool kKeepsOutput = false;
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T x) {
    return std::log(x);
  }
  template <class T>
  PLUMAGE_HOST_DEVICE static T df(T x, T dy) {
    return dy / x;
  }
};

struct Sqrt {
  static constexpr bool kKeepsOutput = true;
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T x) {
    return std::sqrt(x);
  }
  template <class T>
  PLUMAGE_HOST_DEVICE static T df(T y, T dy) {
    return dy / (T(2) * y);
  }
};

struct Square {
  static constexpr bool kKeepsOutput = false;
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T x) {
    return x * x;
  }
  template <class T>
  PLUMAGE_HOST_DEVICE static T df(T x, T dy) {
    return T(2) * x * dy;
  }
};

struct Abs {
  static constexpr bool kKeepsOutput = false;
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T x) {
    return std::fabs(x);
  }
  template <class T>
  PLUMAGE_HOST_DEVICE static T df(T x, T dy) {
    return x > T(0) ? dy : x < T(0) ? -dy : x * dy;  // 0 at 0, NaN at NaN
  }
};

struct Sigmoid {
  static constexpr bool kKeepsOutput = true;
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T x) {
    return T(1) / (T(1) + std::exp(-x));
  }
  template <class T>
  PLUMAGE_HOST_DEVICE static T df(T y, T dy) {
    return dy * y * (T(1) - y);
  }
};

struct Tanh {
  static constexpr bool kKeepsOutput = true;
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T x) {
    return std::tanh(x);
  }
  template <class T>
  PLUMAGE_HOST_DEVICE static T df(T y, T dy) {
    return dy * (T(1) - y * y);
  }
};

// Binary: only f; the gradients are composed of other ops (autograd/rules/pointwise.cpp).

struct Add {
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T a, T b) {
    return a + b;
  }
};
struct Sub {
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T a, T b) {
    return a - b;
  }
};
struct Mul {
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T a, T b) {
    return a * b;
  }
};
struct Div {
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T a, T b) {
    return a / b;
  }
};
struct Maximum {
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T a, T b) {
    return a > b || a != a ? a : b;
  }
};
struct Minimum {
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T a, T b) {
    return a < b || a != a ? a : b;
  }
};
struct Less {
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T a, T b) {
    return a < b ? T(1) : T(0);
  }
};
struct ReluMask {
  template <class T>
  PLUMAGE_HOST_DEVICE static T f(T a, T b) {
    return b > T(0) ? a : T(0);
  }
};

/// Calls g with the functor of fn.
template <class G>
decltype(auto) visit(UnaryFn fn, G&& g) {
  switch (fn) {
    case UnaryFn::relu:
      return g(Relu{});
    case UnaryFn::neg:
      return g(Neg{});
    case UnaryFn::exp:
      return g(Exp{});
    case UnaryFn::log:
      return g(Log{});
    case UnaryFn::sqrt:
      return g(Sqrt{});
    case UnaryFn::square:
      return g(Square{});
    case UnaryFn::abs:
      return g(Abs{});
    case UnaryFn::sigmoid:
      return g(Sigmoid{});
    case UnaryFn::tanh:
      return g(Tanh{});
  }
  return g(Relu{});  // not reached: every enumerator is above
}

template <class G>
decltype(auto) visit(BinaryFn fn, G&& g) {
  switch (fn) {
    case BinaryFn::add:
      return g(Add{});
    case BinaryFn::sub:
      return g(Sub{});
    case BinaryFn::mul:
      return g(Mul{});
    case BinaryFn::div:
      return g(Div{});
    case BinaryFn::maximum:
      return g(Maximum{});
    case BinaryFn::minimum:
      return g(Minimum{});
    case BinaryFn::less:
      return g(Less{});
    case BinaryFn::relu_mask:
      return g(ReluMask{});
  }
  return g(Add{});  // not reached
}

/// Whether the backward of fn reads y (else x).
inline bool keeps_output(UnaryFn fn) {
  return visit(fn, [](auto functor) { return decltype(functor)::kKeepsOutput; });
}

}  // namespace plumage::functors
