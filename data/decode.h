// Picture files into pixels: JPEG, PNG, BMP, PPM and PGM, told apart by their first bytes, never by their
// name. Next in the walk: data/dataset.h, the lists of files that are decoded.
#pragma once
#include <filesystem>
#include <span>
#include <string>

#include "data/image.h"

namespace plumage {

constexpr int64_t kMaxImageSide = 65500;  ///< pixels; libjpeg's own limit
constexpr int64_t kMaxImagePixels = int64_t(1) << 28;

/// Reads a picture as people see it: EXIF orientation applied, gray spread over three channels, alpha
/// dropped, CMYK turned to RGB, the high byte of 16-bit samples. Throws InputError naming the file: absent,
/// not a picture, truncated or damaged (what libjpeg merely warns about counts as damage where pixels are
/// lost), larger than the limits above, or a header that claims more pixels than the file can hold; sizes are
/// checked before memory is asked for.
Image decode_image(const std::filesystem::path& path);

/// The same from bytes in memory; `name` stands for the file in errors.
Image decode_image(std::span<const uint8_t> bytes, const std::string& name);

/// True for the endings of files that decode_image may read: .jpg .jpeg .png .bmp .ppm .pgm .pnm, in any
/// case.
bool has_image_ending(const std::filesystem::path& path);

}  // namespace plumage
