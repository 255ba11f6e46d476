// The shape that a pointwise op with broadcasting walks over: as few dimensions as it takes.
#pragma once
#include "tensor/shape.h"

namespace plumage {

/// y's shape with neighbouring dimensions joined where a and b both run on, or both stand still.
struct Joined {
  struct Dimension {
    int64_t size, a_step, b_step;
  };                                           ///< steps in elements; 0: stretched
  Dimension dimensions[Shape::kMaxRank] = {};  // no std::array: kernels take it as an argument
  int rank = 0;

  Joined(const Shape& y, const Shape& a, const Shape& b) {
    int64_t a_step = 1, b_step = 1;
    Dimension reversed[Shape::kMaxRank] = {};
    for (int i = 1; i <= y.rank(); ++i) {
      int64_t size = y[-i], in_a = i <= a.rank() ? a[-i] : 1, in_b = i <= b.rank() ? b[-i] : 1;
      if (size == 1) continue;
      Dimension d{size, in_a == 1 ? 0 : a_step, in_b == 1 ? 0 : b_step};
      a_step *= in_a;
      b_step *= in_b;
      if (rank > 0) {
        Dimension& last = reversed[rank - 1];
        bool joins_a = d.a_step == last.a_step * (last.a_step ? last.size : 0);
        bool joins_b = d.b_step == last.b_step * (last.b_step ? last.size : 0);
        if (joins_a && joins_b && (d.a_step != 0) == (last.a_step != 0) &&
            (d.b_step != 0) == (last.b_step != 0)) {
          last.size *= size;
          continue;
        }
      }
      reversed[rank++] = d;
    }
    if (rank == 0) reversed[rank++] = {1, 1, 1};
    for (int i = 0; i < rank; ++i) dimensions[i] = reversed[rank - 1 - i];
  }
  /// The last dimension: its steps are 1 or 0.
  const Dimension& inner() const { return dimensions[rank - 1]; }
};

}  // namespace plumage
