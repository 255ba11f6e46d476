// Decoding against hand-made files and against what Pillow shows of real ones.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <cmath>
#include <set>
#include <sstream>

#include "data/decode.h"
#include "data/decoders.h"
#include "tensor/errors.h"
#include "tests/data/bundle.h"

namespace plumage {
namespace {

using test::contains;
using test::thrown;

std::vector<uint8_t> from_hex(const std::string& hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(uint8_t(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

Image decode(const std::string& bytes) {
  return decode_image({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "FILE");
}

std::string complaint(const std::string& bytes) {
  return thrown<InputError>([&] { decode(bytes); });
}

// Two pixels, (1, 2, 3) and (250, 128, 7), as Pillow writes them.
const char* kPng =
    "89504e470d0a1a0a0000000d49484452000000020000000108020000007b40e8dd0000000f49444154789c63646462fe59c70200"
    "0415"
    "01833d7754cc0000000049454e44ae426082";
const char* kBmp =
    "424d3e0000000000000036000000280000000200000001000000010018000000000008000000c40e0000c40e0000000000000000"
    "0000"
    "0302010780fa0000";
// 8 x 8, all 77.
const char* kJpeg =
    "ffd8ffe000104a46494600010100000100010000ffdb0043000806060706050807070709"
    "09080a0c140d0c0b0b0c1912130f141d1a1f1e1d1a1c1c20242e2720222c231c1c2837292c30313434341f27393d38323c2e3334"
    "32ff"
    "c0000b080008000801011100ffc40014000100000000000000000000000000000006ffc400141001000000000000000000000000"
    "0000"
    "0000ffda0008010100003f0018ffd9";

// KiB that the process ever had.
long most_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

const Pixels kTwoPixels = {1, 2, 3, 250, 128, 7};

}  // namespace

TEST_CASE("decode: PNG, BMP and the four PPM kinds give the same two pixels") {
  for (const char* hex : {kPng, kBmp}) CHECK(decode_image(from_hex(hex), "FILE").rgb == kTwoPixels);
  CHECK(decode(std::string("P6\n2 1\n255\n\x01\x02\x03\xfa\x80\x07", 17)).rgb == kTwoPixels);
  CHECK(decode("P3 # text\n2 # wide\n1\n255 1 2 3\n250 128\t7").rgb == kTwoPixels);
  CHECK(decode("P2 1 1 4 9").rgb == Pixels{255, 255, 255});  // beyond its own maximum
  std::vector<uint8_t> downwards = from_hex(kBmp);
  for (int i = 22; i < 26; ++i) downwards[size_t(i)] = 0xff;  // a height of -1
  CHECK(decode_image(downwards, "FILE").rgb == kTwoPixels);
  CHECK(decode("P2 2 1 4 0 3").rgb == Pixels{0, 0, 0, 191, 191, 191});  // 3 / 4 of 255
  CHECK(decode(std::string("P5 1 1 65535 \x80\xff", 15)).rgb == Pixels{128, 128, 128});
  Image png = decode_image(from_hex(kPng), "FILE");
  CHECK(png.width == 2);
  CHECK(png.height == 1);
}

TEST_CASE("decode: JPEG, or one line that says how to get it") {
  std::vector<uint8_t> jpeg = from_hex(kJpeg);
#if PLUMAGE_HAS_JPEG
  Image image = decode_image(jpeg, "FILE");
  CHECK(image.rgb == Pixels(8 * 8 * 3, 77));
  jpeg.erase(jpeg.end() - 6, jpeg.end());
  CHECK(
      contains(thrown<InputError>([&] { decode_image(jpeg, "FILE"); }), "FILE: damaged JPEG: Premature end"));
#else
  CHECK(contains(thrown<InputError>([&] { decode_image(jpeg, "FILE"); }), "PLUMAGE_JPEG=ON"));
#endif
}

TEST_CASE("decode: what is wrong is said in one line with the file's name") {
  CHECK(complaint("") == "FILE: empty file");
  CHECK(contains(complaint("this is not a picture"), "FILE: not a picture"));
  CHECK(contains(complaint("P6 0 5 255 "), "FILE: a picture of 0 x 5 pixels"));
  CHECK(contains(complaint("P6 65000 65000 255 "), "65000 x 65000"));
  CHECK(contains(complaint("P6 16000 16000 255 "), "need 768000000 bytes, 0 are there"));
  CHECK(contains(complaint("P3 1000 1000 255 1 2 3"), "truncated PPM"));
  CHECK(contains(complaint("P6 99999999999999999999 1 255 "), "width is out of range"));
  CHECK(contains(complaint("P3 1 1 255 1 2 x"), "no number"));
  CHECK(contains(complaint("P6"), "truncated PPM"));
  CHECK(contains(thrown<InputError>([] { decode_image(std::filesystem::path("/no/such.png")); }),
                 "/no/such.png"));
  CHECK(contains(thrown<InputError>([] { decode_image(std::filesystem::temp_directory_path()); }),
                 "not a file"));

  std::vector<uint8_t> png = from_hex(kPng);
  png[45] ^= 1;  // inside the pixels
  CHECK(contains(thrown<InputError>([&] { decode_image(png, "FILE"); }), "checksum of its IDAT"));
  png = from_hex(  // 16000 x 16000 pixels in twelve bytes, every checksum right
      "89504e470d0a1a0a0000000d4948445200003e8000003e800802000000ce1c4889"
      "0000000c49444154789c6360200e000000280001355472840000000049454e44ae426082");
  CHECK(contains(thrown<InputError>([&] { decode_image(png, "FILE"); }), "12 bytes cannot hold 16000 x 16000"));
  std::vector<uint8_t> bmp = from_hex(kBmp);
  bmp[19] = 0x40;  // 16386 pixels wide
  CHECK(contains(thrown<InputError>([&] { decode_image(bmp, "FILE"); }), "truncated BMP"));
  bmp[23] = 0x20, bmp[28] = 0;  // 16386 x 8193 pixels of no bits, which take no bytes
  CHECK(contains(thrown<InputError>([&] { decode_image(bmp, "FILE"); }), "damaged BMP: 0 bits a pixel"));
#if PLUMAGE_HAS_JPEG
  // An arithmetically coded picture of 16000 x 16000 pixels with no data at all.
  std::vector<uint8_t> jpeg = from_hex("ffd8ffc9000b083e803e8001011100ffda0008010100003f00ffd9");
  CHECK(contains(thrown<InputError>([&] { decode_image(jpeg, "FILE"); }), "27 bytes cannot hold 16000 x 16000 pixels"));
#endif
}

TEST_CASE("decode: every cut and many flipped bits of a small file end in a picture or an InputError") {
  for (const char* hex : {kPng, kBmp, kJpeg}) {
    std::vector<uint8_t> sound = from_hex(hex);
    for (size_t i = 0; i < sound.size(); ++i) {
      std::vector<uint8_t> cut(sound.begin(), sound.begin() + long(i));
      CHECK_THROWS_AS(decode_image(cut, "FILE"), InputError);
      for (uint8_t flip : {0x01, 0x10, 0x80, 0xff}) {
        std::vector<uint8_t> broken = sound;
        broken[i] ^= flip;
        try {
          Image image = decode_image(broken, "FILE");
          CHECK(int64_t(image.rgb.size()) == image.width * image.height * 3);
        } catch (const InputError&) {
        }
      }
    }
  }
}

TEST_CASE("decode: EXIF orientation is found in either byte order and never trusted") {
  using decoders::exif_orientation;
  // Header, one entry: tag 0x0112, type short, count 1, value 6.
  std::vector<uint8_t> little = from_hex(
      "49492a0008000000"
      "0100"
      "1201030001000000"
      "06000000"
      "00000000");
  std::vector<uint8_t> big = from_hex(
      "4d4d002a00000008"
      "0001"
      "0112000300000001"
      "00060000"
      "00000000");
  CHECK(exif_orientation(little) == 6);
  CHECK(exif_orientation(big) == 6);
  std::vector<uint8_t> wide = big;  // as a number of four bytes
  wide[13] = 4, wide[19] = 0, wide[21] = 6;
  CHECK(exif_orientation(wide) == 6);
  for (size_t i = 0; i < 22; ++i) CHECK(exif_orientation({little.data(), i}) == 1);
  little[4] = 0xff, little[7] = 0xff;  // a directory far outside
  CHECK(exif_orientation(little) == 1);
  big[19] = 9;  // no such orientation
  CHECK(exif_orientation(big) == 1);
}

TEST_CASE("decode: the eight orientations turn a 3 x 2 picture as the EXIF standard draws them") {
  // Stored:  1 2 3      What the standard says of the stored picture's row 0 and column 0:
  //          4 5 6      1 top, left; 2 top, right; 3 bottom, right; 4 bottom, left; 5 left, top; 6 right,
  //          top; ...
  Image stored(3, 2);
  for (size_t i = 0; i < 6; ++i) stored.rgb[i * 3] = uint8_t(i + 1);
  const std::vector<std::vector<int>> upright = {{1, 2, 3, 4, 5, 6}, {3, 2, 1, 6, 5, 4}, {6, 5, 4, 3, 2, 1},
                                                 {4, 5, 6, 1, 2, 3}, {1, 4, 2, 5, 3, 6}, {4, 1, 5, 2, 6, 3},
                                                 {6, 3, 5, 2, 4, 1}, {3, 6, 2, 5, 1, 4}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    CAPTURE(orientation);
    Image turned = decoders::apply_orientation(stored, orientation);
    CHECK(turned.width == (orientation < 5 ? 3 : 2));
    CHECK(turned.height == (orientation < 5 ? 2 : 3));
    std::vector<int> seen;
    for (size_t i = 0; i < 6; ++i) seen.push_back(turned.rgb[i * 3]);
    CHECK(seen == upright[size_t(orientation - 1)]);
  }
}

TEST_CASE("decode: real pictures look as Pillow shows them") {
  std::filesystem::path photos = test::bundle("photos");
  if (photos.empty()) {
    MESSAGE("skipped: no folder `photos` under PLUMAGE_TEST_DATA");
    return;
  }
  std::ifstream expected(PLUMAGE_SOURCE_DIR "/tests/data/expected/photos.txt");
  std::string line;
  int count = 0;
  while (std::getline(expected, line)) {
    std::istringstream words(line);
    std::string name;
    int64_t width, height, sums[3];
    words >> name >> width >> height >> sums[0] >> sums[1] >> sums[2];
    CAPTURE(name);
    bool jpeg = name.ends_with(".jpg");
#if !PLUMAGE_HAS_JPEG
    if (jpeg) continue;
#endif
    Image image = decode_image(photos / name);
    ++count;
    REQUIRE(image.width == width);
    REQUIRE(image.height == height);
    int64_t tolerance = jpeg ? 2 : 0;  // versions of libjpeg round differently
    for (size_t c = 0; c < 3; ++c) {
      int64_t sum = 0;
      for (size_t i = c; i < image.rgb.size(); i += 3) sum += image.rgb[i];
      CHECK(std::abs(sum - sums[c]) * 2 <= tolerance * width * height);
    }
    const int64_t places[5][2] = {{0, 0}, {0, 7}, {7, 0}, {3, 4}, {5, 2}};
    for (const auto& [down, right] : places) {
      const uint8_t* pixel = image.row(height * down / 8) + width * right / 8 * 3;
      for (int c = 0; c < 3; ++c) {
        int64_t wanted;
        words >> wanted;
        words.ignore(1);
        CHECK(std::abs(int64_t(pixel[c]) - wanted) <= tolerance);
      }
    }
  }
#if PLUMAGE_HAS_JPEG
  CHECK(count == 76);
#else
  CHECK(count == 32);
#endif
}

TEST_CASE("decode: broken files are answered, sound ones under a wrong name read") {
  std::filesystem::path corrupt = test::bundle("photos/corrupt");
  if (corrupt.empty()) {
    MESSAGE("skipped: no folder `photos/corrupt` under PLUMAGE_TEST_DATA");
    return;
  }
  std::set<std::string> readable = {"png-named.jpg"};
#if PLUMAGE_HAS_JPEG
  readable.insert({"jpeg-named.png", "no-huffman-tables.jpg"});
#endif
  const long before = most_memory();
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(corrupt)) {
    ++count;
    std::string name = entry.path().filename().string();
    CAPTURE(name);
    std::string error = thrown<InputError>([&] { decode_image(entry.path()); });
    CHECK(error.empty() == (readable.count(name) > 0));
    if (!error.empty()) CHECK(error.starts_with(entry.path().string() + ": "));
    CHECK(!contains(error, "\n"));
  }
  CHECK(count >= 26);
  CHECK(most_memory() - before < (64 << 10));  // the headers among them ask for gigabytes
}

}  // namespace plumage
