// What tensor/ asks of a CUDA device beside its kernels: is there one, its memory, copies, waiting. One implementation is
// linked: tensor/backend/cuda, or tensor/backend/absent where CUDA was not built. Next: tensor/context.h.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tensor/allocator.h"
#include "tensor/backend/kernels.h"

namespace plumage {
struct ViewJob;  // tensor/picture_views.h
}

namespace plumage::accelerator {

/// True if CUDA was built; whether there is a device is another question.
bool built();
/// True if the devices are the simulated one of tests/cuda_sim.
bool simulated();

/// Devices that there are; 0 where nothing can be used: then why_none() says in one line what is missing and what to do.
int count();
std::string why_none();
/// Throws DeviceError, in one line with what to do, unless the device can be used by this build.
void require(Device device);

struct Properties {
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  int64_t memory_bytes = 0;
};
Properties properties(int index);

/// {"CUDA driver", "13.0"}, {"architectures built", "80-real,90"}, ...: for `plumage info`.
std::vector<std::pair<std::string, std::string>> versions();

/// True if code built for `architectures` ("80-real,90": 90 as PTX too) runs on a device of this compute capability.
bool architecture_fits(const std::string& architectures, int major, int minor);

const Kernels& kernels();

/// Memory of a device, for its Allocator.
std::unique_ptr<MemorySource> memory(int index);

/// What lives as long as the device's Context: the stream, staging memory (Context::queue).
std::shared_ptr<void> open(int index);

/// Queued after all earlier work of the device; the bytes may be read or changed on the CPU once this returns. One of
/// the two devices is not the CPU. Throws MachineError while a step is captured, unless both are the same device.
void copy(void* to, Device to_device, const void* from, Device from_device, int64_t bytes);

/// Memory of the CPU and as much of a device, to which it is copied beside the device's queue. The CPU's is pinned, or plain
/// memory where the system does not pin so much. Calls throw MachineError with the call's text.
class Upload {
 public:
  virtual ~Upload() = default;  ///< waits for the copy
  /// What the next send() copies; waits for the last one. Any thread, several at once.
  virtual uint8_t* room() = 0;
  /// Queues a copy of the first `bytes`, which comes after all that had been queued on the device at the last release().
  virtual void send(int64_t bytes) = 0;
  /// What is queued on the device from now on finds the last copy done.
  virtual void acquire() = 0;
  virtual void release() = 0;
};
/// To memory of the context's device, whose queue is all that used it so far; it must outlive the upload.
std::unique_ptr<Upload> upload(Context& context, void* to, int64_t bytes);

/// Runs both, whose ops are recorded instead of queued: `first`, and `then` to follow it unless the number at `flag`, in
/// the device's memory, is 0 when `first` has run. Throws what they throw and MachineError, with the last ops, if one did
/// what a recording cannot hold.
std::shared_ptr<void> record(Context& context, const std::function<void()>& first, const int64_t* flag,
                             const std::function<void()>& then);
/// Queues a recording. Waits for its first part where the driver is too old (before CUDA 12.4) to look at the flag itself.
void replay(Context& context, void* recording);

/// What of a device's memory nobody has taken, neither this program nor another.
int64_t free_bytes(int index);

/// The kernels of tensor/picture_views.h.
void make_views(Context& context, const ViewJob& job);

/// Waits for all queued work. Throws MachineError with the call's text and the last ops.
void synchronize(Context& context);

/// A point in the queue; the device notes when it comes to it, which costs it next to nothing.
std::shared_ptr<void> mark(Context& context);
/// Seconds of the device's clock from one to the other; waits for the second.
double seconds_between(const std::shared_ptr<void>& from, const std::shared_ptr<void>& to);

}  // namespace plumage::accelerator
