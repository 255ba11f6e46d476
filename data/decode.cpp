// Which decoder a file goes to, and how it gets into memory. Next: data/decode_jpeg.cpp.
#include "data/decode.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <climits>
#include <cstring>
#include <fstream>
#include <string_view>

#include "data/decoders.h"
#include "tensor/errors.h"

namespace plumage {
namespace decoders {

void fail(const std::string& name, const std::string& what) { throw InputError(name + ": " + what); }

void check_size(int64_t width, int64_t height, const std::string& name) {
  if (width < 1 || height < 1 || width > kMaxImageSide || height > kMaxImageSide ||
      width * height > kMaxImagePixels) {
    fail(name, message("a picture of ", width, " x ", height, " pixels; sides of 1 to ", kMaxImageSide,
                       " and at most ", kMaxImagePixels, " pixels are read"));
  }
}

}  // namespace decoders

namespace {

Pixels read_file(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) decoders::fail(path.string(), "no such file");
  if (!std::filesystem::is_regular_file(status)) decoders::fail(path.string(), "not a file");
  std::ifstream in(path, std::ios::binary);
  uintmax_t size = std::filesystem::file_size(path, error);
  if (!in || error) decoders::fail(path.string(), "cannot be opened for reading");
  if (size > uintmax_t(INT_MAX)) decoders::fail(path.string(), "larger than 2 GiB; no picture is");
  Pixels bytes(size);
  if (!in.read(reinterpret_cast<char*>(bytes.data()), std::streamsize(size))) {
    decoders::fail(path.string(), "reading failed");
  }
  return bytes;
}

bool begins_with(std::span<const uint8_t> bytes, std::string_view signature) {
  return bytes.size() >= signature.size() &&
         std::memcmp(bytes.data(), signature.data(), signature.size()) == 0;
}

}  // namespace

Image decode_image(std::span<const uint8_t> bytes, const std::string& name) {
  if (bytes.empty()) decoders::fail(name, "empty file");
  if (begins_with(bytes, "\xff\xd8")) return decoders::decode_jpeg(bytes, name);
  if (begins_with(bytes, "\x89PNG\r\n\x1a\n")) return decoders::decode_png(bytes, name);
  if (begins_with(bytes, "BM")) return decoders::decode_bmp(bytes, name);
  for (std::string_view signature : {"P2", "P3", "P5", "P6"}) {
    if (begins_with(bytes, signature)) return decoders::decode_pnm(bytes, name);
  }
  decoders::fail(name, "not a picture that can be read (JPEG, PNG, BMP, PPM or PGM)");
}

Image decode_image(const std::filesystem::path& path) { return decode_image(read_file(path), path.string()); }

bool has_image_ending(const std::filesystem::path& path) {
  static constexpr std::array<std::string_view, 7> kEndings = {".jpg", ".jpeg", ".png", ".bmp",
                                                               ".ppm", ".pgm",  ".pnm"};
  std::string ending = path.extension().string();
  for (char& c : ending) c = char(std::tolower(static_cast<unsigned char>(c)));
  return std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end();
}

}  // namespace plumage
