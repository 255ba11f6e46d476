// Which engines the simulated cuDNN offers for a graph. The list is made to catch a careless user: the first
// are those that should be passed over (not repeatable, rounding inputs or sums, refusing when the plan is
// made), then come good ones, with a workspace and without. Next: dnn_run.cpp, which computes as each of them
// would.
#include "tests/cuda_sim/dnn_descriptor.h"

namespace cuda_sim {
namespace {

enum class Kind { forward, data, filter, fused, statistics, unknown };

Kind kind_of(const std::vector<DescriptorRef>& operations) {
  bool alone = operations.size() == 1;
  auto is = [&](size_t i, cudnnBackendDescriptorType_t type) { return operations[i]->type == type; };
  if (operations.size() == 2 && is(0, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR) &&
      is(1, CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR))
    return Kind::statistics;
  for (size_t i = 1; i < operations.size(); ++i)
    if (operations[i]->type != CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) return Kind::unknown;
  switch (operations[0]->type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return alone ? Kind::forward : Kind::fused;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      return alone ? Kind::data : Kind::fused;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      return alone ? Kind::filter : Kind::unknown;
    default:
      return Kind::unknown;
  }
}

constexpr auto kCore = CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
constexpr auto kRounds = CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
constexpr auto kCoarse = CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
constexpr auto kLoose = CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
constexpr auto kCompiles = CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;

// workspace: what an engine that wants some wants.
std::vector<Engine> engines_for(Kind kind, bool bf16, cudnnBackendHeurMode_t mode, int64_t workspace) {
  if (mode == CUDNN_HEUR_MODE_FALLBACK) return {{25, 0, {kLoose}, {}}, {0, 0, {}, {}}};
  if (kind == Kind::fused || kind == Kind::statistics) {
    // On the device they run on tensor cores only, which round f32.
    if (!bf16) return {{51, 0, {kCore, kRounds}, {kCompiles}}};
    return {{50, 0, {kCore}, {kCompiles}, true},
            {52, workspace, {kCore, kCoarse}, {kCompiles}},
            {51, 0, {kCore}, {kCompiles}}};
  }
  std::vector<Engine> list;
  if (kind == Kind::filter) list.push_back({25, workspace, {kLoose}, {}});
  if (bf16) {
    list.push_back({40, 0, {kCore, kCoarse}, {}});
    list.push_back({44, workspace, {kCore}, {}});
    list.push_back({41, 0, {kCore}, {}});
  } else {
    list.push_back({30, 0, {kCore, kRounds}, {}});
    list.push_back({3, 0, {}, {}, true});
    list.push_back({2, workspace, {}, {}});
    list.push_back({1, 0, {}, {}});
  }
  return list;
}

DescriptorRef configuration(const Engine& engine, const DescriptorRef& graph) {
  auto make = [&](cudnnBackendDescriptorType_t type) {
    auto d = std::make_shared<Descriptor>();
    d->type = type;
    d->finalized = true;
    d->engine = std::make_shared<Engine>(engine);
    d->graph = graph;
    return d;
  };
  auto config = make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  config->results = {make(CUDNN_BACKEND_ENGINE_DESCRIPTOR)};
  return config;
}

}  // namespace

cudnnStatus_t choose_engines(Descriptor& heuristics) {
  DescriptorRef graph = heuristics.ref(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  if (!graph || !heuristics.has(CUDNN_ATTR_ENGINEHEUR_MODE))
    return refuse(CUDNN_STATUS_BAD_PARAM, "heuristics want a graph and a mode");
  std::vector<DescriptorRef> operations = graph->refs(CUDNN_ATTR_OPERATIONGRAPH_OPS);
  Kind kind = kind_of(operations);
  if (kind == Kind::unknown)
    return refuse(CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN, "no engine (of the simulator) for this graph");

  const ConvNames& names = *conv_names(operations[0]->type);
  DnnTensor x(*operations[0]->ref(names.x)), w(*operations[0]->ref(names.w)), y(*operations[0]->ref(names.y));
  for (const DnnTensor* t : {&x, &w, &y}) {
    if (!t->is_nhwc())
      return refuse(CUDNN_STATUS_NOT_SUPPORTED_LAYOUT, "the simulator knows N, H, W, C only");
    if (t->type != CUDNN_DATA_FLOAT && t->type != CUDNN_DATA_BFLOAT16)
      return refuse(CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE, "f32 and bf16 only");
  }
  // As on the device: what lies in memory is of one type, so gradients of filters come in the type of what
  // they are made from. Only within a fused graph f32 may go between.
  cudnnDataType_t type = x.is_virtual ? w.type : x.type;
  for (const DnnTensor* t : {&x, &w, &y})
    if (t->type != type && !t->is_virtual)
      return refuse(CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE, "x, w and y are of different types");
  const Descriptor& window = *operations[0]->ref(names.window);
  if (window.one<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION ||
      window.one<cudnnDataType_t>(CUDNN_ATTR_CONVOLUTION_COMP_TYPE) != CUDNN_DATA_FLOAT)
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, "cross-correlation in f32 only");

  if (kind == Kind::statistics) {
    const Descriptor& statistics = *operations[1];
    if (DnnTensor(*statistics.ref(CUDNN_ATTR_OPERATION_GENSTATS_XDESC)).id != y.id)
      return refuse(CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN, "statistics of something else than the convolution's result");
    for (auto name : {CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC}) {
      DnnTensor sums(*statistics.ref(name));
      if (sums.sizes != std::vector<int64_t>{1, y.sizes[1], 1, 1})
        return refuse(CUDNN_STATUS_NOT_SUPPORTED_SHAPE, "statistics: the sums are 1, C, 1, 1");
      if (sums.type != CUDNN_DATA_FLOAT) return refuse(CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE, "statistics: the sums are f32");
    }
  }

  int64_t workspace = 256 + 4 * y.sizes[1] * y.sizes[3];
  auto mode = heuristics.one<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE);
  for (const Engine& engine : engines_for(kind, type == CUDNN_DATA_BFLOAT16, mode, workspace))
    heuristics.results.push_back(configuration(engine, graph));
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace cuda_sim
