#include "tensor/shape.h"

#include <algorithm>
#include <limits>

namespace plumage {

namespace {
void check_size(int64_t size, int64_t others) {
  if (size < 0) throw ShapeError(message("a size cannot be negative, got ", size));
  if (others > 0 && size > std::numeric_limits<int64_t>::max() / 16 / others)
    throw ShapeError(message("a tensor of ", others, " x ", size, " elements does not fit any memory"));
}
}  // namespace

void Shape::push_back(int64_t size) {
  if (rank_ == kMaxRank) throw ShapeError("a shape has at most 5 dimensions");
  check_size(size, std::max<int64_t>(1, count()));
  sizes_[size_t(rank_++)] = size;
}

void Shape::set(int i, int64_t size) {
  if (i < 0) i += rank_;
  if (i < 0 || i >= rank_) throw ShapeError(message("dimension ", i, " of a shape of rank ", rank_));
  sizes_[size_t(i)] = 1;
  check_size(size, std::max<int64_t>(1, count()));
  sizes_[size_t(i)] = size;
}

std::string Shape::str() const {
  std::string s = "[";
  for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string(sizes_[size_t(i)]);
  return s + "]";
}

Shape broadcast(const Shape& a, const Shape& b, const char* op) {
  Shape y;
  int rank = std::max(a.rank(), b.rank());
  for (int i = 0; i < rank; ++i) {
    int ia = i - (rank - a.rank()), ib = i - (rank - b.rank());
    int64_t sa = ia < 0 ? 1 : a[ia], sb = ib < 0 ? 1 : b[ib];
    if (sa != sb && sa != 1 && sb != 1)
      throw ShapeError(message(op, ": shapes ", a.str(), " and ", b.str(), " do not broadcast"));
    y.push_back(sa == 1 ? sb : sa);
  }
  return y;
}

}  // namespace plumage
