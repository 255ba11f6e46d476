// Once a step has run, its memory is there: later steps ask the system for nothing and touch no new page.
#include <sys/resource.h>

#include "tensor/allocator.h"
#include "tensor/env.h"
#include "tests/ssl/tiny_methods.h"

using namespace plumage;
using namespace plumage::test;

namespace {

int64_t page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

}  // namespace

TEST_CASE("steady state: after the first steps neither memory is asked for nor a page touched for the first time") {
#ifdef __SANITIZE_ADDRESS__
  bool kept = false;  // the sanitizer holds back what is freed
#else
  bool kept = !environment().alloc_plain;
#endif
  if (!kept) {
    MESSAGE("skipped: memory is not kept here (PLUMAGE_ALLOC=plain, or AddressSanitizer)");
    return;
  }
  for (Base base : {Base::moco, Base::simsiam}) {
    auto method = tiny_pairs(base, tiny_options(), DType::f32);
    auto optimizers = tiny_optimizers(*method);
    Views views = tiny_views(0, DType::f32);
    auto steps = [&](int64_t first, int64_t count) {
      for (int64_t i = first; i < first + count; ++i) {
        Step step;
        train_step(*method, views, step, optimizers, 1);
      }
    };
    Allocator::cpu().reset_peak();
    steps(0, 20);  // fills queue, bank, every buffer, and settles the heap of small objects
    int64_t calls = Allocator::cpu().statistics().system_calls, faults = page_faults();
    constexpr int64_t kSteps = 20;
    steps(20, kSteps);
    CHECK(Allocator::cpu().statistics().system_calls == calls);
    // Pages that the tensors of these steps would touch if nothing were kept. The heap of small objects may still grow.
    int64_t pages = kSteps * Allocator::cpu().statistics().peak_bytes / 4096;
    CHECK(pages > 2000);
    CHECK(page_faults() - faults < pages / 40);
  }
}
