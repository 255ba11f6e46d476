// The kernel table of the cuda backend. An op without a kernel here does not link.
#include "tensor/backend/cuda/ops.h"

namespace plumage::cuda {

const Kernels& kernels() {
  static const Kernels table = {
#define OP(name, arguments, keeps) name,
#include "tensor/ops.def"
#undef OP
  };
  return table;
}

}  // namespace plumage::cuda
