// What a view is comes from the same draw() as on the CPU; a device gets the numbers and makes the pixels.
#include "data/device_pictures.h"

#include <numeric>

#include "data/recolour.h"
#include "tensor/accelerator.h"
#include "tensor/context.h"
#include "tensor/errors.h"
#include "tensor/profile.h"

namespace plumage {

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
  resident_ = upload(all, resident_first_);
  summary_ = message(taken, " kept, of ", room);
}

Tensor DevicePictures::upload(std::span<const int64_t> index, std::vector<int64_t>& first) {
  Image scratch;
  int64_t bytes = 0;
  for (int64_t i : index) {
    auto [width, height] = cache_.size_of(i);
    first.push_back(bytes);
    bytes += width * height * 3;
  }
  Tensor pictures = Tensor::empty({bytes}, DType::u8, device_);
  OpTimer timer(Context::of(device_), OtherWork::copy, pictures.shape(), DType::u8);
  timer.moves_bytes(double(bytes));
  for (size_t k = 0; k < index.size(); ++k) {
    const Image& image = cache_.get(index[k], scratch);
    accelerator::copy(static_cast<uint8_t*>(pictures.raw()) + first[k], device_, image.rgb.data(), Device{},
                      int64_t(image.rgb.size()));
  }
  return pictures;
}

std::vector<Tensor> DevicePictures::views(const std::vector<View>& plan, std::span<const int64_t> index, uint64_t seed,
                                          uint64_t epoch) {
  std::vector<int64_t> streamed_first;
  Tensor pictures = resident() ? resident_ : upload(index, streamed_first);
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
      slots.back().first += resident() ? resident_first_[size_t(i)] : streamed_first[k];
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
  return out;
}

}  // namespace plumage
