// The runtime's calls for capture and graphs.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "tests/cuda_sim/capture.h"
#include "tests/cuda_sim/device.h"
#include "tests/cuda_sim/stream.h"

struct CUgraphExec_st {
  std::shared_ptr<const CUgraph_st> graph;
  cuda_sim::Mark last;  // its launches never overlap
};

namespace cuda_sim {
namespace {

std::vector<std::unique_ptr<CUgraph_st>>& graphs() {
  static auto* instance = new std::vector<std::unique_ptr<CUgraph_st>>;
  return *instance;
}
std::vector<std::unique_ptr<CUgraphExec_st>>& executables() {
  static auto* instance = new std::vector<std::unique_ptr<CUgraphExec_st>>;
  return *instance;
}

std::map<cudaGraphConditionalHandle, std::shared_ptr<Condition>>& conditions() {
  static auto* instance = new std::map<cudaGraphConditionalHandle, std::shared_ptr<Condition>>;
  return *instance;
}

template <class T>
T* find(std::vector<std::unique_ptr<T>>& list, const T* handle) {
  for (const auto& one : list)
    if (one.get() == handle) return one.get();
  return nullptr;
}

// The graph of a handle: one that was captured or is being, or what runs on a condition in it.
CUgraph_st* find_graph(const CUgraph_st* handle, CUgraph_st* in) {
  if (in == handle) return in;
  for (auto& node : in->nodes)
    if (node.condition)
      if (CUgraph_st* found = find_graph(handle, node.body.get())) return found;
  return nullptr;
}
CUgraph_st* find_graph(const CUgraph_st* handle) {
  for (const auto& one : graphs())
    if (CUgraph_st* found = find_graph(handle, one.get())) return found;
  for (const auto& stream : all_streams())
    if (stream->capture && stream->capture->graph)
      if (CUgraph_st* found = find_graph(handle, stream->capture->graph.get())) return found;
  return nullptr;
}

cudaGraphNode_t handle_of(const CUgraph_st::Node& node) { return reinterpret_cast<cudaGraphNode_t>(node.order.get()); }

// Adds a node after others of the graph; false if they are not all there.
bool add_node(CUgraph_st& graph, CUgraph_st::Node node, const cudaGraphNode_t* after, size_t count, cudaGraphNode_t* handle) {
  for (size_t i = 0; i < count; ++i) {
    auto found = std::find_if(graph.nodes.begin(), graph.nodes.end(), [&](const auto& n) { return handle_of(n) == after[i]; });
    if (found == graph.nodes.end()) return false;
    node.after.push_back(static_cast<int>(found - graph.nodes.begin()));
  }
  node.engine = make_engine();  // it was captured from no stream
  *handle = handle_of(node);
  graph.nodes.push_back(std::move(node));
  return true;
}

// What may run on a condition: kernels, copies and such graphs, nothing on the host.
bool fit_for_condition(const CUgraph_st& graph) {
  return std::all_of(graph.nodes.begin(), graph.nodes.end(), [](const CUgraph_st::Node& node) {
    return node.body ? fit_for_condition(*node.body) : !node.work.on_host;
  });
}

bool sound(const CUgraph_st& graph) {
  return std::all_of(graph.nodes.begin(), graph.nodes.end(), [](const CUgraph_st::Node& node) {
    return !node.body || ((!node.condition || fit_for_condition(*node.body)) && sound(*node.body));
  });
}

void reset_conditions(const CUgraph_st& graph) {
  for (const auto& node : graph.nodes) {
    if (node.condition && node.condition->reset) node.condition->value = node.condition->at_launch;
    if (node.body) reset_conditions(*node.body);
  }
}

// Does all that other streams did in the capture come before the origin's end?
bool all_joined(const Capture& capture) {
  std::set<int> before;
  std::vector<int> todo = capture.origin->frontier;
  while (!todo.empty()) {
    int node = todo.back();
    todo.pop_back();
    if (!before.insert(node).second) continue;
    const auto& after = capture.graph->nodes[static_cast<size_t>(node)].after;
    todo.insert(todo.end(), after.begin(), after.end());
  }
  for (const auto& stream : all_streams())
    if (stream->capture.get() == &capture)
      for (int node : stream->frontier)
        if (!before.count(node)) return false;
  return true;
}

void leave_capture(const std::shared_ptr<Capture>& capture) {
  capture->origin = nullptr;  // events that were recorded in it see that it is over
  for (const auto& stream : all_streams())
    if (stream->capture == capture) stream->capture = nullptr, stream->frontier.clear();
}

}  // namespace

int report_graphs() {
  size_t alive = graphs().size() + executables().size();
  if (alive) std::fprintf(stderr, "cuda_sim: at exit: %zu graphs were not destroyed\n", alive);
  return alive != 0;
}

}  // namespace cuda_sim

using namespace cuda_sim;

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return api("cudaStreamBeginCapture", [&] {
    static unsigned long long captures = 0;
    auto stream = find_stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (stream->legacy) return cudaErrorStreamCaptureUnsupported;
    if (stream->capture) return break_capture(*stream->capture, cudaErrorIllegalState);
    stream->capture = std::make_shared<Capture>();
    stream->capture->mode = mode;
    stream->capture->thread = std::this_thread::get_id();
    stream->capture->origin = stream.get();
    stream->capture->id = ++captures;
    stream->frontier.clear();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return api("cudaStreamEndCapture", [&] {
    *graph = nullptr;
    auto stream = find_stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (!stream->capture) return cudaErrorIllegalState;
    std::shared_ptr<Capture> capture = stream->capture;
    if (capture->origin != stream.get()) return break_capture(*capture, cudaErrorStreamCaptureUnmatched);
    if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
      return break_capture(*capture, cudaErrorStreamCaptureWrongThread);
    bool joined = all_joined(*capture);
    leave_capture(capture);
    if (capture->broken) return cudaErrorStreamCaptureInvalidated;
    if (!joined) return cudaErrorStreamCaptureUnjoined;
    graphs().push_back(std::move(capture->graph));
    *graph = graphs().back().get();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return api("cudaStreamIsCapturing", [&] {
    auto stream = find_stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    *status = !stream->capture          ? cudaStreamCaptureStatusNone
              : stream->capture->broken ? cudaStreamCaptureStatusInvalidated
                                        : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status, unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** before, const cudaGraphEdgeData** edges, size_t* count) {
  return api("cudaStreamGetCaptureInfo", [&] {
    static std::vector<cudaGraphNode_t> nodes;  // stay until the next call
    auto stream = find_stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    *status = cudaStreamCaptureStatusNone;
    if (!stream->capture) return cudaSuccess;
    *status = stream->capture->broken ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
    *id = stream->capture->id;
    *graph = stream->capture->graph.get();
    nodes.clear();
    for (int node : stream->frontier) nodes.push_back(handle_of(stream->capture->graph->nodes[static_cast<size_t>(node)]));
    *before = nodes.data();
    *edges = nullptr;
    *count = nodes.size();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle* handle, cudaGraph_t graph_handle, unsigned value,
                                             unsigned flags) {
  return api("cudaGraphConditionalHandleCreate", [&] {
    static cudaGraphConditionalHandle last = 0;
    int driver = 0;
    cudaDriverGetVersion(&driver);
    if (driver < 12040) return cudaErrorNotSupported;
    CUgraph_st* graph = find_graph(graph_handle);
    if (!graph || flags > cudaGraphCondAssignDefault) return cudaErrorInvalidValue;
    *handle = ++last;
    conditions()[last] = std::make_shared<Condition>(
        Condition{.graph = graph, .value = value, .at_launch = value, .reset = flags == cudaGraphCondAssignDefault});
    return cudaSuccess;
  });
}

// In a kernel: the lock is held by who runs it.
void cudaGraphSetConditional(cudaGraphConditionalHandle handle, unsigned value) {
  auto found = conditions().find(handle);
  if (found == conditions().end()) return set_sticky(cudaErrorIllegalAddress);
  found->second->value = value;
}

cudaError_t cudaGraphAddNode(cudaGraphNode_t* handle, cudaGraph_t graph_handle, const cudaGraphNode_t* after, const cudaGraphEdgeData*,
                             size_t count, cudaGraphNodeParams* parameters) {
  return api("cudaGraphAddNode", [&] {
    CUgraph_st* graph = find_graph(graph_handle);
    if (!graph || parameters->type != cudaGraphNodeTypeConditional) return cudaErrorInvalidValue;
    auto& wanted = parameters->conditional;
    auto found = conditions().find(wanted.handle);
    if (found == conditions().end() || found->second->graph != graph || found->second->used) return cudaErrorInvalidValue;
    if (wanted.type != cudaGraphCondTypeIf || wanted.size != 1) return cudaErrorInvalidValue;
    CUgraph_st::Node node;
    node.body = std::make_shared<CUgraph_st>();
    node.condition = found->second;
    node.condition->body = node.body.get();
    wanted.phGraph_out = &node.condition->body;
    node.condition->used = true;
    if (!add_node(*graph, std::move(node), after, count, handle)) return cudaErrorInvalidValue;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* handle, cudaGraph_t graph_handle, const cudaGraphNode_t* after, size_t count,
                                       cudaGraph_t child_handle) {
  return api("cudaGraphAddChildGraphNode", [&] {
    CUgraph_st *graph = find_graph(graph_handle), *child = find(graphs(), child_handle);
    if (!graph || !child || child == graph) return cudaErrorInvalidValue;
    for (const auto& node : child->nodes)
      if (node.condition) return cudaErrorNotSupported;  // conditions are of the graph they were made for
    CUgraph_st::Node node;
    node.body = std::make_shared<CUgraph_st>(*child);
    return add_node(*graph, std::move(node), after, count, handle) ? cudaSuccess : cudaErrorInvalidValue;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t handle, unsigned long long) {
  return api("cudaGraphInstantiate", [&] {
    CUgraph_st* graph = find(graphs(), handle);
    if (!graph || !sound(*graph)) return cudaErrorInvalidValue;
    executables().push_back(std::make_unique<CUgraphExec_st>());
    executables().back()->graph = std::make_shared<CUgraph_st>(*graph);  // the graph may go, this stays
    *executable = executables().back().get();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t handle, cudaStream_t) {
  return api("cudaGraphUpload",
             [&] { return find(executables(), handle) ? cudaSuccess : cudaErrorInvalidValue; });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream_handle) {
  return api("cudaGraphLaunch", [&] {
    auto stream = find_stream(stream_handle);
    CUgraphExec_st* executable = find(executables(), handle);
    if (!stream || !executable) return cudaErrorInvalidResourceHandle;
    if (stream->capture)
      return break_capture(*stream->capture, cudaErrorStreamCaptureUnsupported);  // no graph in a graph here
    wait_for(*stream, executable->last);
    cudaError_t error = submit(*stream, {[graph = executable->graph] {
      ++count().graph_launches;
      reset_conditions(*graph);
      run_graph(*graph, next_seed());
    }});
    executable->last = mark_now(*stream);
    return error;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
  return api("cudaGraphExecDestroy", [&] {
    if (!find(executables(), handle)) return cudaErrorInvalidResourceHandle;
    std::erase_if(executables(),
                  [&](const auto& e) { return e.get() == handle; });  // launches under way keep theirs
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
  return api("cudaGraphDestroy", [&] {
    if (!find(graphs(), handle)) return cudaErrorInvalidValue;
    std::erase_if(graphs(), [&](const auto& g) { return g.get() == handle; });
    return cudaSuccess;
  });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t* nodes, size_t* count) {
  return api("cudaGraphGetNodes", [&] {
    CUgraph_st* graph = find(graphs(), handle);
    if (!graph || nodes) return cudaErrorInvalidValue;  // only the count is to be had here
    *count = graph->nodes.size();
    return cudaSuccess;
  });
}
