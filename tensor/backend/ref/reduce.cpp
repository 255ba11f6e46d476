// Sums, maxima and sorting by row, and the gradient of picking elements out of a row.
#include <algorithm>
#include <numeric>
#include <vector>

#include "tensor/backend/ref/broadcast.h"
#include "tensor/backend/ref/elements.h"

namespace plumage::ref {

void sum_to(Context&, In x, Out y) {
  Reader in(x);
  Writer out(y);
  std::vector<double> sums(size_t(y.count()), 0.0);
  walk(x.shape, y.shape, Shape{}, [&](int64_t i, int64_t iy, int64_t) { sums[size_t(iy)] += in[i]; });
  for (int64_t i = 0; i < y.count(); ++i) out.set(i, sums[size_t(i)]);
}

void max_last(Context&, In x, Out y, Out index) {
  auto [rows, columns] = Rows(x.shape);
  Reader in(x);
  Writer out(y);
  for (int64_t r = 0; r < rows; ++r) {
    int64_t best = 0;
    for (int64_t c = 1; c < columns; ++c) {
      double v = in[r * columns + c], m = in[r * columns + best];
      if (v > m || (std::isnan(v) && !std::isnan(m))) best = c;
    }
    out.set(r, in[r * columns + best]);
    index.as<int64_t>()[r] = best;
  }
}

void top_k(Context&, In x, Out values, Out index, bool largest) {
  auto [rows, columns] = Rows(x.shape);
  int64_t k = Rows(values.shape).columns;
  Reader in(x);
  Writer out(values);
  std::vector<int64_t> order(static_cast<size_t>(columns));
  for (int64_t r = 0; r < rows; ++r) {
    int64_t row = r * columns;
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
      double a = in[row + i], b = in[row + j];
      if (std::isnan(a) || std::isnan(b)) return !std::isnan(a) && std::isnan(b);
      return largest ? a > b : a < b;
    });
    for (int64_t i = 0; i < k; ++i) {
      out.set(r * k + i, in[row + order[size_t(i)]]);
      index.as<int64_t>()[r * k + i] = order[size_t(i)];
    }
  }
}

void put_last(Context&, In dy, In index, Out dx) {
  auto [rows, columns] = Rows(dx.shape);
  int64_t k = rows ? dy.count() / rows : 0;
  Reader in(dy);
  Writer out(dx);
  std::vector<double> sums(static_cast<size_t>(columns));
  for (int64_t r = 0; r < rows; ++r) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (int64_t i = r * k; i < (r + 1) * k; ++i) sums[size_t(index.as<int64_t>()[i])] += in[i];
    for (int64_t c = 0; c < columns; ++c) out.set(r * columns + c, sums[size_t(c)]);
  }
}

}  // namespace plumage::ref
