// The formats behind decode_image, one file each. Each takes bytes that begin with its signature.
#pragma once
#include <span>
#include <string>

#include "data/decode.h"

namespace plumage::decoders {

using Bytes = std::span<const uint8_t>;

Image decode_jpeg(Bytes bytes, const std::string& name);
Image decode_png(Bytes bytes, const std::string& name);
Image decode_bmp(Bytes bytes, const std::string& name);
Image decode_pnm(Bytes bytes, const std::string& name);  ///< P2, P3, P5, P6; one or two bytes a sample

/// Throws InputError naming the file.
[[noreturn]] void fail(const std::string& name, const std::string& what);

/// Throws InputError unless both sides are 1 .. kMaxImageSide and the picture has at most kMaxImagePixels.
void check_size(int64_t width, int64_t height, const std::string& name);

/// The orientation (1 to 8) that a TIFF-structured EXIF block states; 1 if it states none or makes no sense.
int exif_orientation(Bytes tiff);

/// The picture turned and mirrored so that orientation `orientation` looks upright.
Image apply_orientation(Image image, int orientation);

}  // namespace plumage::decoders
