// Sizes of a tensor: up to five dimensions, inline, row-major. Next: tensor/tensor.h.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "tensor/errors.h"

namespace plumage {

class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;  ///< rank 0: a scalar, one element
  Shape(std::initializer_list<int64_t> sizes) {
    if (sizes.size() > kMaxRank) throw ShapeError(message("a shape has at most 5 dimensions, got ", sizes.size()));
    for (int64_t s : sizes) push_back(s);
  }

  int rank() const { return rank_; }
  /// Size of dimension i; negative i counts from the end. Throws ShapeError outside the rank.
  int64_t operator[](int i) const {
    if (i < 0) i += rank_;
    if (i < 0 || i >= rank_) throw ShapeError(message("dimension ", i, " of a shape of rank ", rank_));
    return sizes_[size_t(i)];
  }
  /// Throws ShapeError if negative or if the number of elements would overflow.
  void push_back(int64_t size);
  void set(int i, int64_t size);

  int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= sizes_[size_t(i)];
    return n;
  }
  bool operator==(const Shape& o) const {
    if (rank_ != o.rank_) return false;
    for (int i = 0; i < rank_; ++i) if (sizes_[size_t(i)] != o.sizes_[size_t(i)]) return false;
    return true;
  }
  /// "[2, 3]"
  std::string str() const;

 private:
  std::array<int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
};

inline std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << s.str(); }

/// Shape of an elementwise result of a and b by the usual rule (align right, 1 stretches). Throws ShapeError.
Shape broadcast(const Shape& a, const Shape& b, const char* op);

}  // namespace plumage
