#include "tensor/backend/cuda/device.h"

#include <vector>

#include "tensor/backend/cuda/library.h"
#include "tensor/backend/cuda/staging.h"

namespace plumage {

namespace cuda {

const Kernels& kernels();  // table.cpp

namespace {

cudaError_t set_current(int index) {
  thread_local int current = -1;
  if (current == index) return cudaSuccess;
  cudaError_t status = cudaSetDevice(index);
  if (status == cudaSuccess) current = index;
  return status;
}

/// What a Context holds as its queue.
struct Queue {
  explicit Queue(int device_index) : index(device_index) {
    make_current(index);
    check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    staging = std::make_unique<Staging>(stream);
  }
  ~Queue() {
    cudaStreamSynchronize(stream);
    staging.reset();
    cudaStreamDestroy(stream);
  }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  int index;
  cudaStream_t stream = nullptr;
  cudaDeviceProp properties{};
  std::unique_ptr<Staging> staging;
};

Queue& queue(Context& context) { return *static_cast<Queue*>(context.queue.get()); }

class DeviceMemory : public MemorySource {
 public:
  explicit DeviceMemory(int index) : index_(index) {}
  void* take(int64_t bytes, int64_t) override {
    make_current(index_);
    if (Context& context = Context::of({Device::Kind::cuda, index_}); context.capturing)
      throw MachineError(message("new memory (", bytes, " bytes) cannot be part of a captured step; it comes after ",
                                 context.recent_ops()));
    void* block = nullptr;
    cudaError_t status = cudaMalloc(&block, size_t(bytes));
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return nullptr;
    }
    check(status, "cudaMalloc");
    return block;
  }
  // Called from destructors: an error of the device shows at the next call that is checked.
  void give_back(void* block, int64_t, bool) override {
    if (set_current(index_) == cudaSuccess) cudaFree(block);  // waits for the device
  }
  void poison(void*, int64_t) override {}
  std::string shortage() override {
    size_t free = 0, total = 0;
    if (cudaMemGetInfo(&free, &total) != cudaSuccess) return "";
    return message(", free ", free >> 20, " of ", total >> 20, " MiB");
  }

 private:
  int index_;
};

std::string version_text(int version) { return message(version / 1000, ".", version % 1000 / 10); }

/// Devices, or why there are none. Asked once: a driver does not appear while a program runs.
struct Probe {
  int count = 0;
  int driver = 0;  // the CUDA version that it serves, 13000; 0 without a driver
  std::string why_none;

  Probe() {
    cudaError_t status = cudaGetDeviceCount(&count);  // leaves the count alone when it fails
    cudaDriverGetVersion(&driver);
    if (status == cudaSuccess && count > 0) return;
    cudaGetLastError();
    count = 0;
    const char* or_cpu = ", or use --device cpu";
    if (status == cudaErrorInsufficientDriver && driver > 0)
      why_none = message("the CUDA driver is too old: it serves CUDA ", version_text(driver), ", plumage was built with ",
                         version_text(CUDART_VERSION), "; update the driver", or_cpu);
    else if (driver == 0)
      why_none = message("there is no CUDA driver; install NVIDIA's driver", or_cpu);
    else if (status == cudaSuccess || status == cudaErrorNoDevice)
      why_none = message("the CUDA driver sees no device; look at nvidia-smi and CUDA_VISIBLE_DEVICES", or_cpu);
    else
      why_none = message("the CUDA driver answers: ", cudaGetErrorString(status), "; look at nvidia-smi", or_cpu);
  }

  static const Probe& get() {
    static const Probe probe;
    return probe;
  }
};

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // the next call is not to blame
  throw MachineError(message("CUDA: ", what, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")"));
}

void make_current(int index) { check(set_current(index), "cudaSetDevice"); }

cudaStream_t stream(Context& context) {
  Queue& q = queue(context);
  make_current(q.index);
  return q.stream;
}

const cudaDeviceProp& properties(Context& context) { return queue(context).properties; }

Event make_event(unsigned flags) {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | flags), "cudaEventCreate");
  return Event(event);
}

Pinned pinned_memory(int64_t bytes) {
  void* memory = nullptr;
  if (cudaMallocHost(&memory, size_t(bytes)) == cudaSuccess) return Pinned(static_cast<char*>(memory));
  cudaGetLastError();
  return nullptr;
}

}  // namespace cuda

namespace accelerator {

bool built() { return true; }

bool simulated() {
  static const bool is = count() > 0 && properties(0).name == "simulated device";
  return is;
}

int count() { return cuda::Probe::get().count; }
std::string why_none() { return cuda::Probe::get().why_none; }

void require(Device device) {
  const cuda::Probe& probe = cuda::Probe::get();
  if (probe.count == 0) throw DeviceError(message("device ", device.str(), ": ", probe.why_none));
  if (device.index < 0 || device.index >= probe.count)
    throw DeviceError(message("device ", device.str(), ": wanted cuda:0 to cuda:", probe.count - 1));
  Properties p = properties(device.index);
  if (!architecture_fits(PLUMAGE_CUDA_ARCHITECTURES, p.major, p.minor))
    throw DeviceError(message("device ", device.str(), ": ", p.name, " has compute capability ", p.major, ".", p.minor,
                              ", plumage was built for ", PLUMAGE_CUDA_ARCHITECTURES,
                              "; configure with -DPLUMAGE_CUDA_ARCHITECTURES=", p.major, p.minor, ", or use --device cpu"));
}

Properties properties(int index) {
  cudaDeviceProp p{};
  cuda::check(cudaGetDeviceProperties(&p, index), "cudaGetDeviceProperties");
  return {p.name, p.major, p.minor, p.multiProcessorCount, int64_t(p.totalGlobalMem)};
}

std::vector<std::pair<std::string, std::string>> versions() {
  int driver = cuda::Probe::get().driver, runtime = 0;
  cudaRuntimeGetVersion(&runtime);
  return {{"driver", driver ? cuda::version_text(driver) : "none"},
          {"runtime", cuda::version_text(runtime)},
          {"cuDNN", cuda::cudnn_version()},
          {"cuBLASLt", cuda::cublas_version()},
          {"CUDA for", PLUMAGE_CUDA_ARCHITECTURES}};
}

const Kernels& kernels() { return cuda::kernels(); }

int64_t free_bytes(int index) {
  cuda::make_current(index);
  size_t free = 0, total = 0;
  cuda::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return int64_t(free);
}

std::unique_ptr<MemorySource> memory(int index) { return std::make_unique<cuda::DeviceMemory>(index); }

std::shared_ptr<void> open(int index) { return std::make_shared<cuda::Queue>(index); }

void copy(void* to, Device to_device, const void* from, Device from_device, int64_t bytes) {
  Context& context = Context::of(to_device.kind == Device::Kind::cuda ? to_device : from_device);
  cudaStream_t stream = cuda::stream(context);
  if (to_device == from_device) {
    cuda::check(cudaMemcpyAsync(to, from, size_t(bytes), cudaMemcpyDeviceToDevice, stream), "copy on the device");
    return;
  }
  if (context.capturing)
    throw MachineError(message("a copy from ", from_device.str(), " to ", to_device.str(),
                               " cannot be part of a captured step; it comes after ", context.recent_ops()));
  if (to_device.kind == Device::Kind::cpu) {
    synchronize(context);  // errors of earlier work surface here, with its ops
    return cuda::queue(context).staging->download(to, from, bytes);
  }
  if (from_device.kind == Device::Kind::cpu) return cuda::queue(context).staging->upload(to, from, bytes);
  std::vector<char> between(static_cast<size_t>(bytes));  // two devices: by way of the CPU
  copy(between.data(), Device{}, from, from_device, bytes);
  copy(to, to_device, between.data(), Device{}, bytes);
}

void synchronize(Context& context) {
  cudaError_t status = cudaStreamSynchronize(cuda::stream(context));
  if (status == cudaSuccess) return;
  throw MachineError(message("CUDA: ", cudaGetErrorString(status), " (", cudaGetErrorName(status),
                             "); the last ops were ", context.recent_ops()));
}

std::shared_ptr<void> mark(Context& context) {
  cudaStream_t stream = cuda::stream(context);
  cudaEvent_t event = nullptr;
  cuda::check(cudaEventCreate(&event), "cudaEventCreate");
  std::shared_ptr<void> mark(event, [](void* e) { cudaEventDestroy(static_cast<cudaEvent_t>(e)); });
  cuda::check(cudaEventRecord(event, stream), "cudaEventRecord");
  return mark;
}

double seconds_between(const std::shared_ptr<void>& from, const std::shared_ptr<void>& to) {
  auto first = static_cast<cudaEvent_t>(from.get()), second = static_cast<cudaEvent_t>(to.get());
  float milliseconds = 0;
  cuda::check(cudaEventSynchronize(second), "cudaEventSynchronize");
  cuda::check(cudaEventElapsedTime(&milliseconds, first, second), "cudaEventElapsedTime");
  return 1e-3 * double(milliseconds);
}

}  // namespace accelerator

}  // namespace plumage
