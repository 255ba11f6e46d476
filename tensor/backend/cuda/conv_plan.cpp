#include "tensor/backend/cuda/conv_plan.h"

namespace plumage::cuda {
namespace {

constexpr const char* kPassNames[] = {"forward", "dx", "dw", "frozen", "stats"};

// A frozen convolution and what follows it, in f32 until y is stored: + shift, + residual, relu. relu is
// spelled out, v <= 0 ? 0 : v, so that a NaN passes on: cuDNN's own promises nothing.
void add_frozen(Graph& graph, const ConvProblem& p, const Graph::Sizes& y, const Window& window) {
  int64_t within = kFirstWithin;
  auto next = [&](bool last, Graph::Place place = Graph::Place::within) {
    if (last) return int64_t(kTensorY);
    graph.tensor(within, y, DType::f32, 16, place);
    return within++;
  };
  int64_t value = next(false);
  graph.convolution(kTensorX, kTensorW, value, window);
  graph.tensor(kTensorShift, {1, p.K, 1, 1}, DType::f32, p.alignment);
  int64_t shifted = next(!p.residual && !p.relu);
  graph.pointwise(CUDNN_POINTWISE_ADD, value, kTensorShift, shifted);
  value = shifted;
  if (p.residual) {
    graph.tensor(kTensorResidual, y, p.dtype, p.alignment);
    int64_t added = next(!p.relu);
    graph.pointwise(CUDNN_POINTWISE_ADD, value, kTensorResidual, added);
    value = added;
  }
  if (p.relu) {
    graph.scalar(kZero);
    int64_t negative = next(false, Graph::Place::mask);
    graph.pointwise(CUDNN_POINTWISE_CMP_LE, value, kZero, negative);
    graph.select(negative, kZero, value, kTensorY);
  }
}

}  // namespace

std::string ConvProblem::str() const {
  return message(kPassNames[size_t(pass)], " ", name_of(dtype), " x ", N, " ", H, " ", W, " ", C, " w ", K,
                 " ", R, " ", S, " y ", P, " ", Q, " stride ", stride, " pad ", pad, onto ? " onto" : "",
                 residual ? " residual" : "", relu ? " relu" : "", " align ", alignment, tf32 ? " tf32" : "");
}

ConvProblem conv_problem(ConvPass pass, DType dtype, const Shape& x, const Shape& w, const Shape& y,
                         const Window& window) {
  ConvProblem p;
  p.pass = pass, p.dtype = dtype;
  p.N = x[0], p.H = x[1], p.W = x[2], p.C = x[3];
  p.K = w[0], p.R = w[1], p.S = w[2];
  p.P = y[1], p.Q = y[2];
  p.stride = window.stride, p.pad = window.pad;
  return p;
}

Graph conv_graph(const ConvProblem& p) {
  Graph graph;
  Window window{p.R, p.S, p.stride, p.pad};
  Graph::Sizes x{p.N, p.C, p.H, p.W}, w{p.K, p.C, p.R, p.S}, y{p.N, p.K, p.P, p.Q};
  graph.tensor(kTensorX, x, p.dtype, p.alignment);
  graph.tensor(kTensorW, w, p.dtype, p.alignment);
  graph.tensor(kTensorY, y, p.dtype, p.alignment);
  switch (p.pass) {
    case ConvPass::forward:
      graph.convolution(kTensorX, kTensorW, kTensorY, window);
      break;
    case ConvPass::dx:
      graph.convolution_dx(kTensorY, kTensorW, kTensorX, window, p.onto);
      break;
    case ConvPass::dw:
      graph.convolution_dw(kTensorX, kTensorY, kTensorW, window);
      break;
    case ConvPass::frozen:
      add_frozen(graph, p, y, window);
      break;
    case ConvPass::stats:
      graph.convolution(kTensorX, kTensorW, kTensorY, window);
      for (int64_t id : {kTensorSum, kTensorSquares}) graph.tensor(id, {1, p.K, 1, 1}, DType::f32, p.alignment);
      graph.statistics(kTensorY, kTensorSum, kTensorSquares);
      break;
  }
  return graph;
}

bool allowed(const EngineNotes& notes, const ConvProblem& p) {
  if (notes.nondeterministic || notes.coarse_sums) return false;
  // A tensor core has no f32 inputs: an engine that uses one rounds them, whether or not it says so.
  return p.dtype != DType::f32 || p.tf32 || !(notes.tensor_core || notes.converts_inputs);
}

std::vector<EngineConfig> conv_engines(const ConvProblem& problem, const Descriptor& device) {
  Graph graph = conv_graph(problem);
  for (cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    std::vector<EngineConfig> engines = graph.engines(device, mode);
    std::erase_if(engines, [&](const EngineConfig& e) {
      return !allowed(e.notes(), problem) || e.workspace_bytes() > kWorkspaceLimit;
    });
    if (!engines.empty() || problem.pass == ConvPass::frozen || problem.pass == ConvPass::stats) return engines;
  }
  return {};
}

}  // namespace plumage::cuda
