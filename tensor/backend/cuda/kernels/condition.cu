// One thread that tells a graph whether to go on.
#include "tensor/backend/cuda/condition.h"

#if CUDART_VERSION >= 12040
#include "tensor/backend/cuda/device_code.h"
#include "tensor/backend/cuda/launch.h"

namespace plumage::cuda {
namespace {

__global__ void condition_kernel(cudaGraphConditionalHandle condition, const int64_t* flag) {
  cudaGraphSetConditional(condition, *flag != 0);
}

}  // namespace

void set_condition(Context& context, cudaGraphConditionalHandle condition, const int64_t* flag) {
  launch(condition_kernel, 1, 1, 0, stream(context), condition, flag);
}

}  // namespace plumage::cuda
#endif
