// Convolution through matrix products, for builds without oneDNN and for shapes of which it makes its reference loops.
#pragma once
#include "tensor/backend/cpu/parallel.h"

namespace plumage::cpu::im2col {

void conv2d(Context& context, In x, In w, Out y, Window window);
void conv2d_dx(Context& context, In dy, In w, Out dx, Window window);
void conv2d_dw(Context& context, In x, In dy, Out dw, Window window);

}  // namespace plumage::cpu::im2col
