// Streams: queues of work that runs only when something waits for it, in an order that nothing but the
// streams themselves and events constrain. Next: runtime_streams.cpp (the calls), capture.h.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "cuda_runtime_api.h"

struct CUstream_st;

namespace cuda_sim {

using Stream = CUstream_st;
struct Capture;

/// "All that was in the stream when this was taken": an event is one, a wait is for one.
struct Mark {
  std::shared_ptr<Stream> stream;
  uint64_t position = 0;
  std::shared_ptr<char> order;  // a place for release and acquire; null: the stream's own
};
bool complete(const Mark& mark);

/// A piece of work: a kernel, a copy, a call of a library. `run` sees device memory; a host function does
/// not.
struct Work {
  std::function<void()> run;  // empty: only the order counts
  bool on_host = false;
};

/// Queues work, or adds it to the graph that is being captured. The error is what the call is to return.
cudaError_t submit(Stream& stream, Work work);
/// Makes all later work of the stream wait for the mark.
void wait_for(Stream& stream, const Mark& mark);
Mark mark_now(Stream& stream);
/// A mark that the race detector can tell from later work of the stream.
Mark record(Stream& stream);

/// Runs work until all of this is complete, and some more if the seed says so. Returns the sticky error.
cudaError_t run_until(const Mark& mark);
cudaError_t run_everything();
/// Somebody asks whether work is done: so that asking in a loop comes to an end, some of it is.
void nudge();

/// The stream of a handle (null and cudaStreamLegacy: the legacy stream); null for a handle that is none.
std::shared_ptr<Stream> find_stream(cudaStream_t handle);
const std::vector<std::shared_ptr<Stream>>& all_streams();
std::shared_ptr<Stream> create_stream(bool blocking);
void destroy_stream(const std::shared_ptr<Stream>& stream);

/// Prints what was not destroyed; how many lines.
int report_streams();

}  // namespace cuda_sim

struct CUstream_st {
  bool legacy = false;
  bool blocking = true;    ///< keeps order with the legacy stream
  bool destroyed = false;  ///< by its user; it ends when its work has
  struct Task {
    cuda_sim::Work work;
    std::vector<cuda_sim::Mark> after;
    std::shared_ptr<char> order;  // released when done
  };
  std::deque<Task> queue;
  uint64_t submitted = 0, completed = 0;
  void* engine = nullptr;
  char order = 0, submissions = 0;  // places
  std::shared_ptr<cuda_sim::Capture> capture;
  std::vector<int> frontier;  // while capturing: the nodes that the next one follows
};
