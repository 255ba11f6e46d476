// How a cpu kernel uses the threads: one OpenMP region over equal shares, none at all when the work is small. Who is done
// helps the others: cores are not equally fast where something else runs.
// Every result is independent of the number of threads: parts write different elements, and sums are cut into
// chunks by size alone (Chunks) and added up in order.
#pragma once
#include <omp.h>

#include <algorithm>
#include <atomic>
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

constexpr int64_t kUnitsAThread = 32;  ///< a thread's share, of which parts are taken
constexpr int64_t kUnitsAPart = 4;     ///< at most
constexpr int64_t kMostThreads = 256;  ///< of a region

constexpr int64_t ceil_div(int64_t n, int64_t unit) { return (n + unit - 1) / unit; }
constexpr int64_t round_up(int64_t n, int64_t unit) { return ceil_div(n, unit) * unit; }

/// Code that is reached in two ways is compiled once: in two copies the compiler may contract products and sums differently, which
/// rounds differently, and how many threads there are would show.
#if defined(__clang__)
#define PLUMAGE_ONE_COPY [[gnu::noinline]]
#else
#define PLUMAGE_ONE_COPY [[gnu::noinline, gnu::noclone]]
#endif

template <class F>
PLUMAGE_ONE_COPY void call(F& f, int64_t begin, int64_t end) { f(begin, end); }

/// The unit that a part of a share of `units` begins with; `units` for those beyond the last. Parts take a third of what is left, so that
/// who helps and who is helped end together.
inline int64_t begin_of_part(int64_t part, int64_t units) {
  int64_t begin = 0;
  for (; part > 0 && begin < units; --part) begin += std::clamp<int64_t>((units - begin) / 3, 1, kUnitsAPart);
  return begin;
}

/// f(begin, end) over parts of 0..count, at least `grain` long; inner borders are multiples of `align`. Parts are made of a thread's
/// share in as many units, fewer where each call of f has costs of its own.
template <class F>
void parallel(Context& context, int64_t count, int64_t grain, F&& f, int64_t align = 1, int64_t units = kUnitsAThread) {
  flush_denormals();
  grain = std::max<int64_t>(grain, 1);
  int threads = int(std::min({int64_t(context.threads()), count / grain, kMostThreads}));
  if (threads <= 1) {
    if (count > 0) call(f, 0, count);
    return;
  }
  struct alignas(64) Share { int64_t begun; };  // parts of it
  Share shares[kMostThreads];
  for (int i = 0; i < threads; ++i) shares[i].begun = 0;
#pragma omp parallel num_threads(threads)
  {
    flush_denormals();
    int64_t n = omp_get_num_threads(), whole = ceil_div(count, align);
    for (int64_t i = 0; i < n; ++i) {  // its own share, then the others'
      const int64_t owner = (omp_get_thread_num() + i) % n, first = whole * owner / n, size = whole * (owner + 1) / n - first;
      const int64_t cuts = std::clamp<int64_t>(size * align / grain, 1, units);
      std::atomic_ref<int64_t> begun(shares[owner].begun);
      for (int64_t part, at; (at = begin_of_part(part = begun.fetch_add(1, std::memory_order_relaxed), cuts)) < cuts;) {
        const int64_t begin = std::min(count, (first + size * at / cuts) * align);
        const int64_t end = std::min(count, (first + size * begin_of_part(part + 1, cuts) / cuts) * align);
        if (begin < end) call(f, begin, end);
      }
    }
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
