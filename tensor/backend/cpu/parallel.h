// How a cpu kernel uses the threads: one OpenMP region over equal parts, none at all when the work is small.
// Every result is independent of the number of threads: parts write different elements, and sums are cut into
// chunks by size alone (Chunks) and added up in order.
#pragma once
#include <omp.h>

#include <algorithm>
#include <cstdint>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "tensor/context.h"

namespace plumage::cpu {

/// Denormal numbers cost sixty times the usual time: each thread that computes flushes them to zero.
inline void flush_denormals() {
#if defined(__SSE__)
  constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  _mm_setcsr(_mm_getcsr() | kFlushToZero | kDenormalsAreZero);
#endif
}

/// Elements of a simple loop below which a second thread costs more than it brings.
constexpr int64_t kGrain = 16384;

/// f(begin, end) over parts of 0..count, at least `grain` long; inner borders are multiples of `align`.
template <class F>
void parallel(Context& context, int64_t count, int64_t grain, F&& f, int64_t align = 1) {
  flush_denormals();
  int threads = int(std::min<int64_t>(context.threads(), count / std::max<int64_t>(grain, 1)));
  if (threads <= 1) {
    if (count > 0) f(int64_t{0}, count);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    flush_denormals();
    int64_t n = omp_get_num_threads(), t = omp_get_thread_num(), units = (count + align - 1) / align;
    int64_t begin = std::min(count, units * t / n * align), end = std::min(count, units * (t + 1) / n * align);
    if (begin < end) f(begin, end);
  }
}

/// Rows that cost `row` elements each.
template <class F>
void parallel_rows(Context& context, int64_t rows, int64_t row, F&& f) {
  parallel(context, rows, std::max<int64_t>(1, kGrain / std::max<int64_t>(row, 1)), f);
}

/// A fixed cut of 0..count, for sums: depends on the count only.
struct Chunks {
  int64_t count, size, number;
  Chunks(int64_t count, int64_t smallest, int64_t most)
      : count(count), size(std::max(smallest, (count + most - 1) / most)), number((count + size - 1) / size) {}
  int64_t begin(int64_t i) const { return i * size; }
  int64_t end(int64_t i) const { return std::min(count, (i + 1) * size); }
};

}  // namespace plumage::cpu
