#include "tests/cuda_sim/capture.h"

#include <algorithm>

#include "tests/cuda_sim/device.h"
#include "tests/cuda_sim/fiber.h"
#include "tests/cuda_sim/memory.h"
#include "tests/cuda_sim/order.h"

namespace cuda_sim {
namespace {

std::vector<Capture*> captures_going_on() {
  std::vector<Capture*> found;
  for (const auto& stream : all_streams())
    if (stream->capture && stream->capture->origin == stream.get()) found.push_back(stream->capture.get());
  return found;
}

}  // namespace

cudaError_t break_capture(Capture& capture, cudaError_t why) {
  capture.broken = true;
  return why;
}

bool capture_takes(Stream& stream, Work& work, cudaError_t* error) {
  if (stream.legacy) {
    // Blocking streams wait for the legacy stream and it for them: it would have to enter the graph.
    for (const auto& other : all_streams())
      if (other->capture && other->blocking) {
        *error = break_capture(*other->capture, cudaErrorStreamCaptureImplicit);
        return true;
      }
    return false;
  }
  if (!stream.capture) return false;
  Capture& capture = *stream.capture;
  if (capture.broken) {
    *error = cudaErrorStreamCaptureInvalidated;
    return true;
  }
  auto& nodes = capture.graph->nodes;
  CUgraph_st::Node node;
  node.work = std::move(work);
  node.after = stream.frontier;
  node.engine = stream.engine;
  nodes.push_back(std::move(node));
  stream.frontier = {static_cast<int>(nodes.size()) - 1};
  return true;
}

cudaError_t forbidden_in_capture() {
  for (Capture* capture : captures_going_on()) {
    if (capture->mode == cudaStreamCaptureModeRelaxed) continue;
    if (capture->mode == cudaStreamCaptureModeThreadLocal && capture->thread != std::this_thread::get_id())
      continue;
    return break_capture(*capture, cudaErrorStreamCaptureUnsupported);
  }
  return cudaSuccess;
}

cudaError_t forbidden_for(Stream& stream) {
  if (stream.capture) return break_capture(*stream.capture, cudaErrorStreamCaptureUnsupported);
  if (stream.legacy)
    for (const auto& other : all_streams())
      if (other->capture && other->blocking)
        return break_capture(*other->capture, cudaErrorStreamCaptureImplicit);
  return cudaSuccess;
}

void run_graph(const CUgraph_st& graph, uint64_t seed) {
  size_t n = graph.nodes.size();
  std::vector<int> waits(n, 0), ready;
  std::vector<std::vector<int>> followers(n);
  for (size_t i = 0; i < n; ++i) {
    waits[i] = static_cast<int>(graph.nodes[i].after.size());
    for (int before : graph.nodes[i].after)
      followers[static_cast<size_t>(before)].push_back(static_cast<int>(i));
    if (waits[i] == 0) ready.push_back(static_cast<int>(i));
  }
  Order order(seed);
  char start = 0, end = 0;
  release(&start);
  for (size_t done = 0; done < ready.size(); ++done) {
    std::swap(ready[done], ready[done + order.below(ready.size() - done)]);
    auto i = static_cast<size_t>(ready[done]);
    const CUgraph_st::Node& node = graph.nodes[i];
    {
      AsEngine as_engine(node.engine);
      acquire(&start);
      for (int before : node.after) acquire(graph.nodes[static_cast<size_t>(before)].order.get());
      if (node.body) {
        if (!node.condition || node.condition->value) run_graph(*node.body, order.shuffled() ? order.below(UINT32_MAX) + 1 : 0);
      } else if (node.work.on_host) {
        HostRuns host;
        node.work.run();
      } else if (node.work.run) {
        node.work.run();
        ++count().work;
      }
      release(node.order.get());
      release(&end);
    }
    for (int next : followers[i])
      if (--waits[static_cast<size_t>(next)] == 0) ready.push_back(next);
  }
  acquire(&end);
}

}  // namespace cuda_sim
