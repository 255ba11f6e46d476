// The cpu backend: the plain definitions, with the ops of fast.def replaced by fast kernels.
#include "tensor/backend/kernels.h"

namespace plumage::cpu {

#define OP(name, arguments, keeps) void name arguments;  // only those of fast.def are defined
#include "tensor/ops.def"
#undef OP
bool sees_upsampled(const Shape& w, const Shape& y, const Window& window, DType type);  // conv.cpp
bool sums_gradient(const Shape& w, const Shape& dy, const Window& window, DType type);   // conv.cpp

const Kernels& kernels() {
  static const Kernels table = [] {
    Kernels k = ref::kernels();
#define FAST(op, strategy) k.op = &cpu::op;
#include "tensor/backend/cpu/fast.def"
#undef FAST
    k.sees_upsampled = &cpu::sees_upsampled;
    k.sums_gradient = &cpu::sums_gradient;
    return k;
  }();
  return table;
}

std::string_view strategy(Op op) {
  switch (op) {
#define FAST(op, strategy) \
  case Op::op:             \
    return strategy;
#include "tensor/backend/cpu/fast.def"
#undef FAST
    default:
      return "ref";
  }
}

}  // namespace plumage::cpu
