// Reads tests/data/expected/views.txt and makes the picture that its script started from.
#pragma once
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "data/image.h"

namespace plumage {

inline Image pattern(int64_t width, int64_t height) {
  Image image(width, height);
  uint32_t state = 12345;
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < 3; ++c) {
        state = state * 1103515245u + 12345u;
        image.row(y)[3 * x + c] = uint8_t((state >> 16) % 128 + uint32_t(x * 5 + y * 3 + c * 40) % 128);
      }
  return image;
}

inline const std::vector<double>& expected(const std::string& name) {
  static const auto values = [] {
    std::map<std::string, std::vector<double>> out;
    std::ifstream file(PLUMAGE_SOURCE_DIR "/tests/data/expected/views.txt");
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string key;
      size_t count = 0;
      if (line.starts_with('#') || !(words >> key >> count)) continue;
      out[key].resize(count);
      for (double& value : out[key]) words >> value;
    }
    return out;
  }();
  return values.at(name);
}

}  // namespace plumage
