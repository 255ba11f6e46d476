// Flows of control with stacks of their own, switched by hand: what the threads of a block are made of.
// Next: block.cpp.
#pragma once
#include <cstddef>

namespace cuda_sim {

struct Fiber {
  void* stack_pointer = nullptr;  // where it goes on, while another runs
  bool made = false;              // by make_fiber; false for the flow that came with the program
  char* stack = nullptr;          // lowest byte
  size_t stack_bytes = 0;
  void* thread_sanitizer = nullptr;   // TSan takes each fiber for a thread
  void* address_sanitizer = nullptr;  // ASan's stack of fakes
};

/// Readies a fiber that will run `entry` when first switched to; entry never returns.
void make_fiber(Fiber& fiber, void (*entry)());
/// Leaves `from`, goes on in `to`; returns when `to` switches back.
void switch_fiber(Fiber& from, Fiber& to);
/// The first call in `entry`: tells the sanitizers that the switch is complete.
void fiber_entered(Fiber& self, Fiber& came_from);

/// Is the address in the unreadable page under a fiber's stack?
bool is_stack_overflow(const Fiber& fiber, const void* address);

#ifdef CUDA_SIM_TSAN
constexpr bool kRaceDetector = true;

/// What happened before release() in one fiber is seen by another after acquire() of the same place. Orders
/// nothing by itself: it is what ThreadSanitizer is told about barriers, streams and events.
void release(void* place);
void acquire(void* place);

/// What a copy or a library reads and writes, told to the race detector in the name of the stream that runs.
void reads(const void* from, size_t bytes);
void writes(void* to, size_t bytes);

/// While one lives, the race detector looks away: the simulator's own data is shared by all fibers.
class Unwatched {
 public:
  Unwatched();
  ~Unwatched();
  Unwatched(const Unwatched&) = delete;
};

/// For the race detector each stream is a thread of its own, in whose name its work is run. An engine is
/// never watched: only kernels are, and what reads() and writes() tell.
void* make_engine();
class AsEngine {
 public:
  explicit AsEngine(void* engine);
  ~AsEngine();
  AsEngine(const AsEngine&) = delete;

 private:
  void* back_;
};
#else
constexpr bool kRaceDetector = false;
inline void release(void*) {}
inline void acquire(void*) {}
inline void reads(const void*, size_t) {}
inline void writes(void*, size_t) {}
struct Unwatched {
  Unwatched() {}
  ~Unwatched() {}
};
inline void* make_engine() { return nullptr; }
struct AsEngine {
  explicit AsEngine(void*) {}
  ~AsEngine() {}
};
#endif

}  // namespace cuda_sim
