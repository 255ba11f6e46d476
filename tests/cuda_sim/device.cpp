#include "tests/cuda_sim/device.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "tests/cuda_sim/capture.h"
#include "tests/cuda_sim/memory.h"
#include "tests/cuda_sim/shared_memory.h"
#include "tests/cuda_sim/stream.h"

namespace cuda_sim {
namespace {

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? std::strtoull(text, nullptr, 10) : otherwise;
}

struct PlannedFault {
  int countdown;
  cudaError_t error;
};

struct State {
  std::recursive_mutex lock;
  uint64_t seed = from_environment("CUDA_SIM_SEED", 1), work = 0;
  int devices = static_cast<int>(from_environment("CUDA_SIM_DEVICES", 1));
  uint64_t memory = from_environment("CUDA_SIM_MEMORY", 4096) << 20;
  Counts counts;
  cudaError_t sticky = cudaSuccess;
  std::map<std::string, PlannedFault> call_faults;  // "": of the device's work
  State() {
    // CUDA_SIM_FAIL=cudaMalloc:3:2 (call, which use of it, error); the call `work` means the device's work.
    const char* text = std::getenv("CUDA_SIM_FAIL");
    char call[64];
    int nth = 0, error = 0;
    if (text && std::sscanf(text, "%63[^:]:%d:%d", call, &nth, &error) == 3)
      call_faults[std::strcmp(call, "work") == 0 ? "" : call] = {nth, static_cast<cudaError_t>(error)};
  }
};

State& state() {
  static auto* instance = new State;  // outlives every static of the program
  return *instance;
}

struct LastError {
  cudaError_t error = cudaSuccess;
  const char* call = "";
};
thread_local LastError last_error;

bool strikes(const std::string& call, cudaError_t* error) {
  auto it = state().call_faults.find(call);
  if (it == state().call_faults.end() || --it->second.countdown > 0) return false;
  *error = it->second.error;
  state().call_faults.erase(it);
  return true;
}

}  // namespace

std::recursive_mutex& device_lock() { return state().lock; }
uint64_t seed() { return state().seed; }
uint64_t next_seed() { return seed() ? seed() * 1000003u + ++state().work : 0; }
int device_count() { return state().devices; }
uint64_t memory_limit() { return state().memory; }
Counts& count() { return state().counts; }
cudaError_t sticky() { return state().sticky; }
void set_sticky(cudaError_t error) {
  if (state().sticky == cudaSuccess) state().sticky = error;
}

cudaError_t before_call(const char* call) {
  if (state().devices == 0) return cudaErrorInsufficientDriver;
  if (state().sticky != cudaSuccess) return state().sticky;
  cudaError_t error = cudaSuccess;
  strikes(call, &error);
  return error;
}

cudaError_t after_call(const char* call, cudaError_t error) {
  if (error != cudaSuccess) last_error = {error, call};
  return error;
}

bool work_fails() {
  cudaError_t error = cudaSuccess;
  if (!strikes("", &error)) return false;
  set_sticky(error);
  return true;
}

// control.h
void set_seed(uint64_t seed) { state().seed = seed; }
void set_memory_limit(uint64_t bytes) { state().memory = bytes; }
Counts counts() { return state().counts; }
void fail_call(const char* call, int nth, cudaError_t error) { state().call_faults[call] = {nth, error}; }
void fail_device(int nth, cudaError_t error) { state().call_faults[""] = {nth, error}; }
void heal() {
  state().call_faults.clear();
  state().sticky = cudaSuccess;
  last_error = {};
}

int report_leaks() {
  int found = report_memory() + report_streams() + report_graphs();
  if (last_error.error != cudaSuccess) {
    std::fprintf(stderr, "cuda_sim: at exit: nobody has read the error of %s: %s\n", last_error.call,
                 cudaGetErrorString(last_error.error));
    ++found;
  }
  return found;
}

namespace {
// Registered before main, so it runs after the program's own statics are gone. CUDA_SIM_STRICT=1: a leak
// fails the run.
__attribute__((constructor)) void report_at_exit() {
  state();
  std::atexit([] {
    if (report_leaks() && from_environment("CUDA_SIM_STRICT", 0)) {
      std::fflush(nullptr);
      std::_Exit(3);
    }
  });
}
}  // namespace

}  // namespace cuda_sim

using namespace cuda_sim;

cudaError_t cudaGetDeviceCount(int* count) {
  // Without a driver the count stays as it was: callers must have set it.
  return api("cudaGetDeviceCount", [&] {
    *count = device_count();
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return api("cudaGetDevice", [&] {
    *device = 0;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return api("cudaSetDevice", [&] { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  return api("cudaGetDeviceProperties", [&] {
    if (device != 0) return cudaErrorInvalidDevice;
    *p = {};
    std::strcpy(p->name, "simulated device");
    p->totalGlobalMem = memory_limit();
    p->sharedMemPerBlock = kSharedBytes;
    p->sharedMemPerBlockOptin = kSharedBytesOptin;
    p->sharedMemPerMultiprocessor = kSharedBytesOptin + 1024;
    p->regsPerBlock = 65536;
    p->warpSize = 32;
    p->maxThreadsPerBlock = kMaxThreads;
    const int capability = static_cast<int>(from_environment("CUDA_SIM_CAPABILITY", 90));
    p->major = capability / 10, p->minor = capability % 10;
    p->multiProcessorCount = kMultiprocessors;
    p->maxThreadsPerMultiProcessor = 2048;
    p->maxBlocksPerMultiProcessor = 32;
    p->l2CacheSize = 1 << 20;
    p->memoryBusWidth = 64;
    p->concurrentKernels = 1;
    p->asyncEngineCount = 2;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024, p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = 2147483647, p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  if (cudaError_t error = cudaGetDeviceProperties(&p, device); error != cudaSuccess) return error;
  const std::map<cudaDeviceAttr, int> values = {
      {cudaDevAttrMaxThreadsPerBlock, p.maxThreadsPerBlock},
      {cudaDevAttrMaxSharedMemoryPerBlock, static_cast<int>(p.sharedMemPerBlock)},
      {cudaDevAttrWarpSize, p.warpSize},
      {cudaDevAttrClockRate, 1000},
      {cudaDevAttrMultiProcessorCount, p.multiProcessorCount},
      {cudaDevAttrIntegrated, p.integrated},
      {cudaDevAttrEccEnabled, p.ECCEnabled},
      {cudaDevAttrMemoryClockRate, 1000},
      {cudaDevAttrGlobalMemoryBusWidth, p.memoryBusWidth},
      {cudaDevAttrL2CacheSize, p.l2CacheSize},
      {cudaDevAttrMaxThreadsPerMultiProcessor, p.maxThreadsPerMultiProcessor},
      {cudaDevAttrComputeCapabilityMajor, p.major},
      {cudaDevAttrComputeCapabilityMinor, p.minor},
      {cudaDevAttrMaxSharedMemoryPerMultiprocessor, static_cast<int>(p.sharedMemPerMultiprocessor)},
      {cudaDevAttrMaxSharedMemoryPerBlockOptin, static_cast<int>(p.sharedMemPerBlockOptin)},
      {cudaDevAttrMaxBlocksPerMultiprocessor, p.maxBlocksPerMultiProcessor},
  };
  return api("cudaDeviceGetAttribute", [&] {
    auto it = values.find(attribute);
    if (it == values.end()) return cudaErrorInvalidValue;
    *value = it->second;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return api("cudaDeviceGetStreamPriorityRange", [&] {
    *least = 0, *greatest = -5;
    return cudaSuccess;
  });
}

// The two calls that need no device.
cudaError_t cudaDriverGetVersion(int* version) {
  *version = device_count() ? static_cast<int>(from_environment("CUDA_SIM_DRIVER", CUDART_VERSION)) : 0;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  cudaError_t error = cudaPeekAtLastError();
  last_error = {};
  return error;
}
cudaError_t cudaPeekAtLastError() {
  std::lock_guard lock(device_lock());
  return sticky() != cudaSuccess ? sticky() : last_error.error;
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define CUDA_SIM_NAME(name, number, text) \
  case name:                              \
    return #name;
    CUDA_SIM_ERRORS(CUDA_SIM_NAME)
#undef CUDA_SIM_NAME
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
#define CUDA_SIM_TEXT(name, number, text) \
  case name:                              \
    return text;
    CUDA_SIM_ERRORS(CUDA_SIM_TEXT)
#undef CUDA_SIM_TEXT
  }
  return "unrecognized error code";
}
