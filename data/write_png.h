// Pictures to PNG, in memory (for a report that contains them) or on disk.
#pragma once
#include <filesystem>
#include <string>

#include "data/image.h"

namespace plumage {

/// The bytes of a PNG file. InputError for an empty picture.
std::string encode_png(const Image& image);

/// MachineError naming the file if it cannot be written whole.
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace plumage
