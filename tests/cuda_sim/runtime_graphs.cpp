// The runtime's calls for capture and graphs.
#include <algorithm>
#include <cstdio>
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

template <class T>
T* find(std::vector<std::unique_ptr<T>>& list, const T* handle) {
  for (const auto& one : list)
    if (one.get() == handle) return one.get();
  return nullptr;
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

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t handle, unsigned long long) {
  return api("cudaGraphInstantiate", [&] {
    CUgraph_st* graph = find(graphs(), handle);
    if (!graph) return cudaErrorInvalidValue;
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
