// Decoded pictures in one file that is mapped into memory: decoding is paid for once, not at each start. Next in the
// walk: data/cache.h, which hands them out.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/decode_samples.h"

namespace plumage {

struct PackedPicture {
  int64_t width = 0, height = 0;
  const uint8_t* pixels = nullptr;  ///< height * width * 3 bytes, RGB; nullptr if the picture cannot be read
  std::string problem;              ///< then this says why
};

/// The file of a data set's pictures at one short side. It records what it was made from (names, sizes and times of
/// the sources, boxes, the short side, this format's version) and a checksum of everything in it, so a file that is
/// of other sources, damaged or of another version is made anew. It takes its name when it is complete: one that was
/// being written when the machine stopped is never read. Of two processes that want it at once, one makes it and the
/// other waits.
class PackedFile {
 public:
  /// Opens the file in `folder` (made if absent) that belongs to this data set, or builds it. MachineError naming the
  /// file if there is no room or right to write it; InputError if `folder` is not a folder.
  PackedFile(const std::filesystem::path& folder, const Dataset& dataset, const DecodeOptions& options);
  ~PackedFile();
  PackedFile(const PackedFile&) = delete;
  PackedFile& operator=(const PackedFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  bool built() const { return built_; }  ///< now, rather than found
  /// In the order of the data set's samples. The pixels live as long as this.
  const std::vector<PackedPicture>& pictures() const { return pictures_; }

 private:
  bool open(uint64_t source, const Dataset& dataset, int threads, bool verify);
  void build(uint64_t source, const Dataset& dataset, const DecodeOptions& options);
  void unmap();

  std::filesystem::path path_;
  bool built_ = false;
  std::vector<PackedPicture> pictures_;
  const uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
};

}  // namespace plumage
