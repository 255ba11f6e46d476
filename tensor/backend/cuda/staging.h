// Copies between the CPU's memory and a device's, by way of pinned memory where the system gives some.
#pragma once
#include <array>
#include <mutex>

#include "tensor/backend/cuda/device.h"

namespace plumage::cuda {

/// Of one device. Uploads are queued and return at once, as long as there is room in the two halves; downloads wait.
class Staging {
 public:
  static constexpr int64_t kBytes = int64_t(4) << 20;  ///< of each piece: large enough for the bus, small enough to pin

  explicit Staging(cudaStream_t stream);

  void upload(void* to, const void* from, int64_t bytes);
  void download(void* to, const void* from, int64_t bytes);
  bool pinned() const { return upload_[0].memory && upload_[1].memory && download_; }

 private:
  struct Half {
    Pinned memory;
    Event sent;  // everything in this half has left it
    int64_t used = 0;
  };
  cudaStream_t stream_;
  std::mutex mutex_;
  std::array<Half, 2> upload_;
  size_t current_ = 0;
  Pinned download_;
};

}  // namespace plumage::cuda
