// The runtime's calls for memory and copies. What a copy does depends on whose memory it is: between the
// device and pinned memory it is queued; out of pageable memory the bytes are taken at the call; into
// pageable memory the call waits.
#include <cstring>
#include <memory>
#include <vector>

#include "tests/cuda_sim/capture.h"
#include "tests/cuda_sim/device.h"
#include "tests/cuda_sim/memory.h"
#include "tests/cuda_sim/stream.h"

using namespace cuda_sim;

namespace {

cudaError_t check_copy(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  bool to_device = where(to) == Where::device, from_device = where(from) == Where::device;
  if (to_device && !in_one_allocation(to, bytes)) return cudaErrorInvalidValue;
  if (from_device && !in_one_allocation(from, bytes)) return cudaErrorInvalidValue;
  bool wants_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  bool wants_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind != cudaMemcpyDefault && (wants_to != to_device || wants_from != from_device))
    return cudaErrorInvalidValue;
  return cudaSuccess;
}

void run_copy(void* to, const void* from, size_t bytes) {
  ++count().copies;
  reads(from, bytes);
  writes(to, bytes);
  std::memcpy(to, from, bytes);
}

cudaError_t copy(Stream& stream, void* to, const void* from, size_t bytes, bool wait) {
  bool from_pageable = where(from) == Where::pageable, to_pageable = where(to) == Where::pageable;
  if (stream.capture && (from_pageable || to_pageable))
    return break_capture(*stream.capture, cudaErrorStreamCaptureUnsupported);
  cudaError_t error;
  if (from_pageable) {
    auto* begin = static_cast<const char*>(from);
    auto bytes_now = std::make_shared<std::vector<char>>(begin, begin + bytes);
    error = submit(stream, {[=] { run_copy(to, bytes_now->data(), bytes); }});
  } else {
    error = submit(stream, {[=] { run_copy(to, from, bytes); }});
  }
  if (error != cudaSuccess || stream.capture) return error;
  return wait || to_pageable ? run_until(mark_now(stream)) : cudaSuccess;
}

cudaError_t set(Stream& stream, void* to, int value, size_t bytes) {
  if (where(to) == Where::device && !in_one_allocation(to, bytes)) return cudaErrorInvalidValue;
  if (where(to) == Where::pageable) return cudaErrorInvalidValue;
  return submit(stream, {[=] {
                  ++count().copies;
                  writes(to, bytes);
                  std::memset(to, value, bytes);
                }});
}

}  // namespace

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  return api("cudaMalloc", [&] {
    if (!pointer) return cudaErrorInvalidValue;
    if (cudaError_t error = forbidden_in_capture(); error != cudaSuccess) return error;
    *pointer = bytes ? allocate_device(bytes) : nullptr;
    return *pointer || !bytes ? cudaSuccess : cudaErrorMemoryAllocation;
  });
}

cudaError_t cudaFree(void* pointer) {
  return api("cudaFree", [&] {
    if (!pointer) return cudaSuccess;
    if (cudaError_t error = forbidden_in_capture(); error != cudaSuccess) return error;
    if (where(pointer) != Where::device || !in_one_allocation(pointer, 0)) return cudaErrorInvalidValue;
    cudaError_t error = run_everything();  // cudaFree waits for the device
    return free_device(pointer) ? error : cudaErrorInvalidValue;
  });
}

cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  return api("cudaMallocHost", [&] {
    if (cudaError_t error = forbidden_in_capture(); error != cudaSuccess) return error;
    *pointer = bytes ? allocate_pinned(bytes) : nullptr;
    return *pointer || !bytes ? cudaSuccess : cudaErrorMemoryAllocation;
  });
}
cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  return cudaHostAlloc(pointer, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void* pointer) {
  return api("cudaFreeHost", [&] {
    if (!pointer) return cudaSuccess;
    if (cudaError_t error = forbidden_in_capture(); error != cudaSuccess) return error;
    cudaError_t error = run_everything();
    return free_pinned(pointer) ? error : cudaErrorInvalidValue;
  });
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return api("cudaMemGetInfo", [&] {
    *total = memory_limit();
    *free = memory_limit() - static_cast<size_t>(count().live_bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return api("cudaPointerGetAttributes", [&] {
    auto* plain = const_cast<void*>(pointer);
    bool on_device = where(pointer) == Where::device;
    *attributes = {on_device                         ? cudaMemoryTypeDevice
                   : where(pointer) == Where::pinned ? cudaMemoryTypeHost
                                                     : cudaMemoryTypeUnregistered,
                   on_device ? 0 : -2, on_device ? plain : nullptr, on_device ? nullptr : plain};
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t handle) {
  return api("cudaMemcpyAsync", [&] {
    auto stream = find_stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (bytes == 0) return cudaSuccess;
    if (cudaError_t error = check_copy(to, from, bytes, kind); error != cudaSuccess) return error;
    return copy(*stream, to, from, bytes, false);
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return api("cudaMemcpy", [&] {
    if (cudaError_t error = forbidden_in_capture(); error != cudaSuccess) return error;
    if (bytes == 0) return cudaSuccess;
    if (cudaError_t error = check_copy(to, from, bytes, kind); error != cudaSuccess) return error;
    // Within the device, and out of pageable memory, the host does not wait for the end.
    bool wait = where(to) != Where::device || where(from) == Where::pinned;
    return copy(*find_stream(nullptr), to, from, bytes, wait);
  });
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t handle) {
  return api("cudaMemsetAsync", [&] {
    auto stream = find_stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    return bytes ? set(*stream, to, value, bytes) : cudaSuccess;
  });
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return api("cudaMemset", [&] {
    if (cudaError_t error = forbidden_in_capture(); error != cudaSuccess) return error;
    return bytes ? set(*find_stream(nullptr), to, value, bytes) : cudaSuccess;
  });
}
