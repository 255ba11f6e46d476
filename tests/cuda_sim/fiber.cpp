// The switch itself: six registers and the stack pointer on x86-64, ucontext elsewhere.
// Compiled without -fsanitize=thread even in that build (CUDA_SIM_TSAN is then defined): the simulator's
// bookkeeping is shared by all fibers and would be reported.
#include "tests/cuda_sim/fiber.h"

#include <sys/mman.h>

#include <cstdint>

#include "tests/cuda_sim/fail.h"

#ifndef __x86_64__
#include <ucontext.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef CUDA_SIM_TSAN
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace cuda_sim {
namespace {

constexpr size_t kPage = 4096;
#if defined(__SANITIZE_ADDRESS__) || defined(CUDA_SIM_TSAN)
constexpr size_t kStackBytes = 256 * 1024;  // sanitizers make frames large
#else
constexpr size_t kStackBytes = 64 * 1024;
#endif

}  // namespace

#ifdef __x86_64__
extern "C" void cuda_sim_switch(void** save, void* load);
asm(R"(
.text
.globl cuda_sim_switch
.type cuda_sim_switch,@function
cuda_sim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_sim_switch, .-cuda_sim_switch
)");

static void prepare(Fiber& fiber, void (*entry)()) {
  auto** top = reinterpret_cast<void**>(fiber.stack + fiber.stack_bytes);
  *--top = nullptr;  // entry is called, as it were: its stack is 8 bytes off 16
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;  // the registers that the switch pops
  fiber.stack_pointer = top;
}
static void change(Fiber& from, Fiber& to) { cuda_sim_switch(&from.stack_pointer, to.stack_pointer); }
#else
static void prepare(Fiber& fiber, void (*entry)()) {
  auto* context = new ucontext_t;  // lives as long as the fiber: for ever
  getcontext(context);
  context->uc_stack.ss_sp = fiber.stack;
  context->uc_stack.ss_size = fiber.stack_bytes;
  makecontext(context, entry, 0);
  fiber.stack_pointer = context;
}
static void change(Fiber& from, Fiber& to) {
  if (!from.stack_pointer) from.stack_pointer = new ucontext_t;
  swapcontext(static_cast<ucontext_t*>(from.stack_pointer), static_cast<ucontext_t*>(to.stack_pointer));
}
#endif

void make_fiber(Fiber& fiber, void (*entry)()) {
  void* memory = mmap(nullptr, kPage + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("no memory for the stack of one more thread");
  mprotect(memory, kPage, PROT_NONE);
  fiber.stack = static_cast<char*>(memory) + kPage;
  fiber.stack_bytes = kStackBytes;
  fiber.made = true;
  prepare(fiber, entry);
#ifdef CUDA_SIM_TSAN
  fiber.thread_sanitizer = __tsan_create_fiber(0);
#endif
}

void switch_fiber(Fiber& from, Fiber& to) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&from.address_sanitizer, to.stack, to.stack_bytes);
#endif
#ifdef CUDA_SIM_TSAN
  if (!from.made) from.thread_sanitizer = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to.thread_sanitizer, 1);  // 1: the switch orders nothing
#endif
  change(from, to);
#ifdef __SANITIZE_ADDRESS__
  fiber_entered(from, to);
#endif
}

void fiber_entered([[maybe_unused]] Fiber& self, [[maybe_unused]] Fiber& came_from) {
#ifdef __SANITIZE_ADDRESS__
  const void* stack = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(self.address_sanitizer, &stack, &bytes);
  if (!came_from.made) {  // only ASan knows the stack that came with the program
    came_from.stack = const_cast<char*>(static_cast<const char*>(stack));
    came_from.stack_bytes = bytes;
  }
#endif
}

bool is_stack_overflow(const Fiber& fiber, const void* address) {
  auto* at = static_cast<const char*>(address);
  return fiber.made && at >= fiber.stack - kPage && at < fiber.stack;
}

#ifdef CUDA_SIM_TSAN
void release(void* place) { __tsan_release(place); }
void acquire(void* place) { __tsan_acquire(place); }

Unwatched::Unwatched() {
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}
Unwatched::~Unwatched() {
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

// Called by engines, which are not watched: only for this.
void reads(const void* from, size_t bytes) {
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  __tsan_read_range(const_cast<void*>(from), bytes);
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}
void writes(void* to, size_t bytes) {
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  __tsan_write_range(to, bytes);
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

void* make_engine() {
  void* engine = __tsan_create_fiber(0);
  AsEngine once(engine);
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  return engine;
}
AsEngine::AsEngine(void* engine) : back_(__tsan_get_current_fiber()) { __tsan_switch_to_fiber(engine, 1); }
AsEngine::~AsEngine() { __tsan_switch_to_fiber(back_, 1); }
#endif

}  // namespace cuda_sim
