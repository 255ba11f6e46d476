// cuDNN 9's backend graph API in a thin layer that owns its descriptors: a graph of operations, the engines
// that can compute it, a plan that does. Nothing here needs a device until Plan::execute: cuDNN also answers
// for a device that is only described (tests/cudnn). Next: tensor/backend/cuda/conv_plan.h.
#pragma once
#include <cudnn_graph.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tensor/backend/kernels.h"

namespace plumage::cuda {

/// Throws MachineError with cuDNN's own words unless the call succeeded.
void check(cudnnStatus_t status, const char* what);

// What cuDNN calls a C++ type. A type that is not here does not compile.
using AttributeType = cudnnBackendAttributeType_t;
constexpr AttributeType attribute_type(int64_t) { return CUDNN_TYPE_INT64; }
constexpr AttributeType attribute_type(int32_t) { return CUDNN_TYPE_INT32; }
constexpr AttributeType attribute_type(float) { return CUDNN_TYPE_FLOAT; }
constexpr AttributeType attribute_type(bool) { return CUDNN_TYPE_BOOLEAN; }
constexpr AttributeType attribute_type(char) { return CUDNN_TYPE_CHAR; }
constexpr AttributeType attribute_type(void*) { return CUDNN_TYPE_VOID_PTR; }
constexpr AttributeType attribute_type(cudnnDataType_t) { return CUDNN_TYPE_DATA_TYPE; }
constexpr AttributeType attribute_type(cudnnConvolutionMode_t) { return CUDNN_TYPE_CONVOLUTION_MODE; }
constexpr AttributeType attribute_type(cudnnPointwiseMode_t) { return CUDNN_TYPE_POINTWISE_MODE; }
constexpr AttributeType attribute_type(cudnnGenStatsMode_t) { return CUDNN_TYPE_GENSTATS_MODE; }
constexpr AttributeType attribute_type(cudnnBackendHeurMode_t) { return CUDNN_TYPE_HEUR_MODE; }
constexpr AttributeType attribute_type(cudnnBackendNumericalNote_t) { return CUDNN_TYPE_NUMERICAL_NOTE; }
constexpr AttributeType attribute_type(cudnnBackendBehaviorNote_t) { return CUDNN_TYPE_BEHAVIOR_NOTE; }

/// One backend descriptor, destroyed with its owner. Set attributes, then finalize; then it is only read.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);
  ~Descriptor();
  Descriptor(Descriptor&& o) noexcept : raw_(std::exchange(o.raw_, nullptr)) {}
  Descriptor& operator=(Descriptor&& o) noexcept {
    std::swap(raw_, o.raw_);
    return *this;
  }

  template <class T>
  void set(cudnnBackendAttributeName_t name, std::span<const T> values) {
    set_raw(name, attribute_type(T{}), int64_t(values.size()), values.data());
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, const T& value) {
    set(name, std::span<const T>(&value, 1));
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& other) {
    set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.raw_);
  }
  void set(cudnnBackendAttributeName_t name, std::span<const Descriptor> others);
  void finalize(const char* what) { check(cudnnBackendFinalize(raw_), what); }

  /// At most `most` values of an attribute; none where the descriptor does not know it.
  template <class T>
  std::vector<T> get(cudnnBackendAttributeName_t name, int64_t most) const {
    std::vector<T> values(static_cast<size_t>(most));
    int64_t count = 0;
    if (cudnnBackendGetAttribute(raw_, name, attribute_type(T{}), most, &count, values.data()) !=
        CUDNN_STATUS_SUCCESS)
      count = 0;
    values.resize(static_cast<size_t>(std::min(count, most)));
    return values;
  }
  cudnnBackendDescriptor_t raw() const { return raw_; }

 private:
  void set_raw(cudnnBackendAttributeName_t name, AttributeType type, int64_t count, const void* values);
  cudnnBackendDescriptor_t raw_ = nullptr;
};

/// What cuDNN must know of the device that a plan is made for: a device that is here, by its number,
Descriptor device_properties(int index);
/// or one that is not, by its description (the JSON that cuDNN itself writes of a device).
Descriptor device_properties(const std::string& json);

/// What an engine is known for.
struct EngineNotes {
  int64_t id = -1;                ///< cuDNN's number of the engine
  bool nondeterministic = false;  ///< two runs may differ in the last bits
  bool tensor_core = false;
  bool converts_inputs = false;  ///< f32 inputs are rounded (TF32, bf16) before they are multiplied
  bool coarse_sums = false;      ///< partial sums in 16 bits
  bool strict_nan = false;       ///< NaN is promised to pass on
  bool compiles = false;         ///< generates its kernel when the plan is made: seconds
};

/// One engine and its settings for one graph.
class EngineConfig {
 public:
  explicit EngineConfig(Descriptor descriptor);
  const EngineNotes& notes() const { return notes_; }
  int64_t workspace_bytes() const;  ///< what the heuristics expect it to need
  const Descriptor& descriptor() const { return descriptor_; }

 private:
  Descriptor descriptor_;
  EngineNotes notes_;
};

/// Operations on tensors named by numbers. Sizes are given as N, C, H, W; memory is always N, H, W, C.
class Graph {
 public:
  using Sizes = std::array<int64_t, 4>;
  enum class Place : uint8_t {
    memory,
    within,
    mask
  };  ///< within, mask: never stored; mask holds truth values

  /// alignment: bytes that the pointer is a multiple of.
  void tensor(int64_t id, const Sizes& sizes, DType type, int64_t alignment, Place place = Place::memory);
  void convolution(int64_t x, int64_t w, int64_t y, const Window& window);
  /// onto: dx is read, and the gradient added to it.
  void convolution_dx(int64_t dy, int64_t w, int64_t dx, const Window& window, bool onto = false);
  void convolution_dw(int64_t x, int64_t dy, int64_t dw, const Window& window);
  /// A number given with the plan's memory, as a pointer to host memory: f32.
  void scalar(int64_t id);
  void pointwise(cudnnPointwiseMode_t mode, int64_t a, int64_t b, int64_t y);
  /// y = condition ? a : b
  void select(int64_t condition, int64_t a, int64_t b, int64_t y);
  /// Sum and sum of squares of x over all but its channels, f32.
  void statistics(int64_t x, int64_t sum, int64_t squares);

  /// Closes the graph and lists the engines that can compute it, the one held for the fastest first. `device`
  /// as made by device_properties. Empty where there is none.
  std::vector<EngineConfig> engines(const Descriptor& device, cudnnBackendHeurMode_t mode);

 private:
  const Descriptor& find(int64_t id) const;
  Descriptor& describe(int64_t id, const Sizes& sizes, cudnnDataType_t type, int64_t alignment);
  Descriptor& window_of(const Window& window);
  Descriptor& begin(cudnnBackendDescriptorType_t type);
  Descriptor& begin_pointwise(cudnnPointwiseMode_t mode);
  std::vector<std::pair<int64_t, Descriptor>> tensors_;
  std::vector<Descriptor> attributes_, operations_;
  std::optional<Descriptor> whole_;
};

/// An engine made ready to run.
class Plan {
 public:
  /// Throws MachineError where the engine refuses after all.
  Plan(const EngineConfig& config, const Descriptor& device);

  int64_t workspace_bytes() const { return workspace_bytes_; }
  /// Queues the work on the handle's stream. ids and pointers belong together; workspace: workspace_bytes()
  /// of memory.
  void execute(cudnnHandle_t handle, std::span<const int64_t> ids, std::span<void* const> pointers,
               void* workspace) const;

 private:
  Descriptor descriptor_;
  int64_t workspace_bytes_ = 0;
};

}  // namespace plumage::cuda
