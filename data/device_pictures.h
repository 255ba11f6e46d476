// Decoded pictures in a device's memory, and the views that are made of them there. Next in the walk:
// tensor/picture_views.h.
#pragma once
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "data/loader.h"
#include "tensor/accelerator.h"

namespace plumage {

/// A batch's pictures on their way to a device, which works on other batches meanwhile: threads put them into pinned memory, the
/// last one sends them. One batch after the other.
class StreamedPictures {
 public:
  /// With room for any `batch` of the pictures. Throws MachineError where the device has none.
  StreamedPictures(const ImageCache& cache, Device device, int64_t batch);
  void begin(std::span<const int64_t> index);  ///< once the views of the batch before have been made
  void put(int64_t slot);                      ///< the picture of this slot of the batch. Any thread, when it may be; waits for room
  void wait() { upload_->room(); }             ///< until there is room

 private:
  friend class DevicePictures;
  const ImageCache& cache_;
  std::vector<int64_t> index_, first_;  // of the batch: the pictures, and where each begins and the last one ends
  std::mutex mutex_;
  int64_t put_ = 0;  // under the mutex
  Tensor pictures_;  // u8 [bytes of the largest batch]
  std::unique_ptr<accelerator::Upload> upload_;
};

/// Copied there once if they fit; otherwise batch by batch, by way of StreamedPictures.
class DevicePictures {
 public:
  /// They fit if they take at most `limit` bytes and half of what is free. `cache` must outlive this. Throws DeviceError
  /// unless `device` is a CUDA device that is there.
  DevicePictures(const ImageCache& cache, Device device, int64_t limit);

  bool resident() const { return resident_.defined(); }
  /// Room for those of a batch where they are not kept.
  std::unique_ptr<StreamedPictures> stream(int64_t batch) const;
  /// "120 MiB of pictures kept, of 70000 MiB free on cuda:0", or why they are not.
  const std::string& summary() const { return summary_; }

  /// The views of pictures `index`, in the plan's order: each f32 [B, size, size, 3] on the device. Every view of the plan
  /// has a slot and is square. streamed: what they were put into; null if they are kept. Throws InputError with the picture's file name.
  std::vector<Tensor> views(const std::vector<View>& plan, std::span<const int64_t> index, uint64_t seed, uint64_t epoch,
                            StreamedPictures* streamed);

 private:
  const ImageCache& cache_;
  Device device_;
  Tensor resident_;             // u8 [bytes], or undefined
  std::vector<int64_t> first_;  // where each of those begins
  Tensor levels_;                        // of noise; f32 [4096] once there is some
  std::string summary_;
};

}  // namespace plumage
