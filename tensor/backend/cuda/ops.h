// The cuda backend's declaration of every op of tensor/ops.def: one left out does not link.
#pragma once
#include "tensor/backend/kernels.h"

namespace plumage::cuda {
#define OP(name, arguments, keeps) void name arguments;
#include "tensor/ops.def"
#undef OP
}  // namespace plumage::cuda
