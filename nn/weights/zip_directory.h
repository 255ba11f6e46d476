// The directory of a zip archive whose entries are stored as they are, which is how PyTorch writes them. Own
// code, for the reason that docs/weights.md gives.
#pragma once
#include <map>

#include "nn/weights/input_file.h"

namespace plumage {

struct ZipEntry {
  int64_t begin = 0, bytes = 0;  ///< in the file
};

/// Entries by name. Throws InputError naming the file: no directory, a name twice, encrypted, compressed, an
/// entry that leaves the file or shares bytes with another.
std::map<std::string, ZipEntry> read_zip_directory(const InputFile& file);

}  // namespace plumage
