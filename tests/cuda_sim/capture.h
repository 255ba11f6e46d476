// Stream capture and graphs: work that is kept with its dependencies instead of queued, and run later as a
// whole. Next: runtime_graphs.cpp (the calls).
#pragma once
#include <memory>
#include <thread>
#include <vector>

#include "tests/cuda_sim/stream.h"

namespace cuda_sim {
struct Condition;
}

struct CUgraph_st {
  struct Node {
    cuda_sim::Work work;
    std::vector<int> after;  // earlier nodes
    void* engine = nullptr;  // of the stream it was captured from
    std::shared_ptr<char> order = std::make_shared<char>();  // its address is the node's handle
    std::shared_ptr<CUgraph_st> body;  // in place of work: a child, or what runs on a condition
    std::shared_ptr<cuda_sim::Condition> condition;
  };
  std::vector<Node> nodes;
};

namespace cuda_sim {

/// A number that kernels set and a node looks at.
struct Condition {
  const CUgraph_st* graph = nullptr;  // whose nodes may have it
  unsigned value = 0, at_launch = 0;
  bool reset = false;  // to at_launch, whenever the graph is launched
  bool used = false;
  CUgraph_st* body = nullptr;
};

struct Capture {
  std::unique_ptr<CUgraph_st> graph = std::make_unique<CUgraph_st>();
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  Stream* origin = nullptr;
  unsigned long long id = 0;
  bool broken = false;
};

/// If the stream is being captured (or may not be used because of a capture), takes the work or sets the
/// error.
bool capture_takes(Stream& stream, Work& work, cudaError_t* error);
/// For calls that capture forbids: 900 and a broken capture if this thread's mode forbids them now.
cudaError_t forbidden_in_capture();
/// For calls that wait for or ask about one stream.
cudaError_t forbidden_for(Stream& stream);
/// An illegal step: the capture is lost, `why` is the call's error.
cudaError_t break_capture(Capture& capture, cudaError_t why);

/// Runs all nodes, in an order that only their dependencies constrain.
void run_graph(const CUgraph_st& graph, uint64_t seed);

int report_events();
int report_graphs();

}  // namespace cuda_sim
