// Features whose similarities can be read off: with one column and a query of 1, the gallery's values are the
// similarities themselves.
#pragma once
#include <cmath>
#include <vector>

#include "eval/features.h"
#include "tensor/ops.h"

namespace plumage::test {

inline Features features(const std::vector<float>& values, int64_t columns,
                         const std::vector<int64_t>& labels, std::vector<std::string> groups = {}) {
  Features f;
  f.v = Tensor::from(values, {int64_t(labels.size()), columns});
  f.labels = Tensor::from(labels, {int64_t(labels.size())});
  f.groups = std::move(groups);
  return f;
}

/// Rows by a formula that an independent program can repeat: sin(1.3 i + 2.1 j + 0.7 i j), labels i mod
/// classes.
inline Features formula_features(int64_t rows, int64_t columns, int64_t classes, DType dtype = DType::f32) {
  std::vector<double> v;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < rows; ++i) {
    labels.push_back(i % classes);
    for (int64_t j = 0; j < columns; ++j)
      v.push_back(std::sin(1.3 * double(i) + 2.1 * double(j) + 0.7 * double(i * j)));
  }
  Features f;
  f.v = ops::cast(Tensor::from(v, {rows, columns}), dtype);
  f.labels = Tensor::from(labels, {rows});
  return f;
}

}  // namespace plumage::test
