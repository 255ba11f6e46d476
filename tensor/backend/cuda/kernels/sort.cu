// The k first of a row in sorted order, and the gradient of picking elements out of a row.
#include "tensor/backend/cuda/device_code.h"
#include "tensor/backend/cuda/launch.h"
#include "tensor/backend/cuda/ops.h"

namespace plumage::cuda {
namespace {

/// An element and where it stood; index -1 is no element.
template <class R>
struct Entry {
  R value;
  int64_t index;
};

/// Whether a stands before b: by value, NaN last, ties by index, no element behind all.
template <class R>
__device__ bool before(Entry<R> a, Entry<R> b, bool largest) {
  if (a.index < 0 || b.index < 0) return b.index < 0 && a.index >= 0;
  bool a_nan = a.value != a.value, b_nan = b.value != b.value;
  if (a_nan != b_nan) return b_nan;
  if (a_nan || a.value == b.value) return a.index < b.index;
  return largest ? a.value > b.value : a.value < b.value;
}

/// Each element counts those before it: its place. For rows that are short, or of which most is wanted.
template <class T>
__global__ void top_k_count_kernel(int64_t rows, int64_t columns, int64_t k, const T* x, T* values,
                                   int64_t* index, bool largest) {
  using R = Real<T>;
  int64_t i = thread_index();
  if (i >= rows * columns) return;
  int64_t r = quotient(i, columns), c = i - r * columns, place = 0;
  const T* row = x + r * columns;
  Entry<R> own{R(row[c]), c};
  for (int64_t other = 0; other < columns; ++other)
    place += before(Entry<R>{R(row[other]), other}, own, largest);
  if (place >= k) return;
  values[r * k + place] = row[c];
  index[r * k + place] = c;
}

/// entries [2 * kept], a power of two, into order: bitonic sort.
template <class R>
__device__ void sort_shared(Entry<R>* entries, int n, bool largest) {
  for (int run = 2; run <= n; run *= 2)
    for (int distance = run / 2; distance > 0; distance /= 2) {
      __syncthreads();
      for (int i = int(threadIdx.x); i < n / 2; i += int(blockDim.x)) {
        int low = i / distance * 2 * distance + i % distance, high = low + distance;
        bool up = (low & run) == 0;
        Entry<R> a = entries[low], b = entries[high];
        if (before(b, a, largest) != up) continue;
        entries[low] = b;
        entries[high] = a;
      }
    }
  __syncthreads();
}

/// The best `kept` so far stay in the first half; the row passes through the second, `kept` elements at a
/// time.
template <class T>
__global__ void top_k_merge_kernel(int64_t rows, int64_t columns, int kept, int64_t k, const T* x, T* values,
                                   int64_t* index, bool largest) {
  using R = Real<T>;
  PLUMAGE_DYNAMIC_SHARED(Entry<R>, entries);
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const T* row = x + r * columns;
    for (int i = int(threadIdx.x); i < kept; i += int(blockDim.x)) entries[i] = {R(0), -1};
    for (int64_t first = 0; first < columns; first += kept) {
      for (int i = int(threadIdx.x); i < kept; i += int(blockDim.x)) {
        int64_t c = first + i;
        entries[kept + i] = c < columns ? Entry<R>{R(row[c]), c} : Entry<R>{R(0), -1};
      }
      sort_shared(entries, 2 * kept, largest);
    }
    for (int64_t i = threadIdx.x; i < k; i += blockDim.x) {
      values[r * k + i] = row[entries[i].index];
      index[r * k + i] = entries[i].index;
    }
    __syncthreads();  // before the next row overwrites the entries
  }
}

constexpr int64_t kMostKept = 1024;  // 2 * 1024 entries of 16 bytes: 32 KiB of shared memory
constexpr int64_t kShortRow = 512;   // up to here counting costs less than sorting

}  // namespace

void top_k(Context& context, In x, Out values, Out index, bool largest) {
  int64_t columns = x.shape[-1], k = values.shape[-1], rows = values.count() / k;
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (columns <= kShortRow || k > kMostKept)
      return launch(top_k_count_kernel<T>, blocks_for(rows * columns), kThreads, 0, stream(context), rows,
                    columns, k, x.as<T>(), values.as<T>(), index.as<int64_t>(), largest);
    int kept = 256;
    while (kept < k) kept *= 2;
    size_t shared = size_t(2 * kept) * sizeof(Entry<Real<T>>);
    launch(top_k_merge_kernel<T>, blocks_for_rows(rows), kThreads, shared, stream(context), rows, columns,
           kept, k, x.as<T>(), values.as<T>(), index.as<int64_t>(), largest);
  });
}

namespace {

/// dx[r, c] = sum of dy[r, i] over the i that point at c, in order of i
template <class T>
__global__ void put_last_kernel(int64_t count, int64_t columns, int64_t k, const T* dy, const int64_t* index,
                                T* dx) {
  int64_t i = thread_index();
  if (i >= count) return;
  int64_t r = quotient(i, columns), c = i - r * columns;
  Real<T> sum = 0;
  for (int64_t j = r * k; j < (r + 1) * k; ++j)
    if (index[j] == c) sum += Real<T>(dy[j]);
  dx[i] = T(sum);
}

}  // namespace

void put_last(Context& context, In dy, In index, Out dx) {
  if (dx.count() == 0) return;
  int64_t columns = dx.shape.rank() ? dx.shape[-1] : 1, rows = dx.count() / columns;
  visit_float(dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(put_last_kernel<T>, blocks_for(dx.count()), kThreads, 0, stream(context), dx.count(), columns,
           dy.count() / rows, dy.as<T>(), index.as<int64_t>(), dx.as<T>());
  });
}

}  // namespace plumage::cuda
