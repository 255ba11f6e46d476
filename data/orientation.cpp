// EXIF orientation: found in a TIFF block that nobody vouches for, and undone. Next: data/dataset.h.
#include <utility>

#include "data/decoders.h"

namespace plumage::decoders {
namespace {

// Reads 2 or 4 bytes of a TIFF block in its byte order; every read is checked against its end.
struct TiffReader {
  Bytes bytes;
  bool big_endian;

  bool holds(size_t offset, size_t count) const {
    return offset <= bytes.size() && count <= bytes.size() - offset;
  }
  uint32_t read(size_t offset, int count) const {
    uint32_t value = 0;
    for (int i = 0; i < count; ++i) {
      value = value << 8 | bytes[offset + size_t(big_endian ? i : count - 1 - i)];
    }
    return value;
  }
};

constexpr uint32_t kOrientationTag = 0x0112, kShort = 3, kLong = 4;
constexpr size_t kEntryBytes = 12;

}  // namespace

int exif_orientation(Bytes tiff) {
  if (tiff.size() < 8) return 1;
  if (!((tiff[0] == 'I' && tiff[1] == 'I') || (tiff[0] == 'M' && tiff[1] == 'M'))) return 1;
  TiffReader reader{tiff, tiff[0] == 'M'};
  if (reader.read(2, 2) != 42) return 1;
  size_t directory = reader.read(4, 4);
  if (!reader.holds(directory, 2)) return 1;
  size_t entries = reader.read(directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    size_t entry = directory + 2 + i * kEntryBytes;
    if (!reader.holds(entry, kEntryBytes)) return 1;
    if (reader.read(entry, 2) != kOrientationTag) continue;
    uint32_t type = reader.read(entry + 2, 2);
    if (type != kShort && type != kLong) return 1;
    uint32_t value = reader.read(entry + 8, type == kShort ? 2 : 4);
    return value >= 1 && value <= 8 ? int(value) : 1;
  }
  return 1;
}

Image apply_orientation(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  bool transposed = orientation >= 5;
  // Whether columns and rows of the stored picture run against those of the upright one.
  bool against_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  bool against_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image upright = transposed ? Image::unfilled(image.height, image.width) : Image::unfilled(image.width, image.height);
  for (int64_t y = 0; y < upright.height; ++y) {
    uint8_t* out = upright.row(y);
    for (int64_t x = 0; x < upright.width; ++x, out += 3) {
      int64_t from_x = transposed ? y : x, from_y = transposed ? x : y;
      if (against_x) from_x = image.width - 1 - from_x;
      if (against_y) from_y = image.height - 1 - from_y;
      const uint8_t* in = image.row(from_y) + from_x * 3;
      for (int c = 0; c < 3; ++c) out[c] = in[c];
    }
  }
  return upright;
}

}  // namespace plumage::decoders
