// Sums over dimensions, and the largest element of a row. Next: sort.cu, the k largest.
#include "tensor/backend/cuda/device_code.h"
#include "tensor/backend/cuda/launch.h"
#include "tensor/backend/cuda/ops.h"
#include "tensor/backend/joined.h"

namespace plumage::cuda {
namespace {

constexpr int kScratch = 0;

/// Some dimensions of a tensor, counted through in row-major order.
struct Walk {
  int rank = 0;
  int64_t count = 1;
  int64_t sizes[Shape::kMaxRank] = {}, steps[Shape::kMaxRank] = {};

  void push_back(int64_t size, int64_t step) {
    sizes[rank] = size;
    steps[rank++] = step;
    count *= size;
  }
  /// Where element i of the walk lies.
  __device__ int64_t offset(int64_t i) const {
    int64_t at = 0;
    for (int d = rank - 1; d > 0; --d) {
      int64_t above = quotient(i, sizes[d]);
      at += (i - above * sizes[d]) * steps[d];
      i = above;
    }
    return rank ? at + i * steps[0] : 0;
  }
};

/// x split into the dimensions that y keeps and those that are summed.
struct Split {
  Walk kept, summed;
  bool rows_run_on = false;  ///< the last dimension is summed

  Split(const Shape& x, const Shape& y) {
    Joined joined(x, y, y);
    int64_t steps[Shape::kMaxRank], step = 1;
    for (int d = joined.rank - 1; d >= 0; --d) {
      steps[d] = step;
      step *= joined.dimensions[d].size;
    }
    for (int d = 0; d < joined.rank; ++d) {
      const auto& dimension = joined.dimensions[d];
      (dimension.a_step ? kept : summed).push_back(dimension.size, steps[d]);
    }
    rows_run_on = joined.inner().a_step == 0;
  }
  Split(int64_t kept_count, int64_t chunks) {  // x: [chunks, kept_count]
    kept.push_back(kept_count, 1);
    summed.push_back(chunks, kept_count);
  }
};

/// y[chunk, o] = sum of x over the summed elements of one chunk. blockIdx.y: chunk; threadIdx.x: o;
/// threadIdx.y shares the elements.
template <class T, class Y>
__global__ void sum_to_chunk_kernel(Split at, int64_t chunk_size, const T* x, Y* y) {
  PLUMAGE_SHARED(Real<T>, sums, kThreads);
  int64_t o = thread_index(), chunk = blockIdx.y;
  int64_t end = chunk * chunk_size + chunk_size;
  if (end > at.summed.count) end = at.summed.count;
  Real<T> sum = 0;
  if (o < at.kept.count) {
    const T* first = x + at.kept.offset(o);
    for (int64_t i = chunk * chunk_size + threadIdx.y; i < end; i += blockDim.y)
      sum += Real<T>(first[at.summed.offset(i)]);
  }
  sums[threadIdx.y * blockDim.x + threadIdx.x] = sum;
  reduce_rows<1>(static_cast<Real<T>*>(sums), Plus{});
  if (threadIdx.y == 0 && o < at.kept.count) y[chunk * at.kept.count + o] = Y(sums[threadIdx.x]);
}

template <class T, class Y>
void sum_chunks(Context& context, const Split& at, int64_t chunks, const T* x, Y* y) {
  dim3 block =
      at.rows_run_on ? dim3(1, unsigned(at.summed.count <= 32 ? 32 : kThreads)) : dim3(32, kThreads / 32);
  dim3 grid(grid_size(ceil_div(at.kept.count, block.x)), unsigned(chunks));
  launch(sum_to_chunk_kernel<T, Y>, grid, block, 0, stream(context), at, ceil_div(at.summed.count, chunks), x,
         y);
}

}  // namespace

void sum_to(Context& context, In x, Out y) {
  if (x.count() == 0) return fill(context, y, 0);
  Split at(x.shape, y.shape);
  // Enough chunks to fill a large device, and no more than the sums of one y are worth.
  constexpr int64_t kWanted = 1024, kLeast = 2048;
  int64_t blocks = ceil_div(at.kept.count, at.rows_run_on ? 1 : 32);
  int64_t chunks = std::max<int64_t>(1, std::min(kWanted / blocks, at.summed.count / kLeast));
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using R = Real<T>;
    if (chunks == 1) return sum_chunks(context, at, 1, x.as<T>(), y.as<T>());
    auto* partial = static_cast<R*>(context.scratch(chunks * y.count() * int64_t(sizeof(R)), kScratch));
    sum_chunks(context, at, chunks, x.as<T>(), partial);
    sum_chunks(context, Split(y.count(), chunks), 1, static_cast<const R*>(partial), y.as<T>());
  });
}

namespace {

/// An element and where it stood.
template <class R>
struct Placed {
  R value;
  int64_t index;
};

template <class R>
__device__ Placed<R> shuffle_xor(Placed<R> p, int lanes) {
  return {__shfl_xor_sync(kAllLanes, p.value, lanes), __shfl_xor_sync(kAllLanes, p.index, lanes)};
}

/// The first maximum; NaN wins all. An index of -1 is nothing yet.
struct FirstMaximum {
  template <class R>
  __device__ Placed<R> operator()(Placed<R> a, Placed<R> b) const {
    if (a.index < 0 || b.index < 0) return a.index < 0 ? b : a;
    bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    bool same = a_nan == b_nan && (a_nan || a.value == b.value);
    if (same) return a.index < b.index ? a : b;
    return b_nan || (!a_nan && b.value > a.value) ? b : a;
  }
};

template <class T>
__global__ void max_last_rows_kernel(int64_t rows, int64_t columns, const T* x, T* y, int64_t* index) {
  using R = Real<T>;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    Placed<R> best{R(0), -1};
    for (int64_t c = threadIdx.x; c < columns; c += blockDim.x)
      best = FirstMaximum{}(best, Placed<R>{R(x[r * columns + c]), c});
    best = block_reduce(best, FirstMaximum{});
    if (threadIdx.x == 0) {
      y[r] = x[r * columns + best.index];
      index[r] = best.index;
    }
  }
}

}  // namespace

void max_last(Context& context, In x, Out y, Out index) {
  int64_t columns = x.shape[-1];
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(max_last_rows_kernel<T>, blocks_for_rows(y.count()), threads_for_row(columns), 0, stream(context),
           y.count(), columns, x.as<T>(), y.as<T>(), index.as<int64_t>());
  });
}

}  // namespace plumage::cuda
