#include "tensor/context.h"

#include <omp.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "tensor/accelerator.h"
#include "tensor/env.h"

namespace plumage {

struct Context::State {
  Scratch scratch;
};

Context::Context(Device device) : state_(new State), device_(device) {
  if (device.kind != Device::Kind::cpu) {
    queue = accelerator::open(device.index);
    return;
  }
  const Environment& env = environment();
  if (env.backend == "ref") backend = Backend::ref;
  set_threads(env.threads ? env.threads : int(std::max(1u, std::thread::hardware_concurrency())));
}

Context::~Context() = default;

// The CPU's context is never destroyed: kernels may run from other statics. A device's is closed at exit, while the
// driver still answers.
struct ContextOwner {
  static constexpr int kDevices = 64;
  Context cpu{Device{}};
  std::mutex mutex;
  std::array<std::atomic<Context*>, kDevices> devices{};

  static ContextOwner& instance() {
    static auto* owner = new ContextOwner;
    return *owner;
  }

  Context& of(int index) {
    if (index >= 0 && index < kDevices)
      if (Context* context = devices[size_t(index)].load(std::memory_order_acquire)) return *context;
    return open(index);
  }

  Context& open(int index) {
    Device device{Device::Kind::cuda, index};
    accelerator::require(device);
    if (index >= kDevices) throw DeviceError(message("device ", device.str(), ": wanted an index below ", kDevices));
    std::lock_guard lock(mutex);
    std::atomic<Context*>& context = devices[size_t(index)];
    if (!context) {
      context = new Context(device);
      static const int registered = std::atexit([] { instance().close(); });
      (void)registered;
    }
    return *context;
  }

  void close() {
    for (std::atomic<Context*>& context : devices) {
      Context* device = context.exchange(nullptr);
      if (!device) continue;
      Device name = device->device();
      delete device;
      Allocator::of(name).trim();
    }
  }
};

Context& Context::of(Device device) {
  ContextOwner& owner = ContextOwner::instance();
  return device.kind == Device::Kind::cpu ? owner.cpu : owner.of(device.index);
}

const Kernels& Context::own_kernels(DType dtype) const {
  if (device_.kind != Device::Kind::cpu) return accelerator::kernels();
  return backend == Backend::ref || dtype == DType::f64 ? ref::kernels() : cpu::kernels();
}

void Context::synchronize() {
  if (device_.kind != Device::Kind::cpu) accelerator::synchronize(*this);
}

void Context::swap_scratch(Scratch& other) { state_->scratch.swap(other); }

std::string Context::recent_ops() const {
  std::string names;
  size_t first = recent_count_ > recent_.size() ? recent_count_ - recent_.size() : 0;
  for (size_t i = first; i < recent_count_; ++i)
    names += (i > first ? ", " : "") + std::string(op_list()[size_t(recent_[i % recent_.size()])].name);
  return names;
}

void Context::set_threads(int n) {
  if (n < 1) throw InputError(message("threads: wanted at least 1, got ", n));
  threads_ = n;
  omp_set_num_threads(n);
}

void* Context::scratch(int64_t bytes, int slot) {
  Tensor& buffer = state_->scratch.at(size_t(slot));
  if (buffer.count() < bytes) {
    buffer = Tensor();  // give the old block back before asking for a larger one
    buffer = Tensor::empty({bytes}, DType::u8, device_);
  }
  return buffer.raw();
}

}  // namespace plumage
