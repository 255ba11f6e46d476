#include "tests/cuda_sim/dnn_descriptor.h"

#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <string>

#include "tests/cuda_sim/capture.h"
#include "tests/cuda_sim/device.h"

namespace cuda_sim {
namespace {

using Type = cudnnBackendDescriptorType_t;
using Name = cudnnBackendAttributeName_t;

struct Attribute {
  Type owner;
  Name name;
  cudnnBackendAttributeType_t type;
  int64_t most;  // values
};
constexpr int64_t kMany = 1 << 20;

constexpr Type kTensor = CUDNN_BACKEND_TENSOR_DESCRIPTOR, kConv = CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR;
constexpr Type kForward = CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
constexpr Type kData = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
constexpr Type kFilter = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR;
constexpr Type kPointwise = CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
               kStats = CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR;
constexpr Type kHeuristics = CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR,
               kPlan = CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR;
constexpr Type kPack = CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, kDevice = CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR;
constexpr auto kRef = CUDNN_TYPE_BACKEND_DESCRIPTOR;

// Which descriptor has which attribute, of which type.
constexpr Attribute kAttributes[] = {
    {kTensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1},
    {kTensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 8},
    {kTensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 8},
    {kTensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1},
    {kTensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1},
    {kTensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1},
    {kTensor, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1},
    {kConv, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1},
    {kConv, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1},
    {kConv, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1},
    {kConv, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 3},
    {kConv, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 3},
    {kConv, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 3},
    {kConv, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 3},
    {kForward, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, kRef, 1},
    {kForward, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, kRef, 1},
    {kForward, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, kRef, 1},
    {kForward, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, kRef, 1},
    {kForward, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1},
    {kForward, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1},
    {kData, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, kRef, 1},
    {kData, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, kRef, 1},
    {kData, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, kRef, 1},
    {kData, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, kRef, 1},
    {kData, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_TYPE_FLOAT, 1},
    {kData, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, CUDNN_TYPE_FLOAT, 1},
    {kFilter, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, kRef, 1},
    {kFilter, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, kRef, 1},
    {kFilter, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, kRef, 1},
    {kFilter, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, kRef, 1},
    {kFilter, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_TYPE_FLOAT, 1},
    {kFilter, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, CUDNN_TYPE_FLOAT, 1},
    {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1},
    {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1},
    {kPointwise, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kRef, 1},
    {kPointwise, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, kRef, 1},
    {kPointwise, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, kRef, 1},
    {kPointwise, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, kRef, 1},
    {kPointwise, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, kRef, 1},
    {kStats, CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_TYPE_GENSTATS_MODE, 1},
    {kStats, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1},
    {kStats, CUDNN_ATTR_OPERATION_GENSTATS_XDESC, kRef, 1},
    {kStats, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, kRef, 1},
    {kStats, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, kRef, 1},
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_OPS, kRef, kMany},
    {kDevice, CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1},
    {kDevice, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, kMany},
    {kHeuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1},
    {kHeuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, kRef, 1},
    {kHeuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, kRef, 1},
    {kPlan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, kRef, 1},
    {kPlan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, kRef, 1},
    {kPack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, kMany},
    {kPack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, kMany},
    {kPack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1},
};

size_t size_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
      return 1;
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    case CUDNN_TYPE_HANDLE:
      return 8;
    default:
      return 4;
  }
}

// What a handle points at.
struct Box {
  std::shared_ptr<Descriptor> content;
};
std::map<const void*, std::unique_ptr<Box>>& boxes() {
  static auto* instance = new std::map<const void*, std::unique_ptr<Box>>;
  return *instance;
}
std::string& last_error() {
  static thread_local std::string words;
  return words;
}

cudnnStatus_t set(Descriptor& d, Name name, cudnnBackendAttributeType_t type, int64_t count,
                  const void* values) {
  if (d.finalized) return refuse(CUDNN_STATUS_BAD_PARAM, "attribute %d: the descriptor is finalized", name);
  for (const Attribute& a : kAttributes) {
    if (a.owner != d.type || a.name != name) continue;
    if (a.type != type)
      return refuse(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "attribute %d is of type %d, not %d", name, a.type,
                    type);
    if (count < 1 || count > a.most)
      return refuse(CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND, "attribute %d: %lld values", name,
                    static_cast<long long>(count));
    if (!values) return refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "attribute %d: no values", name);
    Value value;
    value.count = count;
    if (type == kRef) {
      for (int64_t i = 0; i < count; ++i) {
        auto part = find_descriptor(static_cast<const cudnnBackendDescriptor_t*>(values)[i]);
        if (!part) return refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "attribute %d: no descriptor", name);
        if (!part->finalized)
          return refuse(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
                        "attribute %d: that descriptor is not finalized", name);
        value.descriptors.push_back(part);
      }
    } else {
      auto* begin = static_cast<const char*>(values);
      value.bytes.assign(begin, begin + static_cast<size_t>(count) * size_of(type));
    }
    d.values[name] = std::move(value);
    return CUDNN_STATUS_SUCCESS;
  }
  return refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor of type %d has no attribute %d (in the simulator)",
                d.type, name);
}

// Hands finalized descriptors out into descriptors that the caller has made.
cudnnStatus_t hand_out(const std::vector<DescriptorRef>& from, Type type, int64_t most, int64_t* count,
                       void* values) {
  *count = static_cast<int64_t>(from.size());
  if (!values) return CUDNN_STATUS_SUCCESS;
  for (int64_t i = 0; i < std::min(most, *count); ++i) {
    auto to = find_descriptor(static_cast<cudnnBackendDescriptor_t*>(values)[i]);
    if (!to || to->type != type)
      return refuse(CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE, "results go into descriptors of type %d", type);
    *to = *from[static_cast<size_t>(i)];
  }
  *count = std::min(most, *count);
  return CUDNN_STATUS_SUCCESS;
}

template <class T>
cudnnStatus_t hand_out_values(const std::vector<T>& from, int64_t most, int64_t* count, void* values) {
  *count = static_cast<int64_t>(from.size());
  if (values) std::copy_n(from.data(), std::min(most, *count), static_cast<T*>(values));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t get(const Descriptor& d, Name name, int64_t most, int64_t* count, void* values) {
  switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
      return hand_out(d.results, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, most, count, values);
    case CUDNN_ATTR_ENGINECFG_ENGINE:
      return hand_out(d.results, CUDNN_BACKEND_ENGINE_DESCRIPTOR, most, count, values);
    case CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE:
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
      return hand_out_values(std::vector<int64_t>{d.engine->workspace}, most, count, values);
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
      return hand_out_values(std::vector<int64_t>{d.engine->id}, most, count, values);
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
      return hand_out_values(d.engine->numerical, most, count, values);
    case CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE:
      return hand_out_values(d.engine->behaviour, most, count, values);
    default:
      return refuse(CUDNN_STATUS_NOT_SUPPORTED, "attribute %d cannot be read (in the simulator)", name);
  }
}

bool belongs_to(Type type, Name name) {
  switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
      return type == kHeuristics;
    case CUDNN_ATTR_ENGINECFG_ENGINE:
    case CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE:
      return type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
      return type == kPlan;
    default:
      return type == CUDNN_BACKEND_ENGINE_DESCRIPTOR;
  }
}

}  // namespace

cudnnStatus_t refuse(cudnnStatus_t status, const char* format, ...) {
  char words[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(words, sizeof words, format, arguments);
  va_end(arguments);
  last_error() = words;
  return status;
}

std::shared_ptr<Descriptor> find_descriptor(cudnnBackendDescriptor_t handle) {
  auto it = boxes().find(handle);
  return it == boxes().end() ? nullptr : it->second->content;
}

}  // namespace cuda_sim

using namespace cuda_sim;

size_t cudnnGetVersion() { return 91900; }

const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
#define CUDA_SIM_NAME(name, number) \
  case name:                        \
    return #name;
    CUDA_SIM_CUDNN_STATUS(CUDA_SIM_NAME)
#undef CUDA_SIM_NAME
  }
  return "unknown status";
}

void cudnnGetLastErrorString(char* message, size_t most) {
  if (!message || most == 0) return;
  std::snprintf(message, most, "%s", last_error().c_str());
  last_error().clear();
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  std::lock_guard lock(device_lock());
  if (device_count() == 0) return refuse(CUDNN_STATUS_NOT_INITIALIZED, "no device");
  if (forbidden_in_capture() != cudaSuccess)
    return refuse(CUDNN_STATUS_NOT_INITIALIZED, "a stream is being captured");
  *handle = new cudnnContext;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  if (!handle) return refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "no handle");
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* descriptor) {
  std::lock_guard lock(device_lock());
  auto box = std::make_unique<Box>();
  box->content = std::make_shared<Descriptor>();
  box->content->type = type;
  *descriptor = box.get();
  boxes()[box.get()] = std::move(box);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  std::lock_guard lock(device_lock());
  return boxes().erase(descriptor) ? CUDNN_STATUS_SUCCESS
                                   : refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "no descriptor");
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  std::lock_guard lock(device_lock());
  auto d = find_descriptor(descriptor);
  return d ? set(*d, name, type, count, values)
           : refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "no descriptor");
}

cudnnStatus_t cudnnBackendGetAttribute(const cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t,
                                       int64_t most, int64_t* count, void* values) {
  std::lock_guard lock(device_lock());
  auto d = find_descriptor(descriptor);
  if (!d || !count) return refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "no descriptor, or nowhere to count");
  if (!d->finalized)
    return refuse(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "attribute %d: the descriptor is not finalized",
                  name);
  if (!belongs_to(d->type, name))
    return refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor of type %d has no attribute %d", d->type, name);
  return get(*d, name, most, count, values);
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  std::lock_guard lock(device_lock());
  auto d = find_descriptor(descriptor);
  if (!d) return refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "no descriptor");
  if (d->finalized) return refuse(CUDNN_STATUS_BAD_PARAM, "the descriptor is finalized already");
  cudnnStatus_t status = finalize(*d);
  d->finalized = status == CUDNN_STATUS_SUCCESS;
  return status;
}
