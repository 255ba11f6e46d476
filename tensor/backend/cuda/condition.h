// Where a graph's condition comes from: a number in the device's memory. For tensor/backend/cuda/recording.cpp.
#pragma once
#include "tensor/backend/cuda/device.h"

#if CUDART_VERSION >= 12040  // older toolkits have graphs without conditions
namespace plumage::cuda {
/// The condition holds if *flag is not 0 when the queue comes to it. Only while a step is captured.
void set_condition(Context& context, cudaGraphConditionalHandle condition, const int64_t* flag);
}  // namespace plumage::cuda
#endif
