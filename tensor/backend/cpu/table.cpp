// The cpu backend: the plain definitions, with the ops of fast.def replaced by fast kernels.
#include "tensor/backend/kernels.h"

namespace plumage::cpu {

const Kernels& kernels() {
  static const Kernels table = ref::kernels();
  return table;
}

std::string_view strategy(Op) { return "ref"; }

}  // namespace plumage::cpu
