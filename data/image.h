// A decoded picture in memory. Next in the walk: data/decode.h, which makes one from a file.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace plumage {

/// RGB, one byte a channel, rows from top to bottom without padding: `rgb` has height * width * 3 bytes.
struct Image {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> rgb;

  Image() = default;
  Image(int64_t w, int64_t h) : width(w), height(h), rgb(size_t(w * h * 3)) {}

  uint8_t* row(int64_t y) { return rgb.data() + y * width * 3; }
  const uint8_t* row(int64_t y) const { return rgb.data() + y * width * 3; }
  bool empty() const { return rgb.empty(); }
};

}  // namespace plumage
