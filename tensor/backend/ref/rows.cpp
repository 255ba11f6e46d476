// Rows: unit length, picking by index, copying blocks.
#include <cstring>
#include <vector>

#include "tensor/backend/ref/elements.h"

namespace plumage::ref {

void l2_normalize(Context&, In x, Out y, Out norm, double epsilon) {
  auto [rows, columns] = Rows(x.shape);
  Reader in(x);
  Writer out(y), out_norm(norm);
  for (int64_t r = 0; r < rows; ++r) {
    double squares = 0;
    for (int64_t i = r * columns; i < (r + 1) * columns; ++i) squares += in[i] * in[i];
    double length = nan_max(std::sqrt(squares), epsilon);
    for (int64_t i = r * columns; i < (r + 1) * columns; ++i) out.set(i, in[i] / length);
    out_norm.set(r, length);
  }
}

void l2_normalize_bwd(Context&, In y, In norm, In dy, Out dx, double epsilon) {
  // dx = (dy - y (y . dy)) / norm; where the length was cut to epsilon it is a constant: dx = dy / epsilon
  auto [rows, columns] = Rows(y.shape);
  Reader unit(y), length(norm), g(dy);
  Writer out(dx);
  double cut = norm.dtype == DType::f64 ? epsilon : double(float(epsilon));  // as the forward stored it
  for (int64_t r = 0; r < rows; ++r) {
    double dot = 0;
    for (int64_t i = r * columns; i < (r + 1) * columns; ++i) dot += unit[i] * g[i];
    if (length[r] <= cut) dot = 0;
    for (int64_t i = r * columns; i < (r + 1) * columns; ++i) out.set(i, (g[i] - unit[i] * dot) / length[r]);
  }
}

void gather_rows(Context&, In x, In index, Out y) {
  int64_t picked = index.count();
  if (y.count() == 0) return;
  int64_t row_bytes = y.count() / picked * size_of(y.dtype);
  for (int64_t r = 0; r < picked; ++r)
    std::memcpy(y.as<char>() + r * row_bytes, x.as<char>() + index.as<int64_t>()[r] * row_bytes,
                size_t(row_bytes));
}

void scatter_add_rows(Context&, In dy, In index, Out dx) {
  std::vector<double> sums(size_t(dx.count()), 0.0);
  Reader in(dy);
  Writer out(dx);
  int64_t picked = index.count(), width = picked ? dy.count() / picked : 0;
  for (int64_t r = 0; r < picked; ++r)
    for (int64_t i = 0; i < width; ++i) sums[size_t(index.as<int64_t>()[r] * width + i)] += in[r * width + i];
  for (int64_t i = 0; i < dx.count(); ++i) out.set(i, sums[size_t(i)]);
}

void put_rows(Context&, In rows, In first, Out ring) {
  int64_t size = ring.shape[0], count = rows.shape[0];
  if (rows.count() == 0) return;
  size_t row_bytes = size_t(rows.count() / count * size_of(rows.dtype));
  for (int64_t r = 0; r < count; ++r)
    std::memcpy(ring.as<char>() + size_t((*first.as<int64_t>() + r) % size) * row_bytes, rows.as<char>() + size_t(r) * row_bytes, row_bytes);
}

void copy_block(Context&, In x, Out y, Block block) {
  int64_t size = size_of(x.dtype);
  if (block.width == 0) return;
  for (int64_t o = 0; o < block.outer; ++o)
    std::memcpy(y.as<char>() + (o * block.y_pitch + block.y_offset) * size,
                x.as<char>() + (o * block.x_pitch + block.x_offset) * size, size_t(block.width * size));
}

}  // namespace plumage::ref
