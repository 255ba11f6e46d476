// The device as the CUDA backend sees it: errors with the call's text, the stream that all of a Context's work goes to.
// Next: tensor/backend/cuda/launch.h, how a kernel gets onto it.
#pragma once
#include <cuda_runtime.h>

#include <memory>

#include "tensor/accelerator.h"
#include "tensor/context.h"

namespace plumage::cuda {

/// Throws MachineError "CUDA: what: the runtime's text (its name)" unless the status is cudaSuccess.
void check(cudaError_t status, const char* what);

/// All work of a device, in the order in which it is asked for. Makes the device this thread's current one.
cudaStream_t stream(Context& context);
/// Makes a device this thread's current one.
void make_current(int index);
/// Of the context's device, asked for once.
const cudaDeviceProp& properties(Context& context);

struct EventDeleter {
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};
using Event = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, EventDeleter>;
Event make_event(unsigned flags = 0);  ///< without timing

struct PinnedDeleter {
  void operator()(void* memory) const { cudaFreeHost(memory); }
};
using Pinned = std::unique_ptr<char, PinnedDeleter>;
/// Null where the system pins no more memory: copies then go without, more slowly.
Pinned pinned_memory(int64_t bytes);

}  // namespace plumage::cuda
