#include "tensor/backend/cuda/staging.h"

#include <algorithm>
#include <cstring>

namespace plumage::cuda {

Staging::Staging(cudaStream_t stream) : stream_(stream), download_(pinned_memory(kBytes)) {
  for (Half& half : upload_) {
    half.memory = pinned_memory(kBytes);
    half.sent = make_event();
  }
}

void Staging::upload(void* to, const void* from, int64_t bytes) {
  std::lock_guard lock(mutex_);
  if (!pinned()) {
    check(cudaMemcpyAsync(to, from, size_t(bytes), cudaMemcpyHostToDevice, stream_), "copy to the device");
    check(cudaStreamSynchronize(stream_), "copy to the device");
    return;
  }
  for (int64_t done = 0; done < bytes;) {
    if (upload_[current_].used == kBytes) {
      check(cudaEventRecord(upload_[current_].sent.get(), stream_), "cudaEventRecord");
      current_ = 1 - current_;
      check(cudaEventSynchronize(upload_[current_].sent.get()), "copy to the device");
      upload_[current_].used = 0;
    }
    Half& half = upload_[current_];
    int64_t part = std::min(bytes - done, kBytes - half.used);
    char* room = half.memory.get() + half.used;
    std::memcpy(room, static_cast<const char*>(from) + done, size_t(part));
    check(cudaMemcpyAsync(static_cast<char*>(to) + done, room, size_t(part), cudaMemcpyHostToDevice, stream_),
          "copy to the device");
    done += part;
    half.used = std::min(kBytes, half.used + (part + 63) / 64 * 64);
  }
}

void Staging::download(void* to, const void* from, int64_t bytes) {
  std::lock_guard lock(mutex_);
  for (int64_t done = 0; done < bytes;) {
    int64_t part = download_ ? std::min(bytes - done, kBytes) : bytes;
    char* end = static_cast<char*>(to) + done;
    char* landing = download_ ? download_.get() : end;
    check(cudaMemcpyAsync(landing, static_cast<const char*>(from) + done, size_t(part), cudaMemcpyDeviceToHost, stream_),
          "copy to the CPU");
    check(cudaStreamSynchronize(stream_), "copy to the CPU");
    if (download_) std::memcpy(end, landing, size_t(part));
    done += part;
  }
}

}  // namespace plumage::cuda
