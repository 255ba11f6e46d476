// Decoding by several threads, counting what is broken, and moving to a file when memory runs short.
#include "data/cache.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <new>
#include <thread>

#include "data/resize.h"
#include "tensor/env.h"
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
  int64_t append(const std::vector<uint8_t>& rgb) {
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

namespace {

constexpr int kMaxThreads = 1024;

Image reduced(Image image, int64_t short_side) {
  int64_t side = std::min(image.width, image.height);
  if (short_side <= 0 || side <= short_side) return image;
  return resize(view(image), image.width * short_side / side, image.height * short_side / side);
}

}  // namespace

// Everything below `mutex` belongs to whoever holds it.
struct ImageCache::Decoding {
  Decoding(const Dataset& dataset, const CacheOptions& options)
      : dataset(dataset),
        options(options),
        images(dataset.samples.size()),
        offsets(dataset.samples.size(), -1),
        problems(dataset.samples.size()) {}

  // One thread's work: takes the next picture until there is none or something failed.
  void work() {
    for (std::unique_lock lock(mutex); next < dataset.size() && !failure;) {
      int64_t i = next++;
      const Sample& sample = dataset.samples[size_t(i)];
      lock.unlock();
      Image image;
      std::string problem;
      std::exception_ptr trouble;
      try {
        image = reduced(load_sample(sample), options.short_side);
      } catch (const InputError& error) {
        problem = error.what();
      } catch (const std::bad_alloc&) {
        trouble =
            std::make_exception_ptr(MachineError(sample.path.string() + ": not enough memory to decode it"));
      } catch (...) {
        trouble = std::current_exception();
      }
      lock.lock();
      if (trouble) failure = trouble;
      problems[size_t(i)] = problem;
      try {
        if (problem.empty() && !trouble) keep(i, std::move(image));
      } catch (...) {
        failure = std::current_exception();
      }
      if (++done == dataset.size() || failure) changed.notify_one();
    }
  }

  void keep(int64_t i, Image image) {
    bytes += int64_t(image.rgb.size());
    Image& place = images[size_t(i)];
    place = std::move(image);
    if (!mapping && bytes > options.memory_limit) {
      std::filesystem::path folder = options.folder;
      mapping = std::make_unique<Mapping>(folder.empty() ? std::filesystem::temp_directory_path() : folder);
      for (int64_t k = 0; k < dataset.size(); ++k) move_out(k);
    } else if (mapping) {
      move_out(i);
    }
  }

  void move_out(int64_t i) {
    Image& image = images[size_t(i)];
    if (image.empty()) return;
    offsets[size_t(i)] = mapping->append(image.rgb);
    image.rgb = {};
  }

  const Dataset& dataset;
  const CacheOptions& options;
  std::mutex mutex;
  std::condition_variable changed;
  int64_t next = 0, done = 0, bytes = 0;
  std::vector<Image> images;
  std::vector<int64_t> offsets;
  std::vector<std::string> problems;  // "" for pictures that were read
  std::unique_ptr<Mapping> mapping;
  std::exception_ptr failure;
};

int worker_threads(int wanted) {
  if (wanted > kMaxThreads) throw InputError(message(wanted, " threads: at most ", kMaxThreads));
  if (wanted > 0) return wanted;
  if (environment().threads > 0) return environment().threads;
  return std::max(1, int(std::thread::hardware_concurrency()));
}

ImageCache::ImageCache(const Dataset& dataset, const CacheOptions& options) {
  if (dataset.samples.empty()) throw InputError(dataset.name + ": no pictures");
  Decoding decoding(dataset, options);
  {
    std::vector<std::jthread> threads;
    int64_t count = std::min<int64_t>(worker_threads(options.threads), dataset.size());
    for (int64_t t = 0; t < count; ++t) threads.emplace_back([&] { decoding.work(); });
    std::unique_lock lock(decoding.mutex);
    while (decoding.done < dataset.size() && !decoding.failure) {
      decoding.changed.wait_for(lock, std::chrono::milliseconds(200));
      if (!options.progress) continue;
      int64_t done = decoding.done;
      lock.unlock();
      options.progress(done, dataset.size());
      lock.lock();
    }
  }
  if (decoding.failure) std::rethrow_exception(decoding.failure);

  dataset_ = Dataset{dataset.name, dataset.root, dataset.class_names, {}};
  for (size_t i = 0; i < dataset.samples.size(); ++i) {
    if (!decoding.problems[i].empty()) {
      corrupt_.push_back(std::move(decoding.problems[i]));
      continue;
    }
    dataset_.samples.push_back(dataset.samples[i]);
    images_.push_back(std::move(decoding.images[i]));
    offsets_.push_back(decoding.offsets[i]);
  }
  int64_t broken = int64_t(corrupt_.size()), all = dataset.size();
  if (broken == all)
    throw InputError(message("none of ", all, " pictures can be read; the first: ", corrupt_[0]));
  if (broken > 1 && broken * 100 > all && !options.allow_corrupt) {
    throw InputError(message(broken, " of ", all,
                             " pictures cannot be read, more than 1 %; remove them or allow it",
                             " (data.allow_corrupt); the first: ", corrupt_[0]));
  }
  bytes_ = decoding.bytes;
  mapping_ = std::move(decoding.mapping);
  if (mapping_) mapping_->map();
}

ImageCache::~ImageCache() = default;

const Image& ImageCache::get(int64_t i, Image& scratch) const {
  const Image& image = images_.at(size_t(i));
  if (!image.empty()) return image;
  scratch.width = image.width;
  scratch.height = image.height;
  const uint8_t* pixels = mapping_->pixels + offsets_[size_t(i)];
  scratch.rgb.assign(pixels, pixels + image.width * image.height * 3);
  return scratch;
}

}  // namespace plumage
