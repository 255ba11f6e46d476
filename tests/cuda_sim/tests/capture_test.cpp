// Capture and replay: what ends in a graph, and what is refused on the way.
#include <doctest/doctest.h>

#include <thread>

#include "tests/cuda_sim/tests/planted.h"

namespace {

__global__ void add(float* x, const float* by, int n) {
  int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] += *by;
}
__global__ void set_if_positive(cudaGraphConditionalHandle condition, const float* x) { cudaGraphSetConditional(condition, *x > 0); }
__global__ void sum_two(const float* x, const float* y, float* z) { *z = *x + *y; }

struct Fixture {
  cudaStream_t a = nullptr, b = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  cudaGraph_t graph = nullptr;
  Fixture() {
    cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&fork, cudaEventDisableTiming);
    cudaEventCreateWithFlags(&join, cudaEventDisableTiming);
  }
  ~Fixture() {
    if (graph) cudaGraphDestroy(graph);
    cudaEventDestroy(fork);
    cudaEventDestroy(join);
    cudaStreamDestroy(a);
    cudaStreamDestroy(b);
    cudaGetLastError();
  }
  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
    REQUIRE(cudaStreamBeginCapture(a, mode) == cudaSuccess);
  }
  cudaError_t end() { return cudaStreamEndCapture(a, &graph); }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a captured step runs at each launch, with the values that are there then") {
  for (uint64_t seed : kSeeds) {
    Seeded seeded(seed);
    OnDevice<float> x(std::vector<float>(10, 0.0f)), by(std::vector<float>{1.0f});
    float* step = nullptr;
    cudaMallocHost(reinterpret_cast<void**>(&step), sizeof(float));
    uint64_t before = cuda_sim::counts().launches;
    begin();
    CHECK(cudaMemcpyAsync(by.data, step, 4, cudaMemcpyHostToDevice, a) == cudaSuccess);
    CHECK(start(add, 1, 32, 0, a, x.data, by.data, 10) == cudaSuccess);
    REQUIRE(end() == cudaSuccess);
    size_t nodes = 0;
    CHECK(cudaGraphGetNodes(graph, nullptr, &nodes) == cudaSuccess);
    CHECK(nodes == 2);
    cudaDeviceSynchronize();
    CHECK(cuda_sim::counts().launches == before);  // nothing ran by being captured
    cudaGraphExec_t executable;
    REQUIRE(cudaGraphInstantiate(&executable, graph) == cudaSuccess);
    CHECK(cudaGraphDestroy(graph) == cudaSuccess);
    graph = nullptr;
    for (float value : {1.0f, 10.0f, 100.0f}) {
      *step = value;
      CHECK(cudaGraphLaunch(executable, a) == cudaSuccess);
      CHECK(cudaStreamSynchronize(a) == cudaSuccess);
    }
    CHECK(x.host()[9] == 111.0f);
    CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
    cudaFreeHost(step);
  }
}

TEST_CASE_FIXTURE(Fixture,
                  "a second stream joins by an event and must come back; its branch runs in either order") {
  for (uint64_t seed : kSeeds) {
    Seeded seeded(seed);
    OnDevice<float> x(std::vector<float>{1.0f}), y(std::vector<float>{2.0f}), z(1),
        one(std::vector<float>{1.0f});
    begin();
    cudaEventRecord(fork, a);
    CHECK(cudaStreamWaitEvent(b, fork) == cudaSuccess);
    cudaStreamCaptureStatus status;
    CHECK(cudaStreamIsCapturing(b, &status) == cudaSuccess);
    CHECK(status == cudaStreamCaptureStatusActive);
    start(add, 1, 1, 0, a, x.data, one.data, 1);
    start(add, 1, 1, 0, b, y.data, one.data, 1);
    cudaEventRecord(join, b);
    CHECK(cudaStreamWaitEvent(a, join) == cudaSuccess);
    start(sum_two, 1, 1, 0, a, x.data, y.data, z.data);
    REQUIRE(end() == cudaSuccess);
    cudaStreamIsCapturing(b, &status);
    CHECK(status == cudaStreamCaptureStatusNone);
    cudaGraphExec_t executable;
    REQUIRE(cudaGraphInstantiate(&executable, graph) == cudaSuccess);
    cudaGraphLaunch(executable, b);
    cudaGraphLaunch(executable, a);  // never at the same time as the launch before
    CHECK(z.host()[0] == 7.0f);
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
    graph = nullptr;
  }
}

TEST_CASE_FIXTURE(
    Fixture, "planted: allocation, waiting and asking during capture are refused, and the capture is lost") {
  void* p = nullptr;
  OnDevice<float> x(4);
  float host[4] = {};
  auto refused = [&](cudaError_t error, auto call) {
    begin();
    CHECK(call() == error);
    CHECK(start(add, 1, 1, 0, a, x.data, x.data, 1) == cudaErrorStreamCaptureInvalidated);
    CHECK(end() == cudaErrorStreamCaptureInvalidated);
    CHECK(graph == nullptr);
    CHECK(start(add, 1, 1, 0, a, x.data, x.data, 1) == cudaSuccess);  // the stream is usable again
  };
  refused(cudaErrorStreamCaptureUnsupported, [&] { return cudaMalloc(&p, 4); });
  refused(cudaErrorStreamCaptureUnsupported, [&] { return cudaFree(x.data); });
  refused(cudaErrorStreamCaptureUnsupported, [&] { return cudaMallocHost(&p, 4); });
  refused(cudaErrorStreamCaptureUnsupported, [&] { return cudaDeviceSynchronize(); });
  refused(cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamSynchronize(a); });
  refused(cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamQuery(a); });
  refused(cudaErrorStreamCaptureUnsupported,
          [&] { return cudaMemcpy(x.data, host, 16, cudaMemcpyHostToDevice); });
  refused(cudaErrorStreamCaptureUnsupported,
          [&] { return cudaMemcpyAsync(host, x.data, 16, cudaMemcpyDeviceToHost, a); });
  refused(cudaErrorCapturedEvent, [&] {
    cudaEventRecord(fork, a);
    return cudaEventSynchronize(fork);
  });
  refused(cudaErrorStreamCaptureIsolation, [&] {
    cudaEventRecord(fork, b);
    return cudaStreamWaitEvent(a, fork);
  });
}

TEST_CASE_FIXTURE(Fixture, "the mode says which threads are held to the rules") {
  void *mine = nullptr, *other = nullptr;
  auto elsewhere = [&] {
    cudaError_t error = cudaSuccess;
    std::thread([&] { error = cudaMalloc(&other, 4); }).join();
    return error;
  };
  begin(cudaStreamCaptureModeThreadLocal);
  CHECK(elsewhere() == cudaSuccess);
  CHECK(end() == cudaSuccess);
  cudaFree(other);
  cudaGraphDestroy(graph);
  begin(cudaStreamCaptureModeGlobal);
  CHECK(elsewhere() == cudaErrorStreamCaptureUnsupported);
  CHECK(end() == cudaErrorStreamCaptureInvalidated);
  begin(cudaStreamCaptureModeRelaxed);
  CHECK(cudaMalloc(&mine, 4) == cudaSuccess);
  CHECK(end() == cudaSuccess);
  cudaFree(mine);
  begin();
  cudaError_t ended = cudaSuccess;
  cudaGraph_t none = nullptr;
  std::thread([&] {
    ended = cudaStreamEndCapture(a, &none);
    cudaGetLastError();
  }).join();
  CHECK(ended == cudaErrorStreamCaptureWrongThread);
  cudaGraphDestroy(graph);
  graph = nullptr;
  CHECK(end() == cudaErrorStreamCaptureInvalidated);
}

TEST_CASE_FIXTURE(Fixture, "branches that do not come back, and the legacy stream") {
  OnDevice<float> x(std::vector<float>{1.0f});
  begin();
  cudaEventRecord(fork, a);
  cudaStreamWaitEvent(b, fork);
  start(add, 1, 1, 0, b, x.data, x.data, 1);
  cudaGraph_t none = nullptr;
  CHECK(cudaStreamEndCapture(b, &none) == cudaErrorStreamCaptureUnmatched);
  CHECK(end() == cudaErrorStreamCaptureInvalidated);
  begin();
  cudaEventRecord(fork, a);
  cudaStreamWaitEvent(b, fork);
  start(add, 1, 1, 0, b, x.data, x.data, 1);
  CHECK(end() == cudaErrorStreamCaptureUnjoined);
  cudaStream_t blocking;
  cudaStreamCreate(&blocking);
  CHECK(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeRelaxed) == cudaErrorStreamCaptureUnsupported);
  cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed);
  CHECK(start(add, 1, 1, 0, nullptr, x.data, x.data, 1) == cudaErrorStreamCaptureImplicit);
  CHECK(cudaStreamEndCapture(blocking, &none) == cudaErrorStreamCaptureInvalidated);
  begin();
  CHECK(start(add, 1, 1, 0, nullptr, x.data, x.data, 1) == cudaSuccess);  // a is not blocking
  CHECK(end() == cudaSuccess);
  cudaStreamDestroy(blocking);
}

namespace {

// A captured step that sets `condition` by *x, and behind it a node that runs `body` on it.
cudaError_t add_conditional(cudaGraph_t graph, cudaGraphConditionalHandle condition, cudaGraph_t body) {
  cudaGraphNodeParams parameters{};
  parameters.type = cudaGraphNodeTypeConditional;
  parameters.conditional = {condition, cudaGraphCondTypeIf, 1, nullptr};
  cudaGraphNode_t node = nullptr, inside = nullptr;
  if (cudaError_t error = cudaGraphAddNode(&node, graph, nullptr, nullptr, 0, &parameters)) return error;
  return cudaGraphAddChildGraphNode(&inside, parameters.conditional.phGraph_out[0], nullptr, 0, body);
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a node with a condition runs its body if a kernel before it said so") {
  for (uint64_t seed : kSeeds) {
    Seeded seeded(seed);
    OnDevice<float> x(std::vector<float>{0.0f}), y(std::vector<float>{0.0f}), one(std::vector<float>{1.0f});
    cudaGraph_t body = nullptr, captured = nullptr;
    cudaGraphConditionalHandle condition = 0;
    cudaStreamCaptureStatus status;
    unsigned long long id = 0;
    const cudaGraphNode_t* before = nullptr;
    const cudaGraphEdgeData* edges = nullptr;
    size_t count = 0;
    begin();
    start(add, 1, 1, 0, a, y.data, one.data, 1);
    REQUIRE(end() == cudaSuccess);
    body = graph;
    begin();
    start(add, 1, 1, 0, a, x.data, one.data, 1);  // so it holds
    REQUIRE(cudaStreamGetCaptureInfo(a, &status, &id, &captured, &before, &edges, &count) == cudaSuccess);
    CHECK(status == cudaStreamCaptureStatusActive);
    CHECK(count == 1);
    REQUIRE(cudaGraphConditionalHandleCreate(&condition, captured, 0, 0) == cudaSuccess);
    start(set_if_positive, 1, 1, 0, a, condition, x.data);
    REQUIRE(cudaStreamGetCaptureInfo(a, &status, &id, &captured, &before, &edges, &count) == cudaSuccess);
    cudaGraphNode_t last = before[0], node = nullptr, inside = nullptr;
    REQUIRE(end() == cudaSuccess);
    CHECK(captured == graph);
    cudaGraphNodeParams parameters{};
    parameters.type = cudaGraphNodeTypeConditional;
    parameters.conditional = {condition, cudaGraphCondTypeIf, 1, nullptr};
    REQUIRE(cudaGraphAddNode(&node, graph, &last, nullptr, 1, &parameters) == cudaSuccess);
    REQUIRE(cudaGraphAddChildGraphNode(&inside, parameters.conditional.phGraph_out[0], nullptr, 0, body) == cudaSuccess);
    cudaGraphExec_t executable;
    REQUIRE(cudaGraphInstantiate(&executable, graph) == cudaSuccess);
    CHECK(cudaGraphDestroy(body) == cudaSuccess);
    for (int i = 0; i < 2; ++i) CHECK(cudaGraphLaunch(executable, a) == cudaSuccess);
    CHECK(x.host() == std::vector<float>{2});
    CHECK(y.host() == std::vector<float>{2});
    cudaMemset(x.data, 0xff, 4);  // NaN is not positive
    cudaDeviceSynchronize();
    CHECK(cudaGraphLaunch(executable, a) == cudaSuccess);
    CHECK(y.host() == std::vector<float>{2});
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
    graph = nullptr;
  }
}

TEST_CASE_FIXTURE(Fixture, "conditions that a device refuses") {
  OnDevice<float> x(std::vector<float>{1.0f});
  auto capture = [&](bool on_host) {
    begin();
    start(add, 1, 1, 0, a, x.data, x.data, 1);
    if (on_host) cudaLaunchHostFunc(a, [](void*) {}, nullptr);
    REQUIRE(end() == cudaSuccess);
    return graph;
  };
  cudaGraph_t first = capture(false), second = capture(false), host = capture(true);
  cudaGraphConditionalHandle condition = 0;
  REQUIRE(cudaGraphConditionalHandleCreate(&condition, first, 0, 0) == cudaSuccess);
  CHECK(add_conditional(second, condition, host) == cudaErrorInvalidValue);  // another graph's
  CHECK(add_conditional(first, condition + 1, host) == cudaErrorInvalidValue);
  CHECK(add_conditional(first, condition, host) == cudaSuccess);
  CHECK(add_conditional(first, condition, second) == cudaErrorInvalidValue);  // twice
  cudaGraphExec_t executable;
  CHECK(cudaGraphInstantiate(&executable, first) == cudaErrorInvalidValue);  // a host function in it
  cudaGraphNode_t node;
  CHECK(cudaGraphAddChildGraphNode(&node, second, nullptr, 0, first) == cudaErrorNotSupported);
  for (cudaGraph_t g : {first, second, host}) cudaGraphDestroy(g);
  graph = nullptr;
}
