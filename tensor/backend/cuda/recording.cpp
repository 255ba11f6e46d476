// Recordings: one graph of both parts, the second in a node with a condition; where those are not to be had, two graphs and a
// look between them.
#include "tensor/accelerator.h"
#include "tensor/backend/cuda/condition.h"
#include "tensor/errors.h"

namespace plumage::accelerator {
namespace {

struct GraphDeleter {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
using Graph = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, GraphDeleter>;

struct ExecutableDeleter {
  void operator()(cudaGraphExec_t executable) const { cudaGraphExecDestroy(executable); }
};
using Executable = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, ExecutableDeleter>;

struct Recording {
  Executable whole, rest;  // `rest`, where there is one, runs after a look at the flag
  const int64_t* flag = nullptr;
};

Graph capture(Context& context, const std::function<void()>& work) {
  cudaStream_t stream = cuda::stream(context);
  cudaGraph_t graph = nullptr;
  cuda::check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  context.capturing = true;
  try {
    work();
  } catch (...) {
    context.capturing = false;
    if (cudaStreamEndCapture(stream, &graph) == cudaSuccess) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  context.capturing = false;
  cudaError_t status = cudaStreamEndCapture(stream, &graph);
  if (status != cudaSuccess) {
    cudaGetLastError();
    throw MachineError(message("CUDA: a step could not be captured: ", cudaGetErrorString(status), " (", cudaGetErrorName(status),
                               "); the last ops were ", context.recent_ops()));
  }
  return Graph(graph);
}

Executable instantiate(const Graph& graph) {
  cudaGraphExec_t executable = nullptr;
  cuda::check(cudaGraphInstantiate(&executable, graph.get(), 0), "cudaGraphInstantiate");
  return Executable(executable);
}

#if CUDART_VERSION >= 12040

bool conditions() {
  int driver = 0;
  return cudaDriverGetVersion(&driver) == cudaSuccess && driver >= 12040;
}

// The graph that the stream is being captured into, and the node that the next one would follow.
struct Place {
  cudaGraph_t graph = nullptr;
  cudaGraphNode_t last = nullptr;
};

Place place_in_capture(cudaStream_t stream) {
  Place place;
  cudaStreamCaptureStatus status;
  unsigned long long id = 0;
  const cudaGraphNode_t* before = nullptr;
  size_t count = 0;
#if CUDART_VERSION >= 13000
  const cudaGraphEdgeData* edges = nullptr;
  cuda::check(cudaStreamGetCaptureInfo(stream, &status, &id, &place.graph, &before, &edges, &count), "cudaStreamGetCaptureInfo");
#else
  cuda::check(cudaStreamGetCaptureInfo_v2(stream, &status, &id, &place.graph, &before, &count), "cudaStreamGetCaptureInfo");
#endif
  if (count > 0) place.last = before[count - 1];  // one stream: there is one
  return place;
}

// Adds a node behind `last` that runs `body` if the handle's number is not 0.
void add_condition(const Place& place, cudaGraphConditionalHandle handle, const Graph& body) {
  cudaGraphNodeParams parameters{};
  parameters.type = cudaGraphNodeTypeConditional;
  parameters.conditional.handle = handle;
  parameters.conditional.type = cudaGraphCondTypeIf;
  parameters.conditional.size = 1;
  cudaGraphNode_t node = nullptr, inside = nullptr;
#if CUDART_VERSION >= 13000
  cuda::check(cudaGraphAddNode(&node, place.graph, &place.last, nullptr, 1, &parameters), "cudaGraphAddNode");
#else
  cuda::check(cudaGraphAddNode(&node, place.graph, &place.last, 1, &parameters), "cudaGraphAddNode");
#endif
  cuda::check(cudaGraphAddChildGraphNode(&inside, parameters.conditional.phGraph_out[0], nullptr, 0, body.get()),
              "cudaGraphAddChildGraphNode");
}

Executable record_whole(Context& context, const std::function<void()>& first, const int64_t* flag, const std::function<void()>& then) {
  Place place;
  cudaGraphConditionalHandle handle{};
  Graph graph = capture(context, [&] {
    first();
    cudaStream_t stream = cuda::stream(context);
    cuda::check(cudaGraphConditionalHandleCreate(&handle, place_in_capture(stream).graph, 0, 0), "cudaGraphConditionalHandleCreate");
    cuda::set_condition(context, handle, flag);
    place = place_in_capture(stream);
  });
  add_condition(place, handle, capture(context, then));
  return instantiate(graph);
}

#else

bool conditions() { return false; }
Executable record_whole(Context&, const std::function<void()>&, const int64_t*, const std::function<void()>&) { return {}; }

#endif

}  // namespace

std::shared_ptr<void> record(Context& context, const std::function<void()>& first, const int64_t* flag,
                             const std::function<void()>& then) {
  auto recording = std::make_shared<Recording>();
  recording->flag = flag;
  if (conditions()) {
    recording->whole = record_whole(context, first, flag, then);
  } else {
    recording->whole = instantiate(capture(context, first));
    recording->rest = instantiate(capture(context, then));
  }
  return recording;
}

void replay(Context& context, void* handle) {
  auto& recording = *static_cast<Recording*>(handle);
  auto launch = [&](const Executable& part) {
    cuda::check(cudaGraphLaunch(part.get(), cuda::stream(context)), "cudaGraphLaunch");
  };
  launch(recording.whole);
  if (!recording.rest) return;
  int64_t go_on = 0;
  copy(&go_on, Device{}, recording.flag, context.device(), sizeof go_on);
  if (go_on) launch(recording.rest);
}

}  // namespace plumage::accelerator
