// Keeping what is decoded, counting what is broken, and moving to a file when memory runs short.
#include "data/cache.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "data/decode_samples.h"
#include "data/packed_file.h"
#include "tensor/errors.h"

namespace plumage {

struct ImageCache::Mapping {
  explicit Mapping(const std::filesystem::path& folder) : folder(folder) {
    std::string name = (folder / "plumage-XXXXXX").string();
    file = mkstemp(name.data());
    if (file < 0)
      throw MachineError(folder.string() + ": no file for decoded pictures: " + std::strerror(errno));
    unlink(name.c_str());  // the space is given back when the program ends, however it ends
  }
  ~Mapping() {
    if (pixels) munmap(pixels, size_t(size));
    if (file >= 0) close(file);
  }

  // Appends pixels; returns where they begin.
  int64_t append(std::span<const uint8_t> rgb) {
    int64_t begin = size;
    for (size_t written = 0; written < rgb.size();) {
      ssize_t n = pwrite(file, rgb.data() + written, rgb.size() - written, off_t(size));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        throw MachineError(message(folder.string(), ": ", size >> 20,
                                   " MiB of decoded pictures written, then: ", std::strerror(errno),
                                   "; make room, or reduce the pictures"));
      }
      written += size_t(n);
      size += n;
    }
    return begin;
  }

  void map() {
    void* address = mmap(nullptr, size_t(size), PROT_READ, MAP_SHARED, file, 0);
    if (address == MAP_FAILED) {
      throw MachineError(
          message("decoded pictures: mapping ", size >> 20, " MiB failed: ", std::strerror(errno)));
    }
    pixels = static_cast<uint8_t*>(address);
  }

  std::filesystem::path folder;
  int file = -1;
  int64_t size = 0;
  uint8_t* pixels = nullptr;
};

// What the decoding threads fill, under `mutex`.
struct ImageCache::Decoding {
  Decoding(const Dataset& dataset, const CacheOptions& options)
      : options(options),
        images(dataset.samples.size()),
        offsets(dataset.samples.size(), -1),
        problems(dataset.samples.size()) {}

  void keep(int64_t i, Image image, const std::string& problem) {
    std::lock_guard lock(mutex);
    problems[size_t(i)] = problem;
    bytes += int64_t(image.rgb.size());
    images[size_t(i)] = std::move(image);
    if (!mapping && bytes > options.memory_limit) {
      std::filesystem::path folder = options.folder;
      mapping = std::make_unique<Mapping>(folder.empty() ? std::filesystem::temp_directory_path() : folder);
      for (size_t k = 0; k < images.size(); ++k) move_out(k);
    } else if (mapping) {
      move_out(size_t(i));
    }
  }

  void move_out(size_t i) {
    if (images[i].empty()) return;
    offsets[i] = mapping->append(images[i].rgb);
    images[i].rgb = {};
  }

  const CacheOptions& options;
  std::mutex mutex;
  int64_t bytes = 0;
  std::vector<Image> images;
  std::vector<int64_t> offsets;
  std::vector<std::string> problems;  // "" for pictures that were read
  std::unique_ptr<Mapping> mapping;
};

ImageCache::ImageCache(const Dataset& dataset, const CacheOptions& options) {
  if (dataset.samples.empty()) throw InputError(dataset.name + ": no pictures");
  dataset_ = dataset.subset({});
  if (options.packed.empty()) decode(dataset, options);
  else unpack(dataset, options);
  check_corrupt(dataset.size(), options.allow_corrupt);
}

ImageCache::~ImageCache() = default;

void ImageCache::decode(const Dataset& dataset, const CacheOptions& options) {
  Decoding decoding(dataset, options);
  decode_samples(dataset, {options.short_side, options.threads, options.progress},
                 [&](int64_t i, Image&& image, const std::string& problem) {
                   decoding.keep(i, std::move(image), problem);
                 });
  mapping_ = std::move(decoding.mapping);
  if (mapping_) mapping_->map();
  for (size_t i = 0; i < dataset.samples.size(); ++i) {
    int64_t offset = decoding.offsets[i];
    if (!decoding.problems[i].empty()) corrupt_.push_back(std::move(decoding.problems[i]));
    else keep(dataset.samples[i], std::move(decoding.images[i]), offset < 0 ? nullptr : mapping_->pixels + offset);
  }
}

void ImageCache::unpack(const Dataset& dataset, const CacheOptions& options) {
  packed_ = std::make_unique<PackedFile>(options.packed, dataset,
                                         DecodeOptions{options.short_side, options.threads, options.progress});
  for (size_t i = 0; i < dataset.samples.size(); ++i) {
    const PackedPicture& picture = packed_->pictures()[i];
    if (!picture.pixels) {
      corrupt_.push_back(picture.problem);
      continue;
    }
    Image size;
    size.width = picture.width;
    size.height = picture.height;
    keep(dataset.samples[i], std::move(size), picture.pixels);
  }
}

void ImageCache::keep(const Sample& sample, Image&& image, const uint8_t* pixels) {
  bytes_ += image.width * image.height * 3;
  dataset_.samples.push_back(sample);
  images_.push_back(std::move(image));
  mapped_.push_back(pixels);
}

void ImageCache::check_corrupt(int64_t all, bool allowed) const {
  int64_t broken = int64_t(corrupt_.size());
  if (broken == all)
    throw InputError(message("none of ", all, " pictures can be read; the first: ", corrupt_[0]));
  if (broken > 1 && broken * 100 > all && !allowed) {
    throw InputError(message(broken, " of ", all,
                             " pictures cannot be read, more than 1 %; remove them or allow it",
                             " (data.allow_corrupt); the first: ", corrupt_[0]));
  }
}

std::span<const uint8_t> ImageCache::pixels(int64_t i) const {
  const Image& image = images_.at(size_t(i));
  const uint8_t* mapped = mapped_[size_t(i)];
  return {mapped ? mapped : image.rgb.data(), size_t(image.width * image.height * 3)};
}

const Image& ImageCache::get(int64_t i, Image& scratch) const {
  const Image& image = images_.at(size_t(i));
  if (!mapped_[size_t(i)]) return image;
  std::span<const uint8_t> from = pixels(i);
  scratch.width = image.width;
  scratch.height = image.height;
  scratch.rgb.assign(from.begin(), from.end());
  return scratch;
}

}  // namespace plumage
