// The runtime's calls for streams and events.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "tests/cuda_sim/capture.h"
#include "tests/cuda_sim/device.h"
#include "tests/cuda_sim/fail.h"
#include "tests/cuda_sim/launch.h"
#include "tests/cuda_sim/memory.h"
#include "tests/cuda_sim/stream.h"

struct CUevent_st {
  bool timed = true, recorded = false;
  cuda_sim::Mark mark;
  std::shared_ptr<double> time;                // ms of the simulated clock
  std::shared_ptr<cuda_sim::Capture> capture;  // recorded in a stream that is being captured
  std::vector<int> nodes;
};

namespace cuda_sim {
namespace {

std::vector<std::unique_ptr<CUevent_st>>& events() {
  static auto* instance = new std::vector<std::unique_ptr<CUevent_st>>;
  return *instance;
}

CUevent_st* find_event(cudaEvent_t handle) {
  for (const auto& event : events())
    if (event.get() == handle) return event.get();
  return nullptr;
}

// A capture that has ended no longer concerns an event.
bool captured(CUevent_st& event) {
  if (event.capture && !event.capture->origin) event.capture = nullptr, event.recorded = false;
  return event.capture != nullptr;
}

// Time passes by the work that is done: the same in every run.
double simulated_clock() {
  return 0.01 * static_cast<double>(count().work);
}

cudaError_t wait_for_captured(Stream& stream, CUevent_st& event) {
  if (stream.capture && stream.capture != event.capture)
    return break_capture(*event.capture, cudaErrorStreamCaptureMerge);
  if (stream.legacy) return break_capture(*event.capture, cudaErrorStreamCaptureImplicit);
  if (event.capture->broken) return cudaErrorStreamCaptureInvalidated;
  stream.capture = event.capture;  // a fork: this stream is captured from now on
  for (int node : event.nodes)
    if (std::find(stream.frontier.begin(), stream.frontier.end(), node) == stream.frontier.end())
      stream.frontier.push_back(node);
  return cudaSuccess;
}

}  // namespace

int report_events() {
  if (events().empty()) return 0;
  std::fprintf(stderr, "cuda_sim: at exit: %zu events were not destroyed\n", events().size());
  return 1;
}

cudaError_t launch(Launch launch, cudaStream_t handle) {
  return api("cudaLaunchKernel", [&] {
    auto stream = find_stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (cudaError_t error = check_launch(launch); error != cudaSuccess) return error;
    for (const void* pointer : launch.pointers)
      if (pointer && where(pointer) == Where::pageable)
        fail("kernel %s: it is given a pointer to the host's own memory, %p", function_name(launch.kernel), pointer);
    return submit(*stream, {[launch = std::move(launch)] {
      ++count().launches;
      run_launch(launch, next_seed());
    }});
  });
}

}  // namespace cuda_sim

using namespace cuda_sim;

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return api("cudaStreamCreate", [&] {
    if (flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
    *stream = create_stream(flags == cudaStreamDefault).get();
    return cudaSuccess;
  });
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return api("cudaStreamDestroy", [&] {
    auto stream = find_stream(handle);
    if (!stream || stream->legacy) return cudaErrorInvalidResourceHandle;
    if (stream->capture) break_capture(*stream->capture, cudaErrorStreamCaptureInvalidated);
    destroy_stream(stream);  // returns at once; what is queued still runs
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return api("cudaStreamSynchronize", [&] {
    auto stream = find_stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (cudaError_t error = forbidden_for(*stream); error != cudaSuccess) return error;
    if (!stream->legacy) return run_until(mark_now(*stream));
    for (const auto& other :
         std::vector(all_streams()))  // the legacy stream's end is that of all blocking ones
      if (other->blocking) run_until(mark_now(*other));
    return sticky();
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return api("cudaStreamQuery", [&] {
    auto stream = find_stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (cudaError_t error = forbidden_for(*stream); error != cudaSuccess) return error;
    if (complete(mark_now(*stream))) return cudaSuccess;
    nudge();
    return cudaErrorNotReady;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return api("cudaDeviceSynchronize", [&] {
    if (cudaError_t error = forbidden_in_capture(); error != cudaSuccess) return error;
    return run_everything();
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* argument) {
  return api("cudaLaunchHostFunc", [&] {
    auto stream = find_stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    return submit(*stream, {[function, argument] { function(argument); }, true});
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned) {
  return api("cudaStreamWaitEvent", [&] {
    auto stream = find_stream(handle);
    CUevent_st* event = find_event(event_handle);
    if (!stream || !event) return cudaErrorInvalidResourceHandle;
    if (captured(*event)) return wait_for_captured(*stream, *event);
    if (stream->capture && event->recorded)
      return break_capture(*stream->capture, cudaErrorStreamCaptureIsolation);
    if (event->recorded) wait_for(*stream, event->mark);
    return sticky();
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return api("cudaEventCreate", [&] {
    events().push_back(std::make_unique<CUevent_st>());
    *event = events().back().get();
    (*event)->timed = !(flags & cudaEventDisableTiming);
    return cudaSuccess;
  });
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return api("cudaEventDestroy", [&] {
    if (!find_event(event)) return cudaErrorInvalidResourceHandle;
    std::erase_if(events(), [&](const auto& e) { return e.get() == event; });
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event_handle, cudaStream_t handle) {
  return api("cudaEventRecord", [&] {
    auto stream = find_stream(handle);
    CUevent_st* event = find_event(event_handle);
    if (!stream || !event) return cudaErrorInvalidResourceHandle;
    if (stream->legacy)
      if (cudaError_t error = forbidden_for(*stream); error != cudaSuccess) return error;
    if (stream->capture) {
      if (stream->capture->broken) return cudaErrorStreamCaptureInvalidated;
      event->capture = stream->capture;
      event->nodes = stream->frontier;
      return cudaSuccess;
    }
    event->capture = nullptr;
    event->recorded = true;
    event->time = std::make_shared<double>();
    if (event->timed) submit(*stream, {[time = event->time] { *time = simulated_clock(); }, true});
    event->mark = record(*stream);
    return sticky();
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return api("cudaEventSynchronize", [&] {
    CUevent_st* event = find_event(handle);
    if (!event) return cudaErrorInvalidResourceHandle;
    if (captured(*event)) return break_capture(*event->capture, cudaErrorCapturedEvent);
    return event->recorded ? run_until(event->mark) : cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return api("cudaEventQuery", [&] {
    CUevent_st* event = find_event(handle);
    if (!event) return cudaErrorInvalidResourceHandle;
    if (captured(*event)) return break_capture(*event->capture, cudaErrorCapturedEvent);
    if (cudaError_t error = forbidden_in_capture(); error != cudaSuccess) return error;
    if (!event->recorded || complete(event->mark)) return cudaSuccess;
    nudge();
    return cudaErrorNotReady;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return api("cudaEventElapsedTime", [&] {
    CUevent_st *from = find_event(start), *to = find_event(end);
    if (!from || !to || !from->timed || !to->timed || !from->recorded || !to->recorded)
      return cudaErrorInvalidResourceHandle;
    if (!complete(from->mark) || !complete(to->mark)) return cudaErrorNotReady;
    *milliseconds = static_cast<float>(*to->time - *from->time);
    return cudaSuccess;
  });
}
