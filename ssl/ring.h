// A ring of rows, shared by the key queue and the feature bank.
#pragma once
#include "tensor/tensor.h"

namespace plumage {

/// Writes `rows` [B, n] into `ring` [K, n] from row `first` on, in two pieces where it wraps; returns the next row to
/// write. Throws ShapeError if B > K or the rows differ in length.
int64_t write_ring(Tensor& ring, const Tensor& rows, int64_t first);

}  // namespace plumage
