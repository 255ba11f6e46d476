#include "tensor/context.h"

#include <omp.h>

#include <array>
#include <thread>

#include "tensor/env.h"

namespace plumage {

struct Context::State {
  std::array<Tensor, 5> scratch;
};

Context::Context() : state_(new State) {
  const Environment& env = environment();
  if (env.backend == "ref") backend = Backend::ref;
  set_threads(env.threads ? env.threads : int(std::max(1u, std::thread::hardware_concurrency())));
}

struct ContextOwner {
  Context cpu;
};

Context& Context::of(Device device) {
  if (device.kind != Device::Kind::cpu)
    throw DeviceError(message("device ", device.str(), ": plumage was built without CUDA; use --device cpu"));
  static ContextOwner* owner = new ContextOwner;  // never destroyed: kernels may run from other statics
  return owner->cpu;
}

const Kernels& Context::own_kernels(DType dtype) const {
  return backend == Backend::ref || dtype == DType::f64 ? ref::kernels() : cpu::kernels();
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
    buffer = Tensor::empty({bytes}, DType::u8);
  }
  return buffer.raw();
}

}  // namespace plumage
