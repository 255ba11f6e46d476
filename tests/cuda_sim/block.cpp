// The scheduler of one block. A thread runs until it waits at a barrier or in a warp operation, or ends;
// which of the threads that can go on is next, is drawn from the seed, and now and then one warp runs ahead of all
// others, or behind them, from one barrier to the next. So a missing barrier shows as another result. Not instrumented for races (see fiber.cpp); what orders threads is told by release() and acquire().
#include "tests/cuda_sim/block.h"

#include <bit>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "tests/cuda_sim/fail.h"
#include "tests/cuda_sim/fiber.h"
#include "tests/cuda_sim/shared_memory.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace cuda_sim {
namespace {

constexpr unsigned kLanes = 32;

enum class State : uint8_t { ready, at_barrier, in_warp_operation, ended };

struct Thread {
  unsigned id = 0;  // threadIdx.x runs fastest
  uint3 index{};
  State state = State::ready;
  Fiber* fiber = nullptr;  // from its start to its end
  // What it waits with, and what it gets.
  Place at;
  Collective kind{};
  uint32_t mask = 0;
  uint64_t value = 0;
  unsigned source = 0;
  uint64_t result = 0;
};

// For the race detector: two places in turn, so that a thread that leaves one meeting late does not look
// ordered after one that has come to the next already; and two of these, for the two crews.
struct Meeting {
  char place[2][2] = {};
  unsigned turn = 0;
  char* of(unsigned crew) { return &place[crew][turn]; }
};

struct Warp {
  uint32_t waiting = 0;
  Meeting meetings[kLanes];  // by the lowest lane of the mask
};

// Threads that can go on.
class Ready {
 public:
  bool empty() const { return threads_.empty(); }
  void add(Thread& thread) { threads_.push_back(&thread); }
  Thread& take(Order& order) {
    std::swap(threads_[next_], threads_[next_ + order.below(threads_.size() - next_)]);
    Thread& thread = *threads_[next_++];
    if (next_ == threads_.size()) threads_.clear(), next_ = 0;
    return thread;
  }

 private:
  std::vector<Thread*> threads_;  // from next_ on
  size_t next_ = 0;
};

struct Block {
  const Launch* launch = nullptr;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Ready first, second;         // who is in `second` goes on where nobody is in `first`
  size_t apart = 0;            // the warp that runs ahead of all others, or behind them; none beyond the last
  bool ahead = false;
  unsigned live = 0, at_barrier = 0, predicates = 0;
  Meeting barrier;
  char started = 0,
       finished = 0;  // places: the launch before its threads, the threads before the launch's end
  Thread* running = nullptr;
  Fiber scheduler;
  std::vector<std::unique_ptr<Fiber>> fibers;  // kept from launch to launch
  // Two crews of them, in turn from block to block: what met at a barrier of one block would else be ordered before
  // all of the next, and no race between blocks be seen.
  std::vector<Fiber*> idle_crews[2];
  unsigned crew = 0;
  std::vector<Fiber*>& idle() { return idle_crews[crew]; }
};

Block& block() {
  static auto* instance = new Block;  // never freed: its fibers live as long as the program
  return *instance;
}

void set_builtins(const Thread& thread) { threadIdx = thread.index; }

// Every fiber's life: one thread after another.
void thread_after_thread() {
  Block& b = block();
  Fiber* self = b.running->fiber;
  fiber_entered(*self, b.scheduler);
  for (;;) {
    acquire(&b.started);
    b.launch->thread();
    release(&b.finished);
    b.running->state = State::ended;
    switch_fiber(*self, b.scheduler);
  }
}

Fiber* take_fiber(Block& b) {
  if (b.idle().empty()) {
    b.fibers.push_back(std::make_unique<Fiber>());
    make_fiber(*b.fibers.back(), thread_after_thread);
    b.idle().push_back(b.fibers.back().get());
  }
  Fiber* fiber = b.idle().back();
  b.idle().pop_back();
  return fiber;
}

void resume(Block& b, Thread& thread, Order& order) {
  if (!thread.fiber) {
    thread.fiber = take_fiber(b);
    // TSan takes the threads that one fiber runs for ordered: draw the fibers, and never twice in a block.
    if (kRaceDetector && !b.idle().empty()) std::swap(thread.fiber, b.idle()[order.below(b.idle().size())]);
  }
  b.running = &thread;
  set_builtins(thread);
  switch_fiber(b.scheduler, *thread.fiber);
  b.running = nullptr;
}

void wait(Block& b, State state) {
  Thread& self = *b.running;
  self.state = state;
  switch_fiber(*self.fiber, b.scheduler);
}

void make_ready(Block& b, Thread& thread) {
  thread.state = State::ready;
  bool apart = thread.id / kLanes == b.apart;
  (apart == b.ahead ? b.first : b.second).add(thread);
}

// While nobody is ready.
void draw_warp_apart(Block& b, Order& order) {
  b.ahead = order.below(2);
  b.apart = order.shuffled() ? order.below(2 * b.warps.size()) : b.warps.size();
}

void open_barrier_if_complete(Block& b, Order& order) {
  if (b.at_barrier == 0 || b.at_barrier != b.live) return;
  const Thread* first = nullptr;
  for (Thread& thread : b.threads) {
    if (thread.state != State::at_barrier) continue;
    if (!first) first = &thread;
    if (!(thread.at == first->at))
      fail("threads of one block wait at different barriers: thread %u at %s:%d, thread %u at %s:%d",
           first->id, first->at.file, first->at.line, thread.id, thread.at.file, thread.at.line);
  }
  if (b.live != b.threads.size())
    fail("__syncthreads at %s:%d: %u of %zu threads have ended without reaching it", first->at.file,
         first->at.line, static_cast<unsigned>(b.threads.size()) - b.live, b.threads.size());
  draw_warp_apart(b, order);
  for (Thread& thread : b.threads) {
    thread.result = b.predicates;
    make_ready(b, thread);
  }
  b.at_barrier = b.predicates = 0;
  b.barrier.turn ^= 1;
}

Thread* lanes_of(Block& b, const Thread& thread) { return &b.threads[thread.id / kLanes * kLanes]; }

void finish_warp_operation_if_complete(Block& b, Thread& last) {
  Warp& warp = b.warps[last.id / kLanes];
  Thread* lanes = lanes_of(b, last);
  if ((warp.waiting & last.mask) != last.mask) return;
  uint32_t predicates = 0;
  for (unsigned i = 0; i < kLanes; ++i) {
    if (!(last.mask >> i & 1)) continue;
    const Thread& lane = lanes[i];
    if (lane.mask != last.mask)
      fail("a warp operation at %s:%d with mask %08x meets one of lane %u at %s:%d with mask %08x",
           last.at.file, last.at.line, last.mask, i, lane.at.file, lane.at.line, lane.mask);
    if (lane.kind != last.kind || !(lane.at == last.at))
      fail("lanes of one mask meet in different warp operations: at %s:%d, and lane %u at %s:%d",
           last.at.file, last.at.line, i, lane.at.file, lane.at.line);
    if (lane.kind <= Collective::ballot && lane.value) predicates |= 1u << i;
  }
  for (unsigned i = 0; i < kLanes; ++i) {
    if (!(last.mask >> i & 1)) continue;
    Thread& lane = lanes[i];
    if (lane.kind <= Collective::ballot) {
      lane.result = predicates;
    } else if (last.mask >> lane.source & 1) {
      lane.result = lanes[lane.source].value;
    } else {
      fail("shuffle at %s:%d: lane %u reads lane %u, which is not in mask %08x", lane.at.file, lane.at.line,
           i, lane.source, lane.mask);
    }
  }
  for (unsigned i = 0; i < kLanes; ++i)
    if (last.mask >> i & 1) make_ready(b, lanes[i]);
  warp.waiting &= ~last.mask;
  warp.meetings[std::countr_zero(last.mask)].turn ^= 1;
}

uint64_t warp_operation(Collective kind, uint32_t mask, uint64_t value, unsigned source, Place at) {
  Block& b = block();
  Thread& self = *b.running;
  unsigned lane = self.id % kLanes, count = static_cast<unsigned>(b.threads.size()) - (self.id - lane);
  if (!(mask >> lane & 1))
    fail("warp operation at %s:%d: the lane is not in its own mask %08x", at.file, at.line, mask);
  if (count < kLanes) mask &= (1u << count) - 1;  // a block's last warp may be short of lanes
  self.at = at, self.kind = kind, self.mask = mask, self.value = value, self.source = source;
  Warp& warp = b.warps[self.id / kLanes];
  Meeting& meeting = warp.meetings[std::countr_zero(mask)];
  char* place = meeting.of(b.crew);
  warp.waiting |= 1u << lane;
  release(place);
  wait(b, State::in_warp_operation);
  acquire(place);
  return self.result;
}

[[noreturn]] void report_deadlock(Block& b) {
  const Thread* waits[2] = {};  // the first of each kind
  unsigned ended = 0;
  for (const Thread& thread : b.threads) {
    ended += thread.state == State::ended;
    const Thread*& first = waits[thread.state == State::in_warp_operation];
    if (!first && thread.state != State::ended) first = &thread;
  }
  char text[512] = "";
  size_t used = 0;
  for (const Thread* thread : waits)
    if (thread)
      used += static_cast<size_t>(std::snprintf(
          text + used, sizeof text - used, "; thread %u waits at %s:%d%s", thread->id, thread->at.file,
          thread->at.line, thread->state == State::at_barrier ? " for the block" : " for its warp"));
  fail("deadlock: %u of %zu threads have ended, %u wait at a barrier%s", ended, b.threads.size(),
       b.at_barrier, text);
}

}  // namespace

void begin_blocks(const Launch& launch) {
  Block& b = block();
  b.launch = &launch;
  b.scheduler = Fiber{};
  b.threads.resize(size_t{launch.block.x} * launch.block.y * launch.block.z);
  b.warps.resize((b.threads.size() + kLanes - 1) / kLanes);
  blockDim = launch.block;
  gridDim = launch.grid;
  release(&b.started);
}

void end_blocks() {
  Block& b = block();
  acquire(&b.finished);
  free_shared_memory();
  b.launch = nullptr;
}

void run_block(const Launch& launch, uint3 index, Order& order) {
  Block& b = block();
  blockIdx = index;
  if (kRaceDetector) b.crew ^= 1;
  fresh_shared_memory(launch.shared_bytes);
  b.live = static_cast<unsigned>(b.threads.size());
  b.at_barrier = b.predicates = 0;
  draw_warp_apart(b, order);
  for (Warp& warp : b.warps) warp.waiting = 0;
  uint3 at{0, 0, 0};
  for (unsigned id = 0; id < b.live; ++id) {
    b.threads[id] = Thread{};
    b.threads[id].id = id;
    b.threads[id].index = at;
    make_ready(b, b.threads[id]);
    if (++at.x == launch.block.x) at.x = 0, ++at.y;
    if (at.y == launch.block.y) at.y = 0, ++at.z;
  }
  std::vector<Fiber*> used;
  while (!b.first.empty() || !b.second.empty()) {
    Thread& thread = (b.first.empty() ? b.second : b.first).take(order);
    resume(b, thread, order);
    if (thread.state == State::in_warp_operation) finish_warp_operation_if_complete(b, thread);
    if (thread.state == State::at_barrier) ++b.at_barrier;
    if (thread.state == State::ended) {
      --b.live;
      (kRaceDetector ? used : b.idle()).push_back(std::exchange(thread.fiber, nullptr));
    }
    if (thread.state != State::ready) open_barrier_if_complete(b, order);
  }
  if (b.live != 0) report_deadlock(b);
  b.idle().insert(b.idle().end(), used.begin(), used.end());
  check_shared_memory();
}

std::string current_place() {
  Block& b = block();
  if (!b.launch) return "";
  char text[160];
  std::snprintf(text, sizeof text, ", block (%u,%u,%u)", blockIdx.x, blockIdx.y, blockIdx.z);
  std::string place = "kernel " + std::string(function_name(b.launch->kernel)) + text;
  if (b.running) {
    const uint3& index = b.running->index;
    std::snprintf(text, sizeof text, ", thread (%u,%u,%u)", index.x, index.y, index.z);
    place += text;
  }
  return place + ": ";
}

bool stack_overflowed(const void* address) {
  Block& b = block();
  return b.running && is_stack_overflow(*b.running->fiber, address);
}

// What kernels call (include/device_functions.h).

unsigned barrier(bool predicate, Place at) {
  Block& b = block();
  Thread& self = *b.running;
  self.at = at;
  b.predicates += predicate;
  char* place = b.barrier.of(b.crew);
  release(place);
  wait(b, State::at_barrier);
  acquire(place);
  return static_cast<unsigned>(self.result);
}

uint64_t exchange(Collective kind, uint32_t mask, uint64_t value, unsigned source, Place at) {
  return warp_operation(kind, mask, value, source, at);
}

uint32_t vote(Collective kind, uint32_t mask, bool predicate, Place at) {
  return static_cast<uint32_t>(warp_operation(kind, mask, predicate, 0, at));
}

unsigned lane() { return block().running->id % kLanes; }

void trap(Place at) { fail("__trap at %s:%d", at.file, at.line); }

}  // namespace cuda_sim
