// The walk over a shape together with the elements of smaller shapes that broadcast to it.
#pragma once
#include <array>

#include "tensor/shape.h"

namespace plumage::ref {

inline constexpr int kDims = Shape::kMaxRank;

/// Sizes of `shape`, aligned right, padded on the left by 1.
inline std::array<int64_t, kDims> padded(const Shape& shape) {
  std::array<int64_t, kDims> sizes;
  sizes.fill(1);
  for (int i = 0; i < shape.rank(); ++i) sizes[size_t(kDims - shape.rank() + i)] = shape[i];
  return sizes;
}

/// Steps of each dimension in a dense tensor of `shape`; 0 where its size is 1, so that it stretches.
inline std::array<int64_t, kDims> stretching_steps(const Shape& shape) {
  auto sizes = padded(shape);
  std::array<int64_t, kDims> steps;
  int64_t step = 1;
  for (int i = kDims - 1; i >= 0; --i) {
    steps[size_t(i)] = sizes[size_t(i)] == 1 ? 0 : step;
    step *= sizes[size_t(i)];
  }
  return steps;
}

/// Calls g(i, ia, ib) for each element i of `shape` in order, with the elements of a and b that stretch to
/// it.
template <class G>
void walk(const Shape& shape, const Shape& a, const Shape& b, G&& g) {
  auto n = padded(shape), sa = stretching_steps(a), sb = stretching_steps(b);
  int64_t i = 0;
  for (int64_t i0 = 0; i0 < n[0]; ++i0)
    for (int64_t i1 = 0; i1 < n[1]; ++i1)
      for (int64_t i2 = 0; i2 < n[2]; ++i2)
        for (int64_t i3 = 0; i3 < n[3]; ++i3)
          for (int64_t i4 = 0; i4 < n[4]; ++i4, ++i)
            g(i, i0 * sa[0] + i1 * sa[1] + i2 * sa[2] + i3 * sa[3] + i4 * sa[4],
              i0 * sb[0] + i1 * sb[1] + i2 * sb[2] + i3 * sb[3] + i4 * sb[4]);
}

}  // namespace plumage::ref
