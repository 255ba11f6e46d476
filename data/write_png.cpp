// The one place that compiles stb_image_write.
#include "data/write_png.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "tensor/errors.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb/stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace plumage {

std::string encode_png(const Image& image) {
  if (image.empty()) throw InputError("png: a picture without pixels cannot be written");
  std::string bytes;
  auto append = [](void* to, void* data, int size) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(data), size_t(size));
  };
  if (!stbi_write_png_to_func(append, &bytes, int(image.width), int(image.height), 3, image.rgb.data(),
                              int(image.width * 3)))
    throw MachineError(message("png: encoding a picture of ", image.width, "x", image.height,
                               " pixels failed; there may be too little memory"));
  return bytes;
}

void write_png(const std::filesystem::path& path, const Image& image) {
  std::string bytes = encode_png(image);
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), std::streamsize(bytes.size()));
  file.close();
  if (!file)
    throw MachineError(
        message("cannot write ", path.string(), ": ", std::strerror(errno), "; check space and permissions"));
}

}  // namespace plumage
