// A decoded picture in memory. Next in the walk: data/decode.h, which makes one from a file.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace plumage {

/// Leaves new bytes as they are: whoever makes them writes them all.
template <class T>
struct UnfilledAllocator : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = UnfilledAllocator<U>;
  };
  template <class U, class... Args>
  void construct(U* at, Args&&... args) {
    if constexpr (sizeof...(Args) > 0) ::new (static_cast<void*>(at)) U(std::forward<Args>(args)...);
  }
};

/// Bytes of a picture.
using Pixels = std::vector<uint8_t, UnfilledAllocator<uint8_t>>;

/// RGB, one byte a channel, rows from top to bottom without padding: `rgb` has height * width * 3 bytes.
struct Image {
  int64_t width = 0, height = 0;
  Pixels rgb;

  Image() = default;
  Image(int64_t w, int64_t h) : width(w), height(h), rgb(size_t(w * h * 3), 0) {}
  /// For who writes every pixel.
  static Image unfilled(int64_t w, int64_t h) {
    Image image;
    image.width = w;
    image.height = h;
    image.rgb.resize(size_t(w * h * 3));
    return image;
  }

  uint8_t* row(int64_t y) { return rgb.data() + y * width * 3; }
  const uint8_t* row(int64_t y) const { return rgb.data() + y * width * 3; }
  bool empty() const { return rgb.empty(); }
};

}  // namespace plumage
