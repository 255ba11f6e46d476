// The directory of a zip archive whose entries are stored as they are, which is how PyTorch writes them. Own
// code, as zip libraries hide where an entry's bytes stand and insist on checksums, which PyTorch may leave
// out.
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
