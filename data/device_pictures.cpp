// What a view is comes from the same draw() as on the CPU; a device gets the numbers and makes the pixels.
#include "data/device_pictures.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "data/recolour.h"
#include "tensor/context.h"
#include "tensor/errors.h"
#include "tensor/profile.h"

namespace plumage {
namespace {

// Where pictures begin that lie one behind the other, and where the last one ends.
std::vector<int64_t> places(const ImageCache& cache, std::span<const int64_t> index) {
  std::vector<int64_t> first{0};
  for (int64_t i : index) first.push_back(first.back() + int64_t(cache.pixels(i).size()));
  return first;
}

int64_t bytes_of_largest(const ImageCache& cache, int64_t count) {
  std::vector<int64_t> bytes;
  for (int64_t i = 0; i < cache.size(); ++i) bytes.push_back(int64_t(cache.pixels(i).size()));
  auto end = bytes.begin() + std::min(count, cache.size());
  std::partial_sort(bytes.begin(), end, bytes.end(), std::greater());
  return std::accumulate(bytes.begin(), end, int64_t(0));
}

}  // namespace

StreamedPictures::StreamedPictures(const ImageCache& cache, Device device, int64_t batch)
    : cache_(cache), pictures_(Tensor::empty({bytes_of_largest(cache, batch)}, DType::u8, device)),
      upload_(accelerator::upload(Context::of(device), pictures_.raw(), pictures_.bytes())) {}

void StreamedPictures::begin(std::span<const int64_t> index) {
  index_.assign(index.begin(), index.end());
  first_ = places(cache_, index);
  put_ = 0;
}

void StreamedPictures::put(int64_t slot) {
  std::span<const uint8_t> pixels = cache_.pixels(index_[size_t(slot)]);
  std::copy(pixels.begin(), pixels.end(), upload_->room() + first_[size_t(slot)]);
  std::lock_guard lock(mutex_);
  if (++put_ == int64_t(index_.size())) upload_->send(first_.back());
}

DevicePictures::DevicePictures(const ImageCache& cache, Device device, int64_t limit) : cache_(cache), device_(device) {
  accelerator::require(device);
  int64_t bytes = cache.bytes(), free = accelerator::free_bytes(device.index);
  std::string taken = message(bytes >> 20, " MiB of pictures"), room = message(free >> 20, " MiB free on ", device.str());
  if (bytes > std::min(limit, free / 2)) {
    summary_ = message(taken, " copied batch by batch: kept are at most ", limit >> 20, " MiB and half of ", room);
    return;
  }
  std::vector<int64_t> all(static_cast<size_t>(cache.size()));
  std::iota(all.begin(), all.end(), 0);
  first_ = places(cache, all);
  resident_ = Tensor::empty({bytes}, DType::u8, device);
  OpTimer timer(Context::of(device), OtherWork::copy, resident_.shape(), DType::u8);
  timer.moves_bytes(double(bytes));
  for (int64_t i : all) {
    std::span<const uint8_t> pixels = cache.pixels(i);
    accelerator::copy(static_cast<uint8_t*>(resident_.raw()) + first_[size_t(i)], device, pixels.data(), Device{}, int64_t(pixels.size()));
  }
  summary_ = message(taken, " kept, of ", room);
}

std::unique_ptr<StreamedPictures> DevicePictures::stream(int64_t batch) const {
  return std::make_unique<StreamedPictures>(cache_, device_, batch);
}

std::vector<Tensor> DevicePictures::views(const std::vector<View>& plan, std::span<const int64_t> index, uint64_t seed,
                                          uint64_t epoch, StreamedPictures* streamed) {
  Tensor pictures = streamed ? streamed->pictures_.slice(0, streamed->first_.back()) : resident_;
  if (streamed) streamed->upload_->acquire();
  std::vector<Tensor> out;
  for (size_t v = 0; v < plan.size(); ++v) {
    const View& view = plan[v];
    bool noise = false;
    std::vector<ViewSlot> slots;
    for (size_t k = 0; k < index.size(); ++k) {
      int64_t i = index[k];
      auto [width, height] = cache_.size_of(i);
      try {
        slots.push_back(view.slot(width, height, {seed, epoch, uint64_t(i), uint64_t(v)}));
      } catch (const InputError& error) {
        throw InputError(cache_.dataset().samples[size_t(i)].path.string() + ": " + error.what());
      }
      slots.back().first += streamed ? streamed->first_[k] : first_[size_t(i)];
      noise = noise || slots.back().noise > 0;
    }
    if (noise && !levels_.defined()) {
      const auto& levels = normal_levels();
      levels_ = Tensor::from<float>(std::span<const float>(levels), {int64_t(levels.size())}).to(device_);
    }
    ColourScale colours{view.normalization.mean, {}};
    for (size_t c = 0; c < 3; ++c) colours.scale[c] = 1 / view.normalization.std[c];
    out.push_back(Tensor::empty({int64_t(index.size()), view.height, view.width, 3}, DType::f32, device_));
    make_views(pictures, slots, colours, levels_, out.back());
  }
  if (streamed) streamed->upload_->release();
  return out;
}

}  // namespace plumage
