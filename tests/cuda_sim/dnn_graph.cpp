// What finalizing a cuDNN descriptor checks: sizes that fit, types that go together, nothing left out.
// Next: dnn_engines.cpp.
#include <algorithm>
#include <map>
#include <set>

#include "tests/cuda_sim/capture.h"
#include "tests/cuda_sim/dnn_descriptor.h"

namespace cuda_sim {
namespace {

constexpr ConvNames kForwardNames = {
    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
constexpr ConvNames kDataNames = {
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
constexpr ConvNames kFilterNames = {
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};

cudnnStatus_t missing(int name) { return refuse(CUDNN_STATUS_BAD_PARAM, "attribute %d was not set", name); }

cudnnStatus_t finalize_tensor(const Descriptor& d) {
  for (auto name : {CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_ATTR_TENSOR_STRIDES,
                    CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT})
    if (!d.has(name)) return missing(name);
  DnnTensor t(d);
  if (t.sizes.size() != t.strides.size())
    return refuse(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, "as many strides as sizes are wanted");
  if (t.sizes.size() != 4)
    return refuse(CUDNN_STATUS_NOT_SUPPORTED_SHAPE, "the simulator knows tensors of four sizes");
  for (int64_t size : t.sizes)
    if (size < 1) return refuse(CUDNN_STATUS_BAD_PARAM, "a size is %lld", static_cast<long long>(size));
  if (t.alignment < 1 || (t.alignment & (t.alignment - 1)))
    return refuse(CUDNN_STATUS_BAD_PARAM, "alignment %lld", static_cast<long long>(t.alignment));
  if (t.by_value && (t.count() != 1 || t.is_virtual))
    return refuse(CUDNN_STATUS_BAD_PARAM, "by value goes one number");
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize_window(const Descriptor& d) {
  for (auto name : {CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_ATTR_CONVOLUTION_CONV_MODE,
                    CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS})
    if (!d.has(name)) return missing(name);
  auto dims = static_cast<size_t>(d.one<int64_t>(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS));
  for (auto name : {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS,
                    CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_ATTR_CONVOLUTION_DILATIONS})
    if (d.all<int64_t>(name).size() != dims)
      return refuse(CUDNN_STATUS_BAD_PARAM, "attribute %d: %zu values are wanted", name, dims);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize_convolution(const Descriptor& d, const ConvNames& names) {
  for (auto name : {names.window, names.x, names.w, names.y, names.alpha, names.beta})
    if (!d.has(name)) return missing(name);
  const Descriptor& window = *d.ref(names.window);
  DnnTensor x(*d.ref(names.x)), w(*d.ref(names.w)), y(*d.ref(names.y));
  auto pre = window.all<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS),
       post = window.all<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
  auto stride = window.all<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES),
       dilation = window.all<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS);
  bool fits = x.sizes[0] == y.sizes[0] && x.sizes[1] == w.sizes[1] && w.sizes[0] == y.sizes[1];
  for (size_t i = 0; i < 2; ++i) {
    int64_t covered = (w.sizes[i + 2] - 1) * dilation[i] + 1,
            room = x.sizes[i + 2] + pre[i] + post[i] - covered;
    fits &= room >= 0 && y.sizes[i + 2] == room / stride[i] + 1;
  }
  return fits ? CUDNN_STATUS_SUCCESS
              : refuse(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH,
                       "convolution: the sizes of x, w, y and the window do not fit");
}

cudnnStatus_t finalize_pointwise(const Descriptor& d) {
  for (auto name : {CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
                    CUDNN_ATTR_OPERATION_POINTWISE_YDESC})
    if (!d.has(name)) return missing(name);
  DnnTensor y(*d.ref(CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
  for (auto name : {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                    CUDNN_ATTR_OPERATION_POINTWISE_TDESC}) {
    if (!d.has(name)) continue;
    DnnTensor in(*d.ref(name));
    for (size_t i = 0; i < 4; ++i)
      if (in.sizes[i] != y.sizes[i] && in.sizes[i] != 1)
        return refuse(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, "pointwise: a size is neither y's nor 1");
  }
  auto mode = d.ref(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR)
                  ->one<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
  bool two = mode != CUDNN_POINTWISE_RELU_FWD, three = mode == CUDNN_POINTWISE_BINARY_SELECT;
  if (two != d.has(CUDNN_ATTR_OPERATION_POINTWISE_BDESC))
    return missing(CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
  if (three != d.has(CUDNN_ATTR_OPERATION_POINTWISE_TDESC))
    return missing(CUDNN_ATTR_OPERATION_POINTWISE_TDESC);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize_statistics(const Descriptor& d) {
  for (auto name : {CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_ATTR_OPERATION_GENSTATS_XDESC,
                    CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC})
    if (!d.has(name)) return missing(name);
  return CUDNN_STATUS_SUCCESS;  // that the sums have the wrong type or shape is found when engines are asked for
}

// The tensors that an operation reads, and the one that it writes.
std::vector<DescriptorRef> inputs_of(const Descriptor& op) {
  if (const ConvNames* n = conv_names(op.type)) {
    if (op.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
      return {op.ref(n->x), op.ref(n->w)};
    if (op.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
      return {op.ref(n->y), op.ref(n->w)};
    return {op.ref(n->x), op.ref(n->y)};
  }
  std::vector<DescriptorRef> in;
  for (auto name : {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                    CUDNN_ATTR_OPERATION_POINTWISE_TDESC, CUDNN_ATTR_OPERATION_GENSTATS_XDESC})
    if (op.has(name)) in.push_back(op.ref(name));
  return in;
}
std::vector<DescriptorRef> outputs_of(const Descriptor& op) {
  if (const ConvNames* n = conv_names(op.type)) {
    if (op.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR) return {op.ref(n->y)};
    return {op.ref(op.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR ? n->x : n->w)};
  }
  std::vector<DescriptorRef> out;
  for (auto name : {CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC,
                    CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC})
    if (op.has(name)) out.push_back(op.ref(name));
  return out;
}

cudnnStatus_t finalize_graph(const Descriptor& d) {
  if (!d.has(CUDNN_ATTR_OPERATIONGRAPH_OPS)) return missing(CUDNN_ATTR_OPERATIONGRAPH_OPS);
  std::map<int64_t, DescriptorRef> by_id;
  std::set<int64_t> written;
  for (const DescriptorRef& op : d.refs(CUDNN_ATTR_OPERATIONGRAPH_OPS)) {
    std::vector<DescriptorRef> all = inputs_of(*op), outputs = outputs_of(*op);
    for (const DescriptorRef& in : all) {
      DnnTensor t(*in);
      if (t.is_virtual && !written.count(t.id))
        return refuse(CUDNN_STATUS_BAD_PARAM, "virtual tensor %lld is read before it is written",
                      static_cast<long long>(t.id));
    }
    all.insert(all.end(), outputs.begin(), outputs.end());
    for (const DescriptorRef& tensor : all) {
      auto [it, fresh] = by_id.try_emplace(DnnTensor(*tensor).id, tensor);
      if (!fresh && it->second != tensor)
        return refuse(CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES, "two tensors have the number %lld",
                      static_cast<long long>(it->first));
    }
    for (const DescriptorRef& out : outputs)
      if (!written.insert(DnnTensor(*out).id).second)
        return refuse(CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES, "a tensor is written twice");
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize_plan(Descriptor& d) {
  DescriptorRef config = d.ref(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  if (!config) return missing(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  if (config->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)
    return refuse(CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE, "a plan is made of an engine's configuration");
  // A plan may compile and load a kernel, which a capture does not survive.
  if (forbidden_in_capture() != cudaSuccess)
    return refuse(CUDNN_STATUS_EXECUTION_FAILED_CUDART, "a plan was made while a stream was being captured");
  if (config->engine->refuses_plan)
    return refuse(CUDNN_STATUS_NOT_SUPPORTED_RUNTIME_PREREQUISITE_MISSING, "engine %lld cannot be made here",
                  static_cast<long long>(config->engine->id));
  d.engine = config->engine;
  d.graph = config->graph;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize_pack(const Descriptor& d) {
  auto ids = d.all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  if (ids.size() != d.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS).size())
    return refuse(CUDNN_STATUS_BAD_PARAM, "as many pointers as numbers of tensors are wanted");
  if (std::set<int64_t>(ids.begin(), ids.end()).size() != ids.size())
    return refuse(CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES, "a tensor is named twice");
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

const ConvNames* conv_names(cudnnBackendDescriptorType_t type) {
  switch (type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return &kForwardNames;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      return &kDataNames;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      return &kFilterNames;
    default:
      return nullptr;
  }
}

cudnnStatus_t finalize(Descriptor& d) {
  if (const ConvNames* names = conv_names(d.type)) return finalize_convolution(d, *names);
  switch (d.type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      return finalize_tensor(d);
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
      return finalize_window(d);
    case CUDNN_BACKEND_POINTWISE_DESCRIPTOR:
      return d.has(CUDNN_ATTR_POINTWISE_MODE) ? CUDNN_STATUS_SUCCESS : missing(CUDNN_ATTR_POINTWISE_MODE);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
      return finalize_pointwise(d);
    case CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR:
      return finalize_statistics(d);
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
      return finalize_graph(d);
    case CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR:
      if (!d.has(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION) &&
          d.one<int32_t>(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, -1) != 0)
        return refuse(CUDNN_STATUS_BAD_PARAM, "there is no such device");
      return CUDNN_STATUS_SUCCESS;
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
      return choose_engines(d);
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      return finalize_plan(d);
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
      return finalize_pack(d);
    default:
      return refuse(CUDNN_STATUS_NOT_SUPPORTED,
                    "the simulator makes descriptors of type %d only by heuristics", d.type);
  }
}

}  // namespace cuda_sim
