// What a kernel sees: views, small attribute structs, and the table made from tensor/ops.def.
#pragma once
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "tensor/dtype.h"
#include "tensor/philox.h"
#include "tensor/shape.h"

namespace plumage {

class Context;   // tensor/context.h
struct Storage;  // tensor/allocator.h

/// A tensor as a kernel reads it.
struct In {
  const void* data = nullptr;
  Shape shape;
  DType dtype = DType::f32;
  template <class T> const T* as() const { return static_cast<const T*>(data); }
  int64_t count() const { return shape.count(); }
  explicit operator bool() const { return data != nullptr; }
};

/// A tensor as a kernel writes it.
struct Out {
  void* data = nullptr;
  Shape shape;
  DType dtype = DType::f32;
  template <class T> T* as() const { return static_cast<T*>(data); }
  int64_t count() const { return shape.count(); }
  explicit operator bool() const { return data != nullptr; }
};

enum class UnaryFn : uint8_t { relu, neg, exp, log, sqrt, square, abs, sigmoid, tanh };
enum class BinaryFn : uint8_t { add, sub, mul, div, maximum, minimum, less, relu_mask };

/// Sliding window of convolution and pooling. For convolution kernel_h and kernel_w repeat w's R and S; it sees x's map `up` times as
/// large, every pixel repeated.
struct Window {
  int64_t kernel_h = 1, kernel_w = 1, stride = 1, pad = 0, up = 1;
};

/// y[o, i + y_offset] = x[o, i + x_offset] for o < outer, i < width; rows of x and y are x_pitch and y_pitch long.
/// Offsets, pitches and width count elements; the types of x and y are the same.
struct Block {
  int64_t outer = 0, width = 0, x_pitch = 0, y_pitch = 0, x_offset = 0, y_offset = 0;
};

enum class Activation : uint8_t { none, relu };

/// Filters that stay the same from call to call, as a kernel wants to read them: `maker` put those at `filters` there. Kernels that
/// read them as they are leave it empty.
struct FilterOrder {
  const void *maker = nullptr, *filters = nullptr;
  std::shared_ptr<Storage> memory;
};

/// y = act(gamma * (x - mean) / sqrt(variance + epsilon) + beta + residual)
/// mean, variance: [groups, C] of the batch, or [1, C] running. gamma, beta: [C]. All f32, or f64 when x is f64.
struct BatchNorm {
  In mean, variance, gamma, beta;
  double epsilon = 1e-5;
  Activation activation = Activation::none;
  bool batch_statistics = true;  ///< backward: mean and variance depend on x
};

/// The batch norm that an image came from: the gradient that reaches the image goes on through it. x as in BatchNorm; y is the image,
/// needed where relu came behind a residual. sums: of the gradient where relu let it pass and of that times (x - mean), over the rows
/// of each group, [2, groups, C].
struct NormSource {
  In x, y;
  BatchNorm norm;
  Out sums;
  explicit operator bool() const { return bool(sums); }
};

/// One parameter of an optimiser's list. All f32 or all f64, same count.
struct SgdSlot { Out parameter; In gradient; Out momentum; double weight_decay = 0; double lr_scale = 1; bool constant_lr = false; };
struct SgdStep { double lr = 0, momentum = 0; bool nesterov = false, first = false; };  ///< first: momentum = gradient
struct AdamSlot { Out parameter; In gradient; Out first; Out second; double weight_decay = 0; double lr_scale = 1; bool constant_lr = false; };
struct AdamStep { double lr = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8; int64_t step = 1; bool decoupled = false; };
struct EmaSlot { Out target; In source; };
struct NormSlot { In x; };

/// A slot's factor on the rate, with the schedule's where it follows that; host memory.
template <class Slot>
double rate_scale(const Slot& slot, const In& schedule) {
  return slot.lr_scale * (slot.constant_lr || !schedule.data ? 1 : *schedule.as<double>());
}
/// A key that is as many steps on as the clock says; host memory.
inline PhiloxKey at_clock(PhiloxKey key, const In& clock) {
  if (clock.data) key.step += uint64_t(*clock.as<int64_t>());
  return key;
}

/// One function pointer an op.
struct Kernels {
#define OP(name, arguments, keeps) void(*name) arguments = nullptr;
#include "tensor/ops.def"
#undef OP
  /// Whether convolutions with filters w to a map y take this Window::up. Where not, or where null, ops upsamples for them.
  bool (*sees_upsampled)(const Shape& w, const Shape& y, const Window& window, DType type) = nullptr;
  /// Whether conv2d_dx with filters w from a gradient dy takes a NormSource. Where not, or where null, ops gives none.
  bool (*sums_gradient)(const Shape& w, const Shape& dy, const Window& window, DType type) = nullptr;
};

enum class Op : uint16_t {
#define OP(name, arguments, keeps) name,
#include "tensor/ops.def"
#undef OP
};

struct OpInfo { Op op; std::string_view name, arguments, keeps; };
/// All ops in the order of the list.
std::span<const OpInfo> op_list();

// Each backend declares every op; one left out is a link error that names it.
#define PLUMAGE_DECLARE_BACKEND(backend)                         \
  namespace backend {                                            \
  const Kernels& kernels();                                      \
  }
PLUMAGE_DECLARE_BACKEND(ref)
PLUMAGE_DECLARE_BACKEND(cpu)
PLUMAGE_DECLARE_BACKEND(absent)
#undef PLUMAGE_DECLARE_BACKEND

namespace ref {
#define OP(name, arguments, keeps) void name arguments;
#include "tensor/ops.def"
#undef OP
}  // namespace ref

/// How the cpu backend computes an op: "ref" or the fast kernel's strategy, for `plumage info --ops`.
namespace cpu { std::string_view strategy(Op op); }

}  // namespace plumage
