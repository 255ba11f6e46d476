// What belongs to a device and lasts: its kernels, threads, scratch memory, switches. No other global mutable state.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "tensor/backend/kernels.h"
#include "tensor/tensor.h"

namespace plumage {

/// On the CPU `fast` computes by own kernels, `ref` by the plain definitions; f64 is always computed by ref. A CUDA device
/// has one backend, which takes all three types.
enum class Backend : uint8_t { fast, ref };

class Context {
 public:
  /// The context of a device. Throws DeviceError where the device is absent.
  static Context& of(Device device);
  static Context& cpu() { return of(Device{}); }
  Device device() const { return device_; }

  const Kernels& kernels(DType dtype) const { return stand_in ? *stand_in : own_kernels(dtype); }
  const Kernels& own_kernels(DType dtype) const;
  const Kernels* stand_in = nullptr;  ///< tests: a table that watches the calls and hands them on to own_kernels
  Backend backend = Backend::fast;
  int threads() const { return threads_; }
  void set_threads(int n);  ///< at least 1

  /// At least `bytes` of memory aligned to 64, valid until the calling kernel returns. One slot is one buffer; a
  /// kernel that needs two uses two slots (0..4).
  void* scratch(int64_t bytes, int slot = 0);
  using Scratch = std::array<Tensor, 5>;
  /// Exchanges the buffers behind scratch(): a recorded step keeps its own, since those of all grow and move.
  void swap_scratch(Scratch& other);

  /// A CUDA device's stream and staging memory; owned here, opaque outside the backend. Outlives what is made on it.
  std::shared_ptr<void> queue;
  /// Primitives that a backend caches by shape (oneDNN, cuDNN); owned here, opaque outside the backend.
  std::shared_ptr<void> primitives;

  /// What ops::constant brought to the device, by type, shape and numbers.
  std::map<std::string, Tensor> constants;

  bool tf32 = false;       ///< CUDA: products of f32 may round their inputs to 10 bits of mantissa
  bool capturing = false;  ///< CUDA: a step is being captured; nothing may wait for the device or bring in new memory

  /// Waits until all queued work is done; the CPU queues none. Throws MachineError with what went wrong on the device
  /// and the last ops, one of which did it.
  void synchronize();
  void remember(Op op) { recent_[recent_count_++ % recent_.size()] = op; }
  std::string recent_ops() const;  ///< "matmul, softmax, sum_to": the last ops that were asked for, oldest first

  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

 private:
  explicit Context(Device device);
  ~Context();
  struct State;
  std::unique_ptr<State> state_;
  Device device_;
  std::array<Op, 8> recent_{};
  size_t recent_count_ = 0;
  int threads_ = 1;
  friend struct ContextOwner;
};

/// Computes with another backend of the CPU in this scope (tests, gradcheck).
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
