// Rows of features and their checks. Next in the walk: eval/linear_probe.cpp.
#include "eval/features.h"

#include <algorithm>
#include <cmath>

#include "tensor/ops.h"

namespace plumage {
namespace {
constexpr int64_t kMostClasses = 1 << 20;
}

const std::string& Features::group(int64_t i) const {
  static const std::string none;
  return groups.empty() ? none : groups[size_t(i)];
}

std::string Features::name(int64_t i) const {
  return paths.empty() ? "picture " + std::to_string(i) : paths[size_t(i)];
}

int64_t Features::class_count() const {
  int64_t most = -1;
  for (int64_t label : labels.span<int64_t>()) most = std::max(most, label);
  return most + 1;
}

Features subset(const Features& features, const std::vector<int64_t>& positions) {
  for (int64_t p : positions) {
    if (p < 0 || p >= features.size()) {
      throw InputError(message("subset: position ", p, " of ", features.size(), " pictures"));
    }
  }
  Tensor index = Tensor::from(positions, {int64_t(positions.size())});
  Features part;
  part.v = ops::gather_rows(features.v, index);
  part.device = features.device;
  std::vector<int64_t> labels;
  for (int64_t p : positions) {
    labels.push_back(features.label(p));
    if (!features.paths.empty()) part.paths.push_back(features.paths[size_t(p)]);
    if (!features.groups.empty()) part.groups.push_back(features.groups[size_t(p)]);
  }
  part.labels = Tensor::from(labels, {int64_t(labels.size())});
  return part;
}

void check_features(const Features& features, const char* what) {
  if (features.size() == 0) throw InputError(message(what, ": no pictures to judge by"));
  int64_t n = features.size();
  if (features.v.rank() != 2)
    throw ShapeError(message(what, ": features are ", features.v.shape(), ", wanted [N, n]"));
  expect_shape(features.labels, {n}, what);
  for (const auto* list : {&features.paths, &features.groups}) {
    if (!list->empty() && int64_t(list->size()) != n) {
      throw ShapeError(message(what, ": ", list->size(), " names for ", n, " rows of features"));
    }
  }
  if (features.class_count() > kMostClasses) {
    throw InputError(message(what, ": label ", features.class_count() - 1, " is not below ", kMostClasses));
  }
  Tensor v = features.v.dtype() == DType::f64 ? features.v : ops::cast(features.v, DType::f32);
  visit_float(v.dtype(), [&](auto zero) {
    auto values = v.span<decltype(zero)>();
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::isfinite(double(values[i]))) continue;
      throw InputError(message(what, ": features of ", features.name(int64_t(i) / v.size(1)),
                               " are not finite; the encoder is broken or was trained to NaN"));
    }
  });
}

}  // namespace plumage
