// Numbers that PyTorch worked out from the paper's text (expected/equations.py), and how tests compare with them.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "nn/weights/safetensors.h"

namespace plumage::test {

/// The numbers under a name of expected/equations.txt.
inline const std::vector<double>& expected(const std::string& name) {
  static const auto values = [] {
    std::map<std::string, std::vector<double>> out;
    std::ifstream file(PLUMAGE_SOURCE_DIR "/tests/ssl/expected/equations.txt");
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string key;
      size_t count = 0;
      if (!(words >> key >> count)) continue;
      out[key].resize(count);
      for (double& value : out[key]) words >> value;
    }
    return out;
  }();
  return values.at(name);
}

inline Tensor expected(const std::string& name, const Shape& shape) { return Tensor::from(expected(name), shape); }

/// Largest difference, relative to 1 + the largest value; NaN where sizes differ or a number is not finite.
inline double difference(const std::vector<double>& got, const std::vector<double>& wanted) {
  if (got.size() != wanted.size() || got.empty()) return NAN;
  double size = 1, error = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (!std::isfinite(got[i]) || !std::isfinite(wanted[i])) return NAN;
    size = std::max(size, std::abs(wanted[i]));
    error = std::max(error, std::abs(got[i] - wanted[i]));
  }
  return error / size;
}

inline void check_close(const Tensor& got, const std::vector<double>& wanted, double tolerance = 1e-12) {
  REQUIRE(got.defined());
  double error = difference(got.to_vector(), wanted);
  CHECK_FALSE(!(error <= tolerance));
}

/// PyTorch's values from the test bundle, or nothing, with the reason printed.
inline std::map<std::string, Tensor> bundle_values(const std::string& name) {
  const char* root = std::getenv("PLUMAGE_TEST_DATA");
  std::filesystem::path path = root ? root : std::filesystem::path(PLUMAGE_SOURCE_DIR) / "../shared/data";
  path = path / "peers/expected" / name;
  if (std::filesystem::exists(path)) return read_safetensors(path).tensors;
  MESSAGE("skipped: no ", path.string(), " (PLUMAGE_TEST_DATA)");
  return {};
}

/// [r, c] -> [c, r]
inline Tensor transposed(const Tensor& x) {
  std::vector<double> in = x.to_vector(), out(in.size());
  size_t rows = size_t(x.size(0)), columns = size_t(x.size(1));
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < columns; ++j) out[j * rows + i] = in[i * columns + j];
  return Tensor::from(out, {x.size(1), x.size(0)});
}

}  // namespace plumage::test
