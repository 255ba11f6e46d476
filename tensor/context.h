// What belongs to a device and lasts: its kernels, threads, scratch memory, switches. No other global mutable state.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "tensor/backend/kernels.h"
#include "tensor/tensor.h"

namespace plumage {

/// `fast` computes by the device's own kernels, `ref` by the plain definitions. f64 is always computed by ref.
enum class Backend : uint8_t { fast, ref };

class Context {
 public:
  /// The context of a device. Throws DeviceError where the device is absent.
  static Context& of(Device device);
  static Context& cpu() { return of(Device{}); }

  const Kernels& kernels(DType dtype) const { return stand_in ? *stand_in : own_kernels(dtype); }
  const Kernels& own_kernels(DType dtype) const;
  const Kernels* stand_in = nullptr;  ///< tests: a table that watches the calls and hands them on to own_kernels
  Backend backend = Backend::fast;
  int threads() const { return threads_; }
  void set_threads(int n);  ///< at least 1

  /// At least `bytes` of memory aligned to 64, valid until the calling kernel returns. One slot is one buffer; a
  /// kernel that needs two uses two slots (0..4).
  void* scratch(int64_t bytes, int slot = 0);

  /// Primitives that a backend caches by shape (oneDNN); owned here, opaque outside the backend.
  std::shared_ptr<void> primitives;

  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

 private:
  Context();
  struct State;
  std::unique_ptr<State> state_;
  int threads_ = 1;
  friend struct ContextOwner;
};

/// Computes with another backend in this scope (tests, gradcheck).
class BackendScope {
 public:
  explicit BackendScope(Backend backend) : saved_(Context::cpu().backend) { Context::cpu().backend = backend; }
  ~BackendScope() { Context::cpu().backend = saved_; }
  BackendScope(const BackendScope&) = delete;
  BackendScope& operator=(const BackendScope&) = delete;

 private:
  Backend saved_;
};

}  // namespace plumage
