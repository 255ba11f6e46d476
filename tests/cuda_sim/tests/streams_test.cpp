// Streams, events and memory: what a device may do late, in another order, or refuse.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "tests/cuda_sim/tests/planted.h"

namespace {

__global__ void fill(float* x, float value, int n) {
  int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] = value;
}
__global__ void twice(const float* x, float* y, int n) {
  int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = 2 * x[i];
}

struct Streams {
  cudaStream_t a = nullptr, b = nullptr;
  cudaEvent_t event = nullptr;
  explicit Streams(unsigned flags = cudaStreamNonBlocking) {
    REQUIRE(cudaStreamCreateWithFlags(&a, flags) == cudaSuccess);
    REQUIRE(cudaStreamCreateWithFlags(&b, flags) == cudaSuccess);
    REQUIRE(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
  }
  ~Streams() {
    cudaStreamDestroy(a);
    cudaStreamDestroy(b);
    cudaEventDestroy(event);
  }
};

// Producer in stream a, consumer in stream b, with the event between them or without.
float produce_and_consume(bool with_event) {
  Streams s;
  OnDevice<float> x(std::vector<float>(100, 1.0f)), y(100);
  cudaDeviceSynchronize();
  start(fill, 1, 128, 0, s.a, x.data, 21.0f, 100);
  if (with_event) {
    cudaEventRecord(s.event, s.a);
    cudaStreamWaitEvent(s.b, s.event);
  }
  start(twice, 1, 128, 0, s.b, x.data, y.data, 100);
  float result = 0;
  cudaMemcpyAsync(&result, y.data + 99, sizeof result, cudaMemcpyDeviceToHost, s.b);
  cudaStreamSynchronize(s.b);
  cudaDeviceSynchronize();
  return result;
}

}  // namespace

TEST_CASE("planted: a missing event between two streams shows in the result" * doctest::skip(kWatched)) {
  std::set<float> with, without;
  for (uint64_t seed : kSeeds) {
    Seeded seeded(seed);
    with.insert(produce_and_consume(true));
    without.insert(produce_and_consume(false));
  }
  CHECK(with == std::set<float>{42.0f});
  CHECK(without.count(2.0f) == 1);
}

TEST_CASE("work runs when somebody waits, not before; the plain order runs it at once") {
  for (uint64_t seed : {uint64_t{0}, uint64_t{1}}) {
    Seeded seeded(seed);
    Streams s;
    OnDevice<float> x(10);
    uint64_t before = cuda_sim::counts().launches;
    start(fill, 1, 32, 0, s.a, x.data, 1.0f, 10);
    CHECK(cuda_sim::counts().launches - before == (seed == 0 ? 1 : 0));
    CHECK(cudaStreamSynchronize(s.a) == cudaSuccess);
    CHECK(cuda_sim::counts().launches - before == 1);
  }
}

TEST_CASE("asking in a loop comes to an end; a stream's end can be asked for") {
  Streams s;
  OnDevice<float> x(10);
  start(fill, 1, 32, 0, s.a, x.data, 1.0f, 10);
  cudaEventRecord(s.event, s.a);
  CHECK(cudaEventQuery(s.event) == cudaErrorNotReady);
  int asked = 1;
  while (cudaEventQuery(s.event) == cudaErrorNotReady) ++asked;
  CHECK(asked < 100);
  CHECK(cudaStreamQuery(s.a) == cudaSuccess);
  cudaGetLastError();
}

TEST_CASE("the legacy stream keeps order with blocking streams, not with others") {
  for (uint64_t seed : kSeeds) {
    Seeded seeded(seed);
    Streams s(cudaStreamDefault);
    OnDevice<float> x(std::vector<float>(10, 0.0f)), y(10);
    start(fill, 1, 32, 0, s.a, x.data, 3.0f, 10);
    start(twice, 1, 32, 0, nullptr, x.data, y.data, 10);
    start(twice, 1, 32, 0, s.b, y.data, x.data, 10);
    float result = 0;
    cudaMemcpyAsync(&result, x.data, 4, cudaMemcpyDeviceToHost, s.b);
    CHECK(result == 12.0f);
  }
}

TEST_CASE("planted: the legacy stream knows nothing of a stream that is not blocking" *
          doctest::skip(kWatched)) {
  Streams s;
  OnDevice<float> x(std::vector<float>(10, 0.0f)), y(10);
  start(fill, 1, 32, 0, s.a, x.data, 3.0f, 10);
  start(twice, 1, 32, 0, nullptr, x.data, y.data, 10);
  float result = -1;
  cudaMemcpy(&result, y.data, 4, cudaMemcpyDeviceToHost);
  CHECK(result == 0.0f);
}

TEST_CASE("pageable memory is read at the call, pinned memory when the copy runs" * doctest::skip(kWatched)) {
  Seeded seeded(1);
  Streams s;
  OnDevice<float> x(1);
  float *pinned = nullptr, plain = 1, result = 0;
  REQUIRE(cudaMallocHost(reinterpret_cast<void**>(&pinned), sizeof(float)) == cudaSuccess);
  cudaMemcpyAsync(x.data, &plain, 4, cudaMemcpyHostToDevice, s.a);
  plain = 2;
  cudaMemcpyAsync(&result, x.data, 4, cudaMemcpyDeviceToHost, s.a);  // waits: the memory is pageable
  CHECK(result == 1);
  *pinned = 1;
  cudaMemcpyAsync(x.data, pinned, 4, cudaMemcpyHostToDevice, s.a);
  *pinned = 2;  // a mistake, and it shows
  cudaMemcpyAsync(&result, x.data, 4, cudaMemcpyDeviceToHost, s.a);
  CHECK(result == 2);
  cudaMemsetAsync(x.data, 0, 4, s.a);
  *pinned = 7;
  cudaMemcpyAsync(pinned, x.data, 4, cudaMemcpyDeviceToHost, s.a);
  CHECK(*pinned == 7);
  cudaStreamSynchronize(s.a);
  CHECK(*pinned == 0);
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
}

TEST_CASE("planted: the host reads or writes device memory") {
  OnDevice<float> x(std::vector<float>(100, 1.0f));
  Child child = in_child([&] { std::printf("%f\n", static_cast<double>(x.data[7])); });
  CHECK(child.aborted);
  CHECK_MESSAGE(child.says("the host touches device memory: byte 28 of an allocation of 400 bytes"),
                child.said);
  child = in_child([&] { std::memset(x.data, 0, 400); });
  CHECK(!child.exited_well);
  child = in_child([&] {  // also while a host function of a stream runs
    cudaLaunchHostFunc(
        nullptr, [](void* p) { *static_cast<volatile float*>(p) = 1; }, x.data);
    cudaDeviceSynchronize();
  });
  CHECK_MESSAGE(child.says("the host touches device memory"), child.said);
}

TEST_CASE("planted: memory that was freed, or is the host's; copies past the end or the wrong way") {
  Child child = in_child([] {
    float* x = nullptr;
    cudaMalloc(reinterpret_cast<void**>(&x), 400);
    cudaFree(x);
    start(fill, 1, 32, 0, nullptr, x, 1.0f, 10);
    cudaDeviceSynchronize();
  });
  CHECK(!child.exited_well);
  CHECK_MESSAGE((child.says("kernel (anonymous namespace)::fill") || child.says("use-after-poison")),
                child.said);
  float host[10] = {};
  child = in_child([&] { start(fill, 1, 32, 0, nullptr, host, 1.0f, 10); });
  CHECK(child.aborted);
  CHECK_MESSAGE(child.says("fill: it is given a pointer to the host's own memory"), child.said);
  float* nothing = nullptr;
  child = in_child([&] {
    start(fill, 1, 32, 0, nullptr, nothing, 1.0f, 10);
    cudaDeviceSynchronize();
  });
  CHECK(!child.exited_well);
  CHECK_MESSAGE((child.says("fill, block (0,0,0), thread (") && child.says("nobody's memory")), child.said);
  OnDevice<float> x(10);
  CHECK(cudaMemcpy(x.data, host, 44, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);  // past the end
  CHECK(cudaMemcpy(x.data, host, 40, cudaMemcpyDeviceToHost) ==
        cudaErrorInvalidValue);  // the wrong way round
  CHECK(cudaMemcpy(host, host, 40, cudaMemcpyDeviceToDevice) == cudaErrorInvalidValue);
  CHECK(cudaFree(x.data + 1) == cudaErrorInvalidValue);
  cudaGetLastError();
}

TEST_CASE("fresh device memory is NaN; the limit is an error that leaves the device usable") {
  OnDevice<float> x(1000);
  for (float v : x.host()) CHECK(std::isnan(v));
  size_t free = 0, total = 0;
  CHECK(cudaMemGetInfo(&free, &total) == cudaSuccess);
  CHECK(total - free >= 4000);
  void* p = &x;
  CHECK(cudaMalloc(&p, total) == cudaErrorMemoryAllocation);
  CHECK(p == nullptr);
  CHECK(cudaPeekAtLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaMalloc(&p, 1) == cudaSuccess);
  CHECK(reinterpret_cast<uintptr_t>(p) % 256 == 0);
  CHECK(cudaFree(p) == cudaSuccess);
}

TEST_CASE("a fault of the device stays: every later call returns it") {
  Streams s;
  OnDevice<float> x(10);
  cudaDeviceSynchronize();
  cuda_sim::fail_device(2, cudaErrorIllegalAddress);
  CHECK(start(fill, 1, 32, 0, s.a, x.data, 1.0f, 10) == cudaSuccess);
  CHECK(start(fill, 1, 32, 0, s.a, x.data, 1.0f, 10) == cudaSuccess);
  CHECK(cudaStreamSynchronize(s.a) == cudaErrorIllegalAddress);
  CHECK(cudaGetLastError() == cudaErrorIllegalAddress);
  CHECK(cudaGetLastError() == cudaErrorIllegalAddress);
  void* p = nullptr;
  CHECK(cudaMalloc(&p, 4) == cudaErrorIllegalAddress);
  cuda_sim::heal();
  cuda_sim::fail_call("cudaMalloc", 2, cudaErrorMemoryAllocation);
  CHECK(cudaMalloc(&p, 4) == cudaSuccess);
  cudaFree(p);
  CHECK(cudaMalloc(&p, 4) == cudaErrorMemoryAllocation);
  CHECK(std::string(cudaGetErrorString(cudaGetLastError())) == "out of memory");
}

TEST_CASE("leaks and unread errors are told") {
  Child child = in_child([] {
    void* p = nullptr;
    cudaStream_t s;
    cudaMalloc(&p, 100);
    cudaStreamCreate(&s);
    cudaFree(&p);  // not the device's
    cuda_sim::report_leaks();
  });
  CHECK(child.says("1 device allocations of 100 bytes in all were not freed"));
  CHECK(child.says("1 streams were not destroyed"));
  CHECK(child.says("nobody has read the error of cudaFree: invalid argument"));
  child = in_child([] {
    OnDevice<float> x(10);
    cuda_sim::report_leaks();
  });
  CHECK(child.says("1 device allocations"));
  child = in_child([] {
    { OnDevice<float> x(10); }
    cuda_sim::report_leaks();
  });
  CHECK(child.said.empty());
}

TEST_CASE("handles that are none are errors; time passes by work") {
  Streams s;
  cudaStream_t gone;
  cudaStreamCreate(&gone);
  cudaStreamDestroy(gone);
  CHECK(cudaStreamSynchronize(gone) == cudaErrorInvalidResourceHandle);
  CHECK(cudaStreamDestroy(nullptr) == cudaErrorInvalidResourceHandle);
  cudaEvent_t begin, end;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  OnDevice<float> x(10);
  float ms = -1;
  cudaEventRecord(begin, s.a);
  for (int i = 0; i < 3; ++i) start(fill, 1, 32, 0, s.a, x.data, 1.0f, 10);
  cudaEventRecord(end, s.a);
  CHECK(cudaEventElapsedTime(&ms, begin, end) == cudaErrorNotReady);
  cudaEventSynchronize(end);
  CHECK(cudaEventElapsedTime(&ms, begin, end) == cudaSuccess);
  CHECK(ms == doctest::Approx(0.03));
  CHECK(cudaEventElapsedTime(&ms, begin, s.event) == cudaErrorInvalidResourceHandle);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGetLastError();
}

TEST_CASE("a machine without a driver has no device; the count stays as it was") {
  Child child = in_child([] {
    setenv("CUDA_SIM_DEVICES", "0", 1);
    dup2(2, 1);
    execl("/proc/self/exe", "test_cuda_sim", "-tc=asked where no driver is", "--no-skip", nullptr);
  });
  CHECK_MESSAGE((child.exited_well && child.says("1 passed")), child.said);
}

TEST_CASE("asked where no driver is" * doctest::skip()) {
  int count = 7;
  CHECK(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver);
  CHECK(count == 7);
  CHECK(cudaGetLastError() == cudaErrorInsufficientDriver);
  CHECK(cudaDriverGetVersion(&count) == cudaSuccess);
  CHECK(count == 0);
  void* p = nullptr;
  CHECK(cudaMallocHost(&p, 4) == cudaErrorInsufficientDriver);
}
