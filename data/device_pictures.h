// Decoded pictures in a device's memory, and the views that are made of them there. Next in the walk:
// tensor/picture_views.h.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "data/loader.h"

namespace plumage {

/// Copied there once if they fit; otherwise those of a batch are copied when it is made, by way of pinned memory.
class DevicePictures {
 public:
  /// They fit if they take at most `limit` bytes and half of what is free. `cache` must outlive this. Throws DeviceError
  /// unless `device` is a CUDA device that is there.
  DevicePictures(const ImageCache& cache, Device device, int64_t limit);

  bool resident() const { return resident_.defined(); }
  /// "120 MiB of pictures kept, of 70000 MiB free on cuda:0", or why they are not.
  const std::string& summary() const { return summary_; }

  /// The views of pictures `index`, in the plan's order: each f32 [B, size, size, 3] on the device. Every view of the plan
  /// has a slot and is square. Throws InputError with the picture's file name.
  std::vector<Tensor> views(const std::vector<View>& plan, std::span<const int64_t> index, uint64_t seed, uint64_t epoch);

 private:
  /// Copies pictures one behind the other; `first` becomes where each begins.
  Tensor upload(std::span<const int64_t> index, std::vector<int64_t>& first);

  const ImageCache& cache_;
  Device device_;
  Tensor resident_;                      // u8 [bytes], or undefined
  std::vector<int64_t> resident_first_;  // by picture
  Tensor levels_;                        // of noise; f32 [4096] once there is some
  std::string summary_;
};

}  // namespace plumage
