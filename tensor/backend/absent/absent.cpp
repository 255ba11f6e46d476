// Every op of a backend that was not built: throws by name, with the build flag that brings it.
#include "tensor/backend/kernels.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

namespace plumage::absent {

#define OP(name, arguments, keeps)                                                                               \
  static void name arguments {                                                                                   \
    throw DeviceError(#name ": plumage was built without CUDA; configure with -DPLUMAGE_CUDA=ON or use the CPU"); \
  }
#include "tensor/ops.def"
#undef OP

const Kernels& kernels() {
  static const Kernels table = {
#define OP(name, arguments, keeps) .name = name,
#include "tensor/ops.def"
#undef OP
  };
  return table;
}

}  // namespace plumage::absent
