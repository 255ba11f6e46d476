// The cuda backend's declaration of every op of tensor/ops.def, and the table of them.
#pragma once
#include "tensor/backend/kernels.h"

namespace plumage::cuda {
#define OP(name, arguments, keeps) void name arguments;
#include "tensor/ops.def"
#undef OP

const Kernels& kernels();
}  // namespace plumage::cuda
