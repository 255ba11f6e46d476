#include "tensor/backend/cuda/cudnn_graph.h"

#include <algorithm>

namespace plumage::cuda {
namespace {

cudnnDataType_t data_type(DType type) {
  switch (type) {
    case DType::f32:
      return CUDNN_DATA_FLOAT;
    case DType::bf16:
      return CUDNN_DATA_BFLOAT16;
    default:
      throw DTypeError(message("cuDNN: no tensors of ", name_of(type)));
  }
}

template <class T>
bool has(const std::vector<T>& notes, T note) {
  return std::find(notes.begin(), notes.end(), note) != notes.end();
}

}  // namespace

void check(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char words[512] = {};
  cudnnGetLastErrorString(words, sizeof words);
  std::string line(words);
  std::replace(line.begin(), line.end(), '\n', ' ');
  throw MachineError(
      message("cuDNN: ", what, ": ", cudnnGetErrorString(status), line.empty() ? "" : ": ", line));
}

// --- descriptors

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  check(cudnnBackendCreateDescriptor(type, &raw_), "create a descriptor");
}

Descriptor::~Descriptor() {
  if (raw_) cudnnBackendDestroyDescriptor(raw_);
}

void Descriptor::set_raw(cudnnBackendAttributeName_t name, AttributeType type, int64_t count,
                         const void* values) {
  cudnnStatus_t status = cudnnBackendSetAttribute(raw_, name, type, count, values);
  if (status != CUDNN_STATUS_SUCCESS) check(status, message("set attribute ", int(name)).c_str());
}

void Descriptor::set(cudnnBackendAttributeName_t name, std::span<const Descriptor> others) {
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const Descriptor& other : others) raw.push_back(other.raw_);
  set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, int64_t(raw.size()), raw.data());
}

Descriptor device_properties(int index) {
  Descriptor d(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  d.set(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, int32_t(index));
  d.finalize("read the device's properties");
  return d;
}

Descriptor device_properties(const std::string& json) {
  Descriptor d(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  d.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<const char>(json.data(), json.size()));
  d.finalize("read a device's description");
  return d;
}

// --- engines

EngineConfig::EngineConfig(Descriptor descriptor) : descriptor_(std::move(descriptor)) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t raw = engine.raw();
  int64_t count = 0;
  check(cudnnBackendGetAttribute(descriptor_.raw(), CUDNN_ATTR_ENGINECFG_ENGINE,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &raw),
        "read a configuration's engine");
  if (auto id = engine.get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 1); !id.empty()) notes_.id = id[0];
  auto numeric = engine.get<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                         CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  notes_.nondeterministic = has(numeric, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
  notes_.tensor_core = has(numeric, CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
  notes_.converts_inputs = has(numeric, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS);
  notes_.coarse_sums = has(numeric, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION);
  notes_.strict_nan = has(numeric, CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP);
  auto behaviour =
      engine.get<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT);
  notes_.compiles = has(behaviour, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION);
}

int64_t EngineConfig::workspace_bytes() const {
  auto bytes = descriptor_.get<int64_t>(CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE, 1);
  return bytes.empty() ? 0 : bytes[0];
}

// --- graphs

void Graph::tensor(int64_t id, const Sizes& sizes, DType type, int64_t alignment, Place place) {
  Descriptor& d = describe(id, sizes, place == Place::mask ? CUDNN_DATA_BOOLEAN : data_type(type), alignment);
  if (place != Place::memory) d.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
  d.finalize("describe a tensor");
}

void Graph::scalar(int64_t id) {
  Descriptor& d = describe(id, {1, 1, 1, 1}, CUDNN_DATA_FLOAT, sizeof(float));
  d.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
  d.finalize("describe a number");
}

Descriptor& Graph::describe(int64_t id, const Sizes& sizes, cudnnDataType_t type, int64_t alignment) {
  auto [n, c, h, w] = sizes;
  const int64_t strides[] = {c * h * w, 1, c * w, c};
  Descriptor& d = tensors_.emplace_back(id, CUDNN_BACKEND_TENSOR_DESCRIPTOR).second;
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type);
  d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const int64_t>(sizes));
  d.set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const int64_t>(strides));
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
  d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment);
  return d;
}

const Descriptor& Graph::find(int64_t id) const {
  auto it = std::find_if(tensors_.begin(), tensors_.end(), [&](const auto& t) { return t.first == id; });
  if (it == tensors_.end()) throw MachineError(message("cuDNN: tensor ", id, " is not in the graph"));
  return it->second;
}

Descriptor& Graph::window_of(const Window& window) {
  const int64_t pad[] = {window.pad, window.pad}, stride[] = {window.stride, window.stride},
                dilation[] = {1, 1};
  Descriptor& d = attributes_.emplace_back(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  d.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  d.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);
  d.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t(2));
  d.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, std::span<const int64_t>(pad));
  d.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, std::span<const int64_t>(pad));
  d.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, std::span<const int64_t>(stride));
  d.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, std::span<const int64_t>(dilation));
  d.finalize("describe a convolution");
  return d;
}

Descriptor& Graph::begin(cudnnBackendDescriptorType_t type) { return operations_.emplace_back(type); }

void Graph::convolution(int64_t x, int64_t w, int64_t y, const Window& window) {
  Descriptor& d = begin(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, window_of(window));
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, find(x));
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, find(w));
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, find(y));
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 1.0f);
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 0.0f);
  d.finalize("convolution");
}

void Graph::convolution_dx(int64_t dy, int64_t w, int64_t dx, const Window& window, bool onto) {
  Descriptor& d = begin(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, window_of(window));
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, find(dy));
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, find(w));
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, find(dx));
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 1.0f);
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, onto ? 1.0f : 0.0f);
  d.finalize("convolution's gradient of x");
}

void Graph::convolution_dw(int64_t x, int64_t dy, int64_t dw, const Window& window) {
  Descriptor& d = begin(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, window_of(window));
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, find(x));
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, find(dy));
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, find(dw));
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, 1.0f);
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, 0.0f);
  d.finalize("convolution's gradient of w");
}

Descriptor& Graph::begin_pointwise(cudnnPointwiseMode_t mode) {
  Descriptor& function = attributes_.emplace_back(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  function.set(CUDNN_ATTR_POINTWISE_MODE, mode);
  function.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
  function.finalize("describe a pointwise function");
  Descriptor& d = begin(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function);
  return d;
}

void Graph::pointwise(cudnnPointwiseMode_t mode, int64_t a, int64_t b, int64_t y) {
  Descriptor& d = begin_pointwise(mode);
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, find(a));
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, find(b));
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, find(y));
  d.finalize("pointwise function");
}

void Graph::select(int64_t condition, int64_t a, int64_t b, int64_t y) {
  Descriptor& d = begin_pointwise(CUDNN_POINTWISE_BINARY_SELECT);
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, find(a));
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, find(b));
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, find(condition));
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, find(y));
  d.finalize("select");
}

void Graph::statistics(int64_t x, int64_t sum, int64_t squares) {
  Descriptor& d = begin(CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_GENSTATS_SUM_SQSUM);
  d.set(CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_DATA_FLOAT);
  d.set(CUDNN_ATTR_OPERATION_GENSTATS_XDESC, find(x));
  d.set(CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, find(sum));
  d.set(CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, find(squares));
  d.finalize("statistics");
}

std::vector<EngineConfig> Graph::engines(const Descriptor& device, cudnnBackendHeurMode_t mode) {
  if (!whole_) {
    whole_.emplace(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    whole_->set(CUDNN_ATTR_OPERATIONGRAPH_OPS, std::span<const Descriptor>(operations_));
    whole_->finalize("close a graph");
  }
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, *whole_);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
  if (cudnnBackendFinalize(heuristics.raw()) != CUDNN_STATUS_SUCCESS)
    return {};  // no engine knows this graph
  int64_t count = 0;
  check(cudnnBackendGetAttribute(heuristics.raw(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr),
        "count the engines");
  std::vector<Descriptor> configs;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int64_t i = 0; i < count; ++i)
    raw.push_back(configs.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).raw());
  if (count > 0)
    check(cudnnBackendGetAttribute(heuristics.raw(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                   CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count, raw.data()),
          "list the engines");
  std::vector<EngineConfig> out;
  for (int64_t i = 0; i < count; ++i) out.emplace_back(std::move(configs[size_t(i)]));
  return out;
}

// --- plans

Plan::Plan(const EngineConfig& config, const Descriptor& device)
    : descriptor_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
  descriptor_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config.descriptor());
  descriptor_.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device);
  descriptor_.finalize("make a plan");
  auto bytes = descriptor_.get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 1);
  workspace_bytes_ = bytes.empty() ? 0 : bytes[0];
}

void Plan::execute(cudnnHandle_t handle, std::span<const int64_t> ids, std::span<void* const> pointers,
                   void* workspace) const {
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids);
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, pointers);
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace);
  pack.finalize("name the memory of a plan");
  check(cudnnBackendExecute(handle, descriptor_.raw(), pack.raw()), "run a plan");
}

}  // namespace plumage::cuda
