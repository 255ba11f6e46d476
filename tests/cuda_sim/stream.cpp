#include "tests/cuda_sim/stream.h"

#include <algorithm>
#include <cstdio>

#include "tests/cuda_sim/capture.h"
#include "tests/cuda_sim/device.h"
#include "tests/cuda_sim/fail.h"
#include "tests/cuda_sim/fiber.h"
#include "tests/cuda_sim/memory.h"
#include "tests/cuda_sim/library_call.h"
#include "tests/cuda_sim/order.h"

namespace cuda_sim {
namespace {

constexpr size_t kMostQueued = 4096;  // the real device blocks the host at some depth too

// How the device uses its freedom. Which one, the seed says.
enum class Temper { plain, lazy, restless, eager };

struct Streams {
  std::vector<std::shared_ptr<Stream>> all;
  size_t queued = 0;
  bool running = false;
  Order order;
  uint64_t order_seed = ~uint64_t{0};
};

Streams& streams() {
  static auto* instance = [] {
    auto* s = new Streams;
    auto legacy = std::make_shared<Stream>();
    legacy->legacy = true;
    legacy->engine = make_engine();
    s->all.push_back(legacy);
    return s;
  }();
  return *instance;
}

Order& order() {
  Streams& s = streams();
  if (s.order_seed != seed()) s.order = Order(s.order_seed = seed());
  return s.order;
}

Temper temper() {
  if (seed() == 0) return Temper::plain;
  return seed() % 3 == 1 ? Temper::lazy : seed() % 3 == 2 ? Temper::restless : Temper::eager;
}

void forget_if_over(const std::shared_ptr<Stream>& stream) {
  if (stream->destroyed && stream->queue.empty()) std::erase(streams().all, stream);
}

void run_next(Stream& stream) {
  Streams& s = streams();
  if (s.running) fail("a host function in a stream called the runtime: it may not");
  Stream::Task task = std::move(stream.queue.front());
  stream.queue.pop_front();
  --s.queued;
  AsEngine as_engine(stream.engine);
  acquire(&stream.submissions);
  acquire(&stream.order);
  for (const Mark& mark : task.after) acquire(mark.order ? mark.order.get() : &mark.stream->order);
  if (task.work.run && sticky() == cudaSuccess && !work_fails()) {
    s.running = true;
    DeviceRuns device;
    if (task.work.on_host) {
      HostRuns host;
      task.work.run();
    } else {
      task.work.run();
      ++count().work;
    }
    s.running = false;
  }
  release(&stream.order);
  if (task.order) release(task.order.get());
  ++stream.completed;
}

// The stream's next piece of work, and first what that waits for, which was queued before it.
void advance(Stream& stream) {
  std::vector<Mark> after = stream.queue.front().after;
  while (!after.empty()) {
    size_t pick = order().below(after.size());
    Mark mark = after[pick];
    if (complete(mark))
      after.erase(after.begin() + static_cast<std::ptrdiff_t>(pick));
    else
      advance(*mark.stream);
  }
  run_next(stream);
}

// Something that nobody waits for, as a device does too.
bool advance_any() {
  std::vector<std::shared_ptr<Stream>> busy;
  for (const auto& stream : streams().all)
    if (!stream->queue.empty()) busy.push_back(stream);
  if (busy.empty()) return false;
  auto stream = busy[order().below(busy.size())];
  advance(*stream);
  forget_if_over(stream);
  return true;
}

}  // namespace

bool complete(const Mark& mark) { return !mark.stream || mark.stream->completed >= mark.position; }

Mark mark_now(Stream& stream) {
  for (const auto& s : streams().all)
    if (s.get() == &stream) return {s, stream.submitted, nullptr};
  return {};
}

static void push(Stream& stream, Stream::Task task) {
  Streams& s = streams();
  // The legacy stream keeps order with every blocking stream, in both directions.
  for (const auto& other : s.all)
    if (other.get() != &stream && other->blocking && stream.blocking && (stream.legacy || other->legacy))
      task.after.push_back({other, other->submitted, nullptr});
  release(&stream.submissions);
  stream.queue.push_back(std::move(task));
  ++stream.submitted;
  ++s.queued;
  if (temper() == Temper::plain) advance(stream);  // at once: a debugger sees who launched it
  while (s.queued > kMostQueued) advance_any();
}

cudaError_t submit(Stream& stream, Work work) {
  cudaError_t error = cudaSuccess;
  if (capture_takes(stream, work, &error)) return error;
  Stream::Task task;
  task.work = std::move(work);
  push(stream, std::move(task));
  return sticky();
}

void wait_for(Stream& stream, const Mark& mark) {
  if (!mark.stream || mark.stream.get() == &stream) return;
  Stream::Task task;
  task.after.push_back(mark);
  push(stream, std::move(task));
}

cudaError_t run_until(const Mark& mark) {
  ++count().synchronisations;
  std::unique_ptr<DeviceRuns> device;  // opened once for all that runs here
  while (!complete(mark)) {
    if (!device) device = std::make_unique<DeviceRuns>();
    if (temper() == Temper::eager)
      while (order().below(8) && advance_any()) {
      }
    if (temper() == Temper::restless && order().below(2)) advance_any();
    if (!complete(mark)) advance(*mark.stream);
  }
  if (mark.stream) {
    acquire(mark.order ? mark.order.get() : &mark.stream->order);
    forget_if_over(mark.stream);
  }
  return sticky();
}

cudaError_t run_everything() {
  ++count().synchronisations;
  {
    DeviceRuns device;
    while (advance_any()) {
    }
  }
  for (const auto& stream : streams().all) acquire(&stream->order);
  return sticky();
}

void nudge() { advance_any(); }

const std::vector<std::shared_ptr<Stream>>& all_streams() { return streams().all; }

std::shared_ptr<Stream> find_stream(cudaStream_t handle) {
  if (!handle || handle == cudaStreamLegacy) return streams().all[0];
  for (const auto& stream : streams().all)
    if (stream.get() == handle && !stream->destroyed) return stream;
  return nullptr;
}

std::shared_ptr<Stream> create_stream(bool blocking) {
  auto stream = std::make_shared<Stream>();
  stream->blocking = blocking;
  stream->engine = make_engine();
  streams().all.push_back(stream);
  return stream;
}

void destroy_stream(const std::shared_ptr<Stream>& stream) {
  stream->destroyed = true;
  forget_if_over(stream);
}

Mark record(Stream& stream) {
  Stream::Task task;
  std::shared_ptr<char> order = task.order = std::make_shared<char>();
  push(stream, std::move(task));
  Mark mark = mark_now(stream);
  mark.order = order;
  return mark;
}

int report_streams() {
  int lines = 0;
  size_t alive = 0, work = 0;
  for (const auto& stream : streams().all)
    alive += !stream->legacy && !stream->destroyed, work += stream->queue.size();
  if (alive) std::fprintf(stderr, "cuda_sim: at exit: %zu streams were not destroyed\n", alive), ++lines;
  if (work)
    std::fprintf(stderr, "cuda_sim: at exit: %zu pieces of work were queued and never waited for\n", work),
        ++lines;
  return lines + report_events();
}

cudaError_t library_call(cudaStream_t handle, std::function<void()> work) {
  auto stream = find_stream(handle);
  return stream ? submit(*stream, {std::move(work)}) : cudaErrorInvalidResourceHandle;
}

}  // namespace cuda_sim
