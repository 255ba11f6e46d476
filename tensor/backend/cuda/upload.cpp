// Copies on a stream of their own, held together with the device's queue by events: neither waits for the other's other work.
#include <vector>

#include "tensor/backend/cuda/device.h"

namespace plumage::cuda {
namespace {

struct StreamDeleter {
  void operator()(cudaStream_t stream) const {
    cudaStreamSynchronize(stream);
    cudaStreamDestroy(stream);
  }
};
using Stream = std::unique_ptr<std::remove_pointer_t<cudaStream_t>, StreamDeleter>;

Stream make_stream(Context& context) {
  make_current(context.device().index);
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  return Stream(stream);
}

class StreamUpload : public accelerator::Upload {
 public:
  StreamUpload(Context& context, void* to, int64_t bytes)
      : context_(context), to_(to), copies_(make_stream(context)), sent_(make_event(cudaEventBlockingSync)), free_(make_event()) {
    pinned_ = pinned_memory(bytes);
    if (!pinned_) plain_.resize(size_t(bytes));
    room_ = pinned_ ? reinterpret_cast<uint8_t*>(pinned_.get()) : plain_.data();
    release();
  }

  uint8_t* room() override {
    make_current(context_.device().index);
    check(cudaEventSynchronize(sent_.get()), "copy to the device");
    return room_;
  }

  void send(int64_t bytes) override {
    make_current(context_.device().index);
    check(cudaStreamWaitEvent(copies_.get(), free_.get(), 0), "cudaStreamWaitEvent");
    check(cudaMemcpyAsync(to_, room_, size_t(bytes), cudaMemcpyHostToDevice, copies_.get()), "copy to the device");
    check(cudaEventRecord(sent_.get(), copies_.get()), "cudaEventRecord");
  }

  void acquire() override { check(cudaStreamWaitEvent(stream(context_), sent_.get(), 0), "cudaStreamWaitEvent"); }
  void release() override { check(cudaEventRecord(free_.get(), stream(context_)), "cudaEventRecord"); }

 private:
  Context& context_;
  void* to_;
  Pinned pinned_;
  std::vector<uint8_t> plain_;
  uint8_t* room_ = nullptr;
  Stream copies_;  // ends before the memory does
  Event sent_;     // the last copy is done; threads that wait for it sleep, as they do most of the time where the step is slower
  Event free_;     // the device has done with what the copy brought
};

}  // namespace
}  // namespace plumage::cuda

std::unique_ptr<plumage::accelerator::Upload> plumage::accelerator::upload(Context& context, void* to, int64_t bytes) {
  return std::make_unique<cuda::StreamUpload>(context, to, bytes);
}
