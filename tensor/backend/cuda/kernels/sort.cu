// The k first of a row in sorted order, by CUB where rows are long, and the gradient of picking elements out of a row.
#include <cub/device/device_segmented_radix_sort.cuh>

#include <utility>

#include "tensor/backend/cuda/device_code.h"
#include "tensor/backend/cuda/launch.h"
#include "tensor/backend/cuda/ops.h"

namespace plumage::cuda {
namespace {

/// Whether element a of a row stands before b: by value, NaN last, ties by place.
template <class R>
__device__ bool before(R a, int64_t a_place, R b, int64_t b_place, bool largest) {
  bool a_nan = a != a, b_nan = b != b;
  if (a_nan != b_nan) return b_nan;
  if (a_nan || a == b) return a_place < b_place;
  return largest ? a > b : a < b;
}

/// Each element counts those before it: its place. For short rows.
template <class T>
__global__ void top_k_count_kernel(int64_t rows, int64_t columns, int64_t k, const T* x, T* values,
                                   int64_t* index, bool largest) {
  using R = Real<T>;
  int64_t i = thread_index();
  if (i >= rows * columns) return;
  int64_t r = quotient(i, columns), c = i - r * columns, place = 0;
  const T* row = x + r * columns;
  R own = R(row[c]);
  for (int64_t other = 0; other < columns; ++other) place += before(R(row[other]), other, own, c, largest);
  if (place >= k) return;
  values[r * k + place] = row[c];
  index[r * k + place] = c;
}

template <class T>
using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>>;

/// A number without a sign that grows as elements do, or shrinks if the largest is to be first; -0 is 0, NaN the last.
template <class T>
__device__ Bits<T> sort_key(T x, bool largest) {
  constexpr Bits<T> kSign = Bits<T>(Bits<T>(1) << (8 * sizeof(T) - 1)), kLast = Bits<T>(~Bits<T>(0));
  Real<T> value = Real<T>(x);
  if (value != value) return kLast;
  Bits<T> bits = 0;
  if (value != 0) memcpy(&bits, &x, sizeof bits);
  bits = Bits<T>(bits & kSign ? ~bits : bits | kSign);
  return largest ? Bits<T>(~bits) : bits;
}

/// Keys and places of whole rows, and where each row begins.
template <class T>
__global__ void sort_keys_kernel(int64_t rows, int64_t columns, const T* x, Bits<T>* keys, int32_t* places, int32_t* begins,
                                 bool largest) {
  int64_t i = thread_index();
  if (i <= rows) begins[i] = int32_t(i * columns);
  if (i >= rows * columns) return;
  keys[i] = sort_key(x[i], largest);
  places[i] = int32_t(i - quotient(i, columns) * columns);
}

/// The k first of each sorted row.
template <class T>
__global__ void take_sorted_kernel(int64_t rows, int64_t columns, int64_t k, const T* x, const int32_t* places, T* values,
                                   int64_t* index) {
  int64_t i = thread_index();
  if (i >= rows * k) return;
  int64_t r = quotient(i, k), c = places[r * columns + (i - r * k)];
  values[i] = x[r * columns + c];
  index[i] = c;
}

constexpr int64_t kShortRow = 512;         // up to here counting costs less than sorting
constexpr int64_t kMostSorted = 1 << 26;   // elements at once: a gigabyte of scratch memory in f32

/// Rows in order by CUB's radix sort, which keeps ties as they were.
template <class T>
void sort_rows(Context& context, int64_t rows, int64_t columns, int64_t k, const T* x, T* values, int64_t* index, bool largest) {
  int64_t count = rows * columns;
  auto rounded = [](int64_t bytes) { return ceil_div(bytes, 256) * 256; };
  int64_t keys_bytes = rounded(count * int64_t(sizeof(T))), places_bytes = rounded(count * 4);
  size_t work_bytes = 0;
  auto sort = [&](void* work, Bits<T>* keys, Bits<T>* sorted_keys, int32_t* places, int32_t* sorted_places, int32_t* begins) {
    check(cub::DeviceSegmentedRadixSort::SortPairs(work, work_bytes, keys, sorted_keys, places, sorted_places, int(count),
                                                   int(rows), begins, begins + 1, 0, int(8 * sizeof(T)), stream(context)),
          "CUB's segmented radix sort");
  };
  int32_t* nothing = nullptr;
  sort(nullptr, nullptr, nullptr, nothing, nothing, nothing);  // how much it needs
  auto* at = static_cast<char*>(
      context.scratch(2 * keys_bytes + 2 * places_bytes + rounded((rows + 1) * 4) + int64_t(work_bytes)));
  auto take = [&](int64_t bytes) { return std::exchange(at, at + bytes); };
  auto *keys = reinterpret_cast<Bits<T>*>(take(keys_bytes)), *sorted_keys = reinterpret_cast<Bits<T>*>(take(keys_bytes));
  auto *places = reinterpret_cast<int32_t*>(take(places_bytes)), *sorted_places = reinterpret_cast<int32_t*>(take(places_bytes));
  auto* begins = reinterpret_cast<int32_t*>(take(rounded((rows + 1) * 4)));
  launch(sort_keys_kernel<T>, blocks_for(count), kThreads, 0, stream(context), rows, columns, x, keys, places, begins, largest);
  sort(at, keys, sorted_keys, places, sorted_places, begins);
  launch(take_sorted_kernel<T>, blocks_for(rows * k), kThreads, 0, stream(context), rows, columns, k, x, sorted_places, values,
         index);
}

}  // namespace

void top_k(Context& context, In x, Out values, Out index, bool largest) {
  if (values.count() == 0) return;
  int64_t columns = x.shape[-1], k = values.shape[-1], rows = values.count() / k;
  if (columns > kMostSorted) throw ShapeError(message("top_k: rows of ", columns, " elements: a device takes ", kMostSorted));
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.as<T>();
    T* to = values.as<T>();
    auto* places = index.as<int64_t>();
    if (columns <= kShortRow)
      return launch(top_k_count_kernel<T>, blocks_for(rows * columns), kThreads, 0, stream(context), rows,
                    columns, k, from, to, places, largest);
    int64_t at_once = kMostSorted / columns;
    for (int64_t r = 0; r < rows; r += at_once)
      sort_rows(context, std::min(at_once, rows - r), columns, k, from + r * columns, to + r * k, places + r * k, largest);
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
