// Every picture of a data set, decoded once and kept as bytes: in memory, in a mapped file when there are too many, or
// in a packed file that the next run finds. Next in the walk: data/loader.h, which makes batches of views from it.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "data/image.h"

namespace plumage {

class PackedFile;

struct CacheOptions {
  /// Pixels; larger pictures are reduced (antialiased) until their short side is this. 0: as they are.
  int64_t short_side = 0;
  /// Bytes of pixels kept in memory before a mapped file takes them all.
  int64_t memory_limit = int64_t(4) << 30;
  /// Where that file lies. It has no name and leaves nothing behind. Empty: the system's folder for such
  /// files.
  std::filesystem::path folder;
  bool allow_corrupt = false;  ///< go on although more than 1 % of the pictures cannot be read
  int threads = 0;             ///< that decode; 0: one a core
  /// Called now and then from the calling thread; may be empty.
  std::function<void(int64_t done, int64_t total)> progress;
  /// Not empty: a folder of packed files (data/packed_file.h), used in place of memory.
  std::filesystem::path packed;
};

/// Decoded pictures of a data set, without those that cannot be read: positions count what is left, in the
/// set's order. Pictures never change, so any number of threads may read.
class ImageCache {
 public:
  /// Decodes everything. One unreadable picture never stops a run; more than 1 % of them does unless allowed,
  /// and so do all: InputError with the first one's name and reason. MachineError if neither memory nor disk
  /// holds the pictures.
  explicit ImageCache(const Dataset& dataset, const CacheOptions& options = {});
  ~ImageCache();
  ImageCache(const ImageCache&) = delete;
  ImageCache& operator=(const ImageCache&) = delete;

  int64_t size() const { return dataset_.size(); }
  /// The data set without the pictures that could not be read.
  const Dataset& dataset() const { return dataset_; }
  /// Picture i. `scratch` holds it if it lies in a mapped file; the reference lives as long as both.
  const Image& get(int64_t i, Image& scratch) const;
  /// Its pixels where they lie.
  std::span<const uint8_t> pixels(int64_t i) const;
  /// Its width and height.
  std::pair<int64_t, int64_t> size_of(int64_t i) const {
    return {images_.at(size_t(i)).width, images_.at(size_t(i)).height};
  }

  /// One line for each picture left out: what is wrong with which file.
  const std::vector<std::string>& corrupt() const { return corrupt_; }
  int64_t bytes() const { return bytes_; }  ///< of pixels
  bool mapped() const { return mapping_ != nullptr; }
  const PackedFile* packed() const { return packed_.get(); }  ///< or nullptr

 private:
  struct Decoding;  // what the decoding threads share
  struct Mapping;   // the file, mapped
  void decode(const Dataset& dataset, const CacheOptions& options);
  void unpack(const Dataset& dataset, const CacheOptions& options);
  void keep(const Sample& sample, Image&& image, const uint8_t* pixels);
  void check_corrupt(int64_t all, bool allowed) const;

  Dataset dataset_;
  std::vector<Image> images_;            // without pixels where these are mapped
  std::vector<const uint8_t*> mapped_;   // or nullptr
  std::unique_ptr<Mapping> mapping_;
  std::unique_ptr<PackedFile> packed_;
  std::vector<std::string> corrupt_;
  int64_t bytes_ = 0;
};

}  // namespace plumage
