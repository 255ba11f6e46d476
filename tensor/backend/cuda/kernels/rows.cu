// Rows: unit length, picking by index, copying blocks.
#include "tensor/backend/cuda/device_code.h"
#include "tensor/backend/cuda/launch.h"
#include "tensor/backend/cuda/ops.h"

namespace plumage::cuda {
namespace {

template <class T>
__global__ void l2_normalize_fwd_rows_kernel(int64_t rows, int64_t columns, const T* x, T* y, Real<T>* norm,
                                             Real<T> epsilon) {
  using R = Real<T>;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const T* in = x + r * columns;
    R squares = 0;
    for (int64_t c = threadIdx.x; c < columns; c += blockDim.x) squares += R(in[c]) * R(in[c]);
    R length = nan_max(R(std::sqrt(block_reduce(squares, Plus{}))), epsilon);
    for (int64_t c = threadIdx.x; c < columns; c += blockDim.x) y[r * columns + c] = T(R(in[c]) / length);
    if (threadIdx.x == 0) norm[r] = length;
  }
}

/// dx = (dy - y (y . dy)) / norm; where the length was cut to epsilon it is a constant: dx = dy / epsilon
template <class T>
__global__ void l2_normalize_bwd_rows_kernel(int64_t rows, int64_t columns, const T* y, const Real<T>* norm,
                                             const T* dy, T* dx, Real<T> epsilon) {
  using R = Real<T>;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const T *unit = y + r * columns, *g = dy + r * columns;
    R length = norm[r], dot = 0;
    for (int64_t c = threadIdx.x; c < columns; c += blockDim.x) dot += R(unit[c]) * R(g[c]);
    dot = block_reduce(dot, Plus{});
    if (length <= epsilon) dot = 0;
    for (int64_t c = threadIdx.x; c < columns; c += blockDim.x)
      dx[r * columns + c] = T((R(g[c]) - R(unit[c]) * dot) / length);
  }
}

}  // namespace

void l2_normalize(Context& context, In x, Out y, Out norm, double epsilon) {
  int64_t columns = x.shape[-1];
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(l2_normalize_fwd_rows_kernel<T>, blocks_for_rows(norm.count()), threads_for_row(columns), 0,
           stream(context), norm.count(), columns, x.as<T>(), y.as<T>(), norm.as<Real<T>>(),
           Real<T>(epsilon));
  });
}

void l2_normalize_bwd(Context& context, In y, In norm, In dy, Out dx, double epsilon) {
  int64_t columns = y.shape[-1];
  visit_float(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(l2_normalize_bwd_rows_kernel<T>, blocks_for_rows(norm.count()), threads_for_row(columns), 0,
           stream(context), norm.count(), columns, y.as<T>(), norm.as<Real<T>>(), dy.as<T>(), dx.as<T>(),
           Real<T>(epsilon));
  });
}

namespace {

/// Calls g with the largest word, 1 to 16 bytes, whose size divides all of `multiples` (byte counts and
/// addresses).
template <class G>
void visit_word(uint64_t multiples, G&& g) {
  if (multiples % 16 == 0) return g(uint4{});
  if (multiples % 8 == 0) return g(uint64_t{});
  if (multiples % 4 == 0) return g(uint32_t{});
  if (multiples % 2 == 0) return g(uint16_t{});
  g(uint8_t{});
}

uint64_t bits_of(const void* p) { return reinterpret_cast<uintptr_t>(p); }

/// y[r] = x[index[r]], rows of `width` words
template <class Word>
__global__ void gather_rows_kernel(int64_t words, int64_t width, const Word* x, const int64_t* index,
                                   Word* y) {
  int64_t i = thread_index();
  if (i >= words) return;
  int64_t r = quotient(i, width);
  y[i] = x[index[r] * width + (i - r * width)];
}

/// ring[(first + r) mod size] = rows[r], rows of `width` words
template <class Word>
__global__ void put_rows_kernel(int64_t words, int64_t width, int64_t size, const int64_t* first, const Word* rows, Word* ring) {
  int64_t i = thread_index();
  if (i >= words) return;
  int64_t r = quotient(i, width);
  ring[(*first + r) % size * width + (i - r * width)] = rows[i];
}

template <class Word>
__global__ void copy_block_kernel(Block block, const Word* x, Word* y) {
  int64_t i = thread_index();
  if (i >= block.outer * block.width) return;
  int64_t row = quotient(i, block.width), place = i - row * block.width;
  y[row * block.y_pitch + block.y_offset + place] = x[row * block.x_pitch + block.x_offset + place];
}

/// dx[row] = sum of dy[r] over the r that point at the row, in order of r: one thread a column, the index
/// read by all
template <class T>
__global__ void scatter_add_rows_kernel(int64_t count, int64_t width, int64_t picked, const T* dy,
                                        const int64_t* index, T* dx) {
  int64_t i = thread_index();
  if (i >= count) return;
  int64_t row = quotient(i, width), place = i - row * width;
  Real<T> sum = 0;
  for (int64_t r = 0; r < picked; ++r)
    if (index[r] == row) sum += Real<T>(dy[r * width + place]);
  dx[i] = T(sum);
}

}  // namespace

void gather_rows(Context& context, In x, In index, Out y) {
  if (y.count() == 0) return;
  int64_t row_bytes = y.count() / index.count() * size_of(y.dtype);
  visit_word(uint64_t(row_bytes) | bits_of(x.data) | bits_of(y.data), [&](auto zero) {
    using Word = decltype(zero);
    int64_t width = row_bytes / int64_t(sizeof(Word)), words = index.count() * width;
    launch(gather_rows_kernel<Word>, blocks_for(words), kThreads, 0, stream(context), words, width,
           x.as<Word>(), index.as<int64_t>(), y.as<Word>());
  });
}

void put_rows(Context& context, In rows, In first, Out ring) {
  if (rows.count() == 0) return;
  int64_t row_bytes = rows.count() / rows.shape[0] * size_of(rows.dtype);
  visit_word(uint64_t(row_bytes) | bits_of(rows.data) | bits_of(ring.data), [&](auto zero) {
    using Word = decltype(zero);
    int64_t width = row_bytes / int64_t(sizeof(Word)), words = rows.shape[0] * width;
    launch(put_rows_kernel<Word>, blocks_for(words), kThreads, 0, stream(context), words, width, ring.shape[0],
           first.as<int64_t>(), rows.as<Word>(), ring.as<Word>());
  });
}

void scatter_add_rows(Context& context, In dy, In index, Out dx) {
  if (dx.count() == 0) return;
  int64_t width = dx.count() / dx.shape[0];
  visit_float(dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(scatter_add_rows_kernel<T>, blocks_for(dx.count()), kThreads, 0, stream(context), dx.count(),
           width, index.count(), dy.as<T>(), index.as<int64_t>(), dx.as<T>());
  });
}

void copy_block(Context& context, In x, Out y, Block block) {
  int64_t size = size_of(x.dtype);
  uint64_t multiples = bits_of(x.data) | bits_of(y.data);
  for (int64_t n : {block.width, block.x_pitch, block.y_pitch, block.x_offset, block.y_offset})
    multiples |= uint64_t(n * size);
  visit_word(multiples, [&](auto zero) {
    using Word = decltype(zero);
    auto words = [&](int64_t elements) { return elements * size / int64_t(sizeof(Word)); };
    Block of_words{block.outer,          words(block.width),    words(block.x_pitch),
                   words(block.y_pitch), words(block.x_offset), words(block.y_offset)};
    launch(copy_block_kernel<Word>, blocks_for(of_words.outer * of_words.width), kThreads, 0, stream(context),
           of_words, x.as<Word>(), y.as<Word>());
  });
}

}  // namespace plumage::cuda
