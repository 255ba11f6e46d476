// PNG and BMP by stb_image, after checks of our own: stb takes missing bytes for zeros and asks for memory by
// the header's word.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string_view>

#include "data/decoders.h"
#include "tensor/errors.h"

#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS 65500
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#pragma GCC diagnostic push
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // reading by callbacks, which is not used
#endif
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace plumage::decoders {
namespace {

uint32_t big_endian_32(const uint8_t* p) {
  return uint32_t(p[0]) << 24 | uint32_t(p[1]) << 16 | uint32_t(p[2]) << 8 | p[3];
}
uint32_t little_endian_16(const uint8_t* p) { return uint32_t(p[1]) << 8 | p[0]; }
uint32_t little_endian_32(const uint8_t* p) { return little_endian_16(p + 2) << 16 | little_endian_16(p); }

// CRC-32 of PNG, zip and ethernet.
uint32_t crc_32(Bytes bytes) {
  static const std::array<uint32_t, 256> kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t c = i;
      for (int bit = 0; bit < 8; ++bit) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
      table[i] = c;
    }
    return table;
  }();
  uint32_t crc = ~0u;
  for (uint8_t byte : bytes) crc = kTable[(crc ^ byte) & 255] ^ (crc >> 8);
  return ~crc;
}

Image decode_by_stb(Bytes bytes, const std::string& name, const char* format) {
  int width = 0, height = 0, channels = 0;
  std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(bytes.data(), int(bytes.size()), &width, &height, &channels, 3), stbi_image_free);
  if (!pixels) fail(name, message("damaged ", format, ": ", stbi_failure_reason()));
  Image image(width, height);
  std::memcpy(image.rgb.data(), pixels.get(), image.rgb.size());
  return image;
}

struct PngChunk {
  std::string_view type;
  Bytes data;
  size_t end;  // offset of the next chunk
};

// The chunk at `offset`, complete and, where pixels depend on it, with the right checksum.
PngChunk read_chunk(Bytes bytes, size_t offset, const std::string& name) {
  if (offset > bytes.size() || bytes.size() - offset < 12) fail(name, "truncated PNG: its end is missing");
  size_t length = big_endian_32(bytes.data() + offset);
  if (length > bytes.size() - offset - 12) fail(name, "truncated PNG: its end is missing");
  PngChunk chunk{{reinterpret_cast<const char*>(bytes.data()) + offset + 4, 4},
                 bytes.subspan(offset + 8, length),
                 offset + 12 + length};
  bool critical = !(chunk.type[0] & 0x20);
  if (critical &&
      crc_32(bytes.subspan(offset + 4, length + 4)) != big_endian_32(bytes.data() + chunk.end - 4)) {
    fail(name, "damaged PNG: the checksum of its " + std::string(chunk.type) + " part is wrong");
  }
  return chunk;
}

// Bits that a pixel takes, or 0 for a colour type and depth that do not go together.
int64_t png_pixel_bits(int depth, int colour_type) {
  constexpr std::array<int, 7> kChannels = {1, 0, 3, 1, 2, 0, 4};
  bool known = depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
  return known && colour_type < int(kChannels.size()) ? depth * kChannels[size_t(colour_type)] : 0;
}

}  // namespace

Image decode_png(Bytes bytes, const std::string& name) {
  constexpr size_t kSignatureBytes = 8;
  constexpr int64_t kMaxDeflateRatio = 1032;  // the most that deflate can shrink by
  PngChunk chunk = read_chunk(bytes, kSignatureBytes, name);
  if (chunk.type != "IHDR" || chunk.data.size() != 13)
    fail(name, "damaged PNG: it does not begin with a header");
  int64_t width = big_endian_32(chunk.data.data()), height = big_endian_32(chunk.data.data() + 4);
  check_size(width, height, name);
  int64_t bits = png_pixel_bits(chunk.data[8], chunk.data[9]);
  if (bits == 0) fail(name, "damaged PNG: an unknown kind of pixel");

  int64_t compressed = 0;
  int orientation = 1;
  while (chunk.type != "IEND") {
    chunk = read_chunk(bytes, chunk.end, name);
    if (chunk.type == "IDAT") compressed += int64_t(chunk.data.size());
    if (chunk.type == "eXIf") orientation = exif_orientation(chunk.data);
  }
  if (compressed * kMaxDeflateRatio < width * height * bits / 8) {
    fail(name,
         message("truncated PNG: ", compressed, " bytes cannot hold ", width, " x ", height, " pixels"));
  }
  return apply_orientation(decode_by_stb(bytes, name, "PNG"), orientation);
}

Image decode_bmp(Bytes bytes, const std::string& name) {
  constexpr size_t kHeaderBytes = 26;  // up to the depth, in the oldest form
  if (bytes.size() < kHeaderBytes + 8) fail(name, "truncated BMP: its header is incomplete");
  const uint8_t* p = bytes.data();
  bool oldest = little_endian_32(p + 14) == 12;
  int64_t width = little_endian_16(p + 18), height = little_endian_16(p + 20);
  if (!oldest) width = int32_t(little_endian_32(p + 18)), height = int32_t(little_endian_32(p + 22));
  int64_t bits = little_endian_16(p + (oldest ? 24 : 28));
  if (height < 0) height = -height;  // rows from top to bottom
  check_size(width, height, name);
  if (!std::ranges::count(std::array{1, 4, 8, 16, 24, 32}, bits))  // 0 would pass every check of size below
    fail(name, message("damaged BMP: ", bits, " bits a pixel"));
  uint32_t packing = oldest ? 0 : little_endian_32(p + 30);
  if (packing != 0 && packing != 3) fail(name, "a compressed BMP; save it uncompressed or as PNG");
  int64_t row_bytes = (width * bits + 31) / 32 * 4;
  int64_t start = little_endian_32(p + 10);
  if (start + row_bytes * height > int64_t(bytes.size())) {
    fail(name,
         message("truncated BMP: ", bytes.size(), " bytes cannot hold ", width, " x ", height, " pixels"));
  }
  return decode_by_stb(bytes, name, "BMP");
}

}  // namespace plumage::decoders
