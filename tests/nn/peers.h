// Values that PyTorch computed: small ones in tests/nn/expected, and the bundle's peers/expected where it is
// there. Both name their tensors alike, in PyTorch's layouts.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "nn/weights/safetensors.h"
#include "nn/weights/state.h"
#include "tests/data/bundle.h"

namespace plumage::test {

/// Named tensors; in_memory(name) has images and filters in plumage's layouts.
struct Values {
  std::map<std::string, Tensor> tensors;
  bool has(const std::string& name) const { return tensors.contains(name); }
  const Tensor& file_layout(const std::string& name) const {
    auto found = tensors.find(name);
    REQUIRE_MESSAGE(found != tensors.end(), name);
    return found->second;
  }
  Tensor operator()(const std::string& name) const {
    const Tensor& t = file_layout(name);
    return t.rank() == 4 ? from_oihw(t) : t;  // NCHW -> NHWC is the same permutation
  }
  /// Those under "prefix.", with the prefix cut off.
  std::map<std::string, Tensor> under(const std::string& prefix) const {
    std::map<std::string, Tensor> part;
    for (const auto& [name, t] : tensors)
      if (name.starts_with(prefix + ".")) part[name.substr(prefix.size() + 1)] = t;
    return part;
  }
};

inline Values committed(const std::string& file) {
  return {read_safetensors(std::string(PLUMAGE_SOURCE_DIR) + "/tests/nn/expected/" + file).tensors};
}

/// The bundle's file, or nothing, with the reason printed.
inline std::vector<Values> peers(const std::string& file) {
  auto folder = bundle("peers/expected");
  if (!std::filesystem::exists(folder / file)) {
    MESSAGE("skipped: no peers/expected/" << file << " in the test data (PLUMAGE_TEST_DATA)");
    return {};
  }
  return {Values{read_safetensors(folder / file).tensors}};
}

/// Both sources.
inline std::vector<Values> committed_and_peers(const std::string& file) {
  std::vector<Values> all = peers(file);
  all.insert(all.begin(), committed(file));
  return all;
}

/// Largest |a - b|, relative to the largest |b| or 1. NaN if either holds one; infinite if sizes differ.
inline double difference(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined() || !(a.shape() == b.shape())) return INFINITY;
  std::vector<double> x = a.to_vector(), y = b.to_vector();
  double worst = 0, size = 1;
  for (size_t i = 0; i < x.size(); ++i) {
    double d = x[i] == y[i] ? 0 : std::abs(x[i] - y[i]);
    if (std::isnan(d) || std::isnan(worst))
      worst = NAN;
    else
      worst = std::max(worst, d);
    size = std::max(size, std::abs(y[i]));
  }
  return worst / size;
}

}  // namespace plumage::test

/// NaN fails.
#define CHECK_CLOSE(a, b, tolerance)                                               \
  do {                                                                             \
    double difference_ = plumage::test::difference(a, b);                          \
    CHECK_MESSAGE(!!(difference_ <= (tolerance)), #a " differs by ", difference_); \
  } while (false)
