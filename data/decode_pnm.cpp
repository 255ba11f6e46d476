// PPM and PGM, binary and as text, one or two bytes a sample. Read here because stb_image knows no text and
// takes every maximum for 255 or 65535.
#include <cstring>

#include "data/decoders.h"
#include "tensor/errors.h"

namespace plumage::decoders {
namespace {

constexpr int64_t kMaxNumber = 1 << 30;

class PnmReader {
 public:
  PnmReader(Bytes bytes, const std::string& name) : bytes_(bytes), name_(name), at_(2) {}

  // The next decimal number, after blanks and `# comments`.
  int64_t number(const char* what) {
    skip_blanks();
    if (at_ >= bytes_.size()) fail(name_, message("truncated PPM: the file ends before its ", what));
    if (!is_digit(bytes_[at_])) fail(name_, message("damaged PPM: no number where its ", what, " should be"));
    int64_t value = 0;
    for (; at_ < bytes_.size() && is_digit(bytes_[at_]); ++at_) {
      value = value * 10 + (bytes_[at_] - '0');
      if (value > kMaxNumber) fail(name_, message("damaged PPM: its ", what, " is out of range"));
    }
    return value;
  }

  void skip_one() { ++at_; }
  size_t left() const { return at_ < bytes_.size() ? bytes_.size() - at_ : 0; }
  const uint8_t* here() const { return bytes_.data() + at_; }

 private:
  static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
  static bool is_blank(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

  void skip_blanks() {
    while (at_ < bytes_.size()) {
      if (bytes_[at_] == '#') {
        while (at_ < bytes_.size() && bytes_[at_] != '\n' && bytes_[at_] != '\r') ++at_;
      } else if (is_blank(bytes_[at_])) {
        ++at_;
      } else {
        return;
      }
    }
  }

  Bytes bytes_;
  const std::string& name_;
  size_t at_;
};

// One sample, 0 .. maximum, as a byte.
uint8_t to_byte(int64_t sample, int64_t maximum) {
  if (maximum == 255) return uint8_t(sample);
  return uint8_t((std::min(sample, maximum) * 255 * 2 + maximum) / (maximum * 2));
}

}  // namespace

Image decode_pnm(Bytes bytes, const std::string& name) {
  bool text = bytes[1] == '2' || bytes[1] == '3', gray = bytes[1] == '2' || bytes[1] == '5';
  PnmReader reader(bytes, name);
  int64_t width = reader.number("width"), height = reader.number("height"),
          maximum = reader.number("maximum");
  check_size(width, height, name);
  if (maximum < 1 || maximum > 65535)
    fail(name, message("damaged PPM: maximum ", maximum, ", wanted 1 to 65535"));
  reader.skip_one();

  int64_t channels = gray ? 1 : 3, samples = width * height * channels;
  int64_t sample_bytes = maximum > 255 ? 2 : 1;
  // As text a sample takes at least a digit and a blank, but for the last one.
  int64_t needed = text ? samples * 2 - 1 : samples * sample_bytes;
  if (int64_t(reader.left()) < needed) {
    fail(name, message("truncated PPM: ", width, " x ", height, " pixels need ", needed, " bytes, ",
                       reader.left(), " are there"));
  }
  Image image(width, height);
  if (!text && !gray && maximum == 255) {
    std::memcpy(image.rgb.data(), reader.here(), size_t(samples));
    return image;
  }
  const uint8_t* in = reader.here();
  uint8_t* out = image.rgb.data();
  for (int64_t i = 0; i < samples; ++i) {
    int64_t sample;
    if (text) {
      sample = reader.number("samples");
    } else {
      sample = sample_bytes == 2 ? in[0] << 8 | in[1] : in[0];
      in += sample_bytes;
    }
    for (int copy = 0; copy < (gray ? 3 : 1); ++copy) *out++ = to_byte(sample, maximum);
  }
  return image;
}

}  // namespace plumage::decoders
