// JPEG by libjpeg-turbo's classic interface, with its defaults (exact integer transform, smooth upsampling).
#include "data/decoders.h"
#include "tensor/errors.h"

#if PLUMAGE_HAS_JPEG
#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>

#include <jpeglib.h>

#include <jerror.h>  // needs jpeglib.h first

namespace plumage::decoders {
namespace {

// A file may state a new scan every few bytes, and each costs a pass over the picture. Encoders write about
// ten.
constexpr int64_t kScansAlways = 20, kMaxScans = 200, kMaxScannedPixels = int64_t(1) << 31;

constexpr int64_t kRowsAtOnce = 4;

struct ErrorManager {
  jpeg_error_mgr base;  // first: libjpeg hands back a pointer to it
  std::jmp_buf escape;
  char text[JMSG_LENGTH_MAX];
};

[[noreturn]] void leave(j_common_ptr info) {
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  manager->base.format_message(info, manager->text);
  std::longjmp(manager->escape, 1);
}

// libjpeg goes on after damage and paints gray; such warnings end the decoding here. The others (a foreign
// version number, bytes before a marker) lose no pixel.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
      leave(info);
    default:
      return;
  }
}

void on_progress(j_common_ptr info) {
  if (!info->is_decompressor) return;
  auto* decoder = reinterpret_cast<j_decompress_ptr>(info);
  int64_t pixels = int64_t(decoder->image_width) * decoder->image_height;
  if (decoder->input_scan_number <= std::clamp(kMaxScannedPixels / pixels, kScansAlways, kMaxScans)) return;
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  std::snprintf(manager->text, sizeof manager->text, "%d scans, far more than any encoder writes",
                decoder->input_scan_number);
  std::longjmp(manager->escape, 1);
}

// Everything that libjpeg touches between setjmp and longjmp lives in here, outside of the frame that is
// left.
struct Decoder {
  jpeg_decompress_struct info{};
  ErrorManager errors{};
  jpeg_progress_mgr progress{};
  Image image;
  std::vector<uint8_t> cmyk_row;
  int orientation = 1;

  ~Decoder() { jpeg_destroy_decompress(&info); }
};

constexpr char kExifSignature[] = {'E', 'x', 'i', 'f', 0, 0};

int orientation_of(const jpeg_decompress_struct& info) {
  for (jpeg_saved_marker_ptr marker = info.marker_list; marker; marker = marker->next) {
    if (marker->marker != JPEG_APP0 + 1 || marker->data_length < sizeof kExifSignature) continue;
    if (std::memcmp(marker->data, kExifSignature, sizeof kExifSignature) != 0) continue;
    return exif_orientation(Bytes(marker->data, marker->data_length).subspan(sizeof kExifSignature));
  }
  return 1;
}

// Multiply two bytes as if they were fractions of 255, rounded.
int multiply_fractions(int a, int b) {
  int t = a * b + 128;
  return ((t >> 8) + t) >> 8;
}

// Adobe's programs write CMYK inverted (255 = no ink) and so does nearly everyone after them.
void inverted_cmyk_to_rgb(const uint8_t* cmyk, uint8_t* rgb, int64_t width) {
  for (int64_t x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    for (int c = 0; c < 3; ++c) rgb[c] = uint8_t(cmyk[3] - multiply_fractions(255 - cmyk[c], cmyk[3]));
  }
}

// True unless the header claims more than the file can hold. A Huffman-coded 8 x 8 block takes at least one
// bit; an arithmetically coded one may take next to none, but no photograph has 64 blocks to a bit.
bool plausible(const jpeg_decompress_struct& info, size_t file_bytes) {
  int64_t blocks = int64_t(info.image_width) * info.image_height / 64;
  return blocks / 8 <= int64_t(file_bytes) * (info.arith_code ? 64 : 1);
}

// Returns false after an error; no C++ object with a destructor lives in this frame, which longjmp may leave.
bool run(Decoder& decoder, Bytes bytes, const std::string& name) {
  jpeg_decompress_struct& info = decoder.info;
  info.err = jpeg_std_error(&decoder.errors.base);
  decoder.errors.base.error_exit = leave;
  decoder.errors.base.emit_message = on_message;
  if (setjmp(decoder.errors.escape)) return false;
  jpeg_create_decompress(&info);
  decoder.progress.progress_monitor = on_progress;
  info.progress = &decoder.progress;
  jpeg_mem_src(&info, bytes.data(), static_cast<unsigned long>(bytes.size()));
  jpeg_save_markers(&info, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&info, TRUE);
  check_size(info.image_width, info.image_height, name);
  if (!plausible(info, bytes.size())) {
    fail(name, message("truncated: ", bytes.size(), " bytes cannot hold ", info.image_width, " x ",
                       info.image_height, " pixels"));
  }
  decoder.orientation = orientation_of(info);
  bool cmyk = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
  info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&info);
  decoder.image = Image::unfilled(info.output_width, info.output_height);
  if (cmyk) decoder.cmyk_row.resize(size_t(info.output_width) * 4);
  while (info.output_scanline < info.output_height) {
    uint8_t* target = decoder.image.row(info.output_scanline);
    if (cmyk) {
      JSAMPROW row = decoder.cmyk_row.data();
      jpeg_read_scanlines(&info, &row, 1);
      inverted_cmyk_to_rgb(row, target, decoder.image.width);
    } else {  // as many as it likes to make at once
      JSAMPROW rows[kRowsAtOnce];
      int64_t count = std::min<int64_t>(kRowsAtOnce, info.output_height - info.output_scanline);
      for (int64_t i = 0; i < count; ++i) rows[i] = target + i * decoder.image.width * 3;
      jpeg_read_scanlines(&info, rows, JDIMENSION(count));
    }
  }
  jpeg_finish_decompress(&info);
  return true;
}

}  // namespace

Image decode_jpeg(Bytes bytes, const std::string& name) {
  Decoder decoder;
  if (!run(decoder, bytes, name)) fail(name, std::string("damaged JPEG: ") + decoder.errors.text);
  return apply_orientation(std::move(decoder.image), decoder.orientation);
}

}  // namespace plumage::decoders

#else

namespace plumage::decoders {

Image decode_jpeg(Bytes, const std::string& name) {
  fail(name, "a JPEG, and this plumage was built without libjpeg; build with -DPLUMAGE_JPEG=ON");
}

}  // namespace plumage::decoders
#endif
