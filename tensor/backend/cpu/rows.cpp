// Rows: unit length, picking by index, copying blocks.
#include "tensor/backend/cpu/parallel.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu {

void l2_normalize(Context& context, In x, Out y, Out norm, double epsilon) {
  int64_t rows = norm.count(), columns = x.shape[-1];
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    parallel_rows(context, rows, columns, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* p = x.as<T>() + r * columns;
        T* out = y.as<T>() + r * columns;
        double squares = sum_of(columns, [&](int64_t i, int64_t lanes) { V v = load_n(p + i, lanes); return v * v; });
        double root = std::sqrt(squares);
        float length = float(root > epsilon || root != root ? root : epsilon);
        for_vectors(0, columns, [&](int64_t i, int64_t lanes) { store_n(out + i, load_n(p + i, lanes) / length, lanes); });
        norm.as<float>()[r] = length;
      }
    });
  });
}

void l2_normalize_bwd(Context& context, In y, In norm, In dy, Out dx, double epsilon) {
  int64_t rows = norm.count(), columns = y.shape[-1];
  visit_fast(y.dtype, [&](auto type) {
    using T = decltype(type);
    parallel_rows(context, rows, columns, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T *unit = y.as<T>() + r * columns, *g = dy.as<T>() + r * columns;
        T* out = dx.as<T>() + r * columns;
        float length = norm.as<float>()[r], dot = 0;
        if (!(length <= float(epsilon)))
          dot = float(sum_of(columns, [&](int64_t i, int64_t lanes) { return load_n(unit + i, lanes) * load_n(g + i, lanes); }));
        for_vectors(0, columns, [&](int64_t i, int64_t lanes) {
          store_n(out + i, (load_n(g + i, lanes) - load_n(unit + i, lanes) * dot) / length, lanes);
        });
      }
    });
  });
}

void gather_rows(Context& context, In x, In index, Out y) {
  if (y.count() == 0) return;
  int64_t width = y.count() / index.count(), bytes = width * size_of(y.dtype);
  parallel_rows(context, index.count(), width, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      std::memcpy(y.as<char>() + r * bytes, x.as<char>() + index.as<int64_t>()[r] * bytes, size_t(bytes));
  });
}

void copy_block(Context& context, In x, Out y, Block block) {
  if (block.width == 0) return;
  int64_t size = size_of(x.dtype);
  auto copy = [&](int64_t row, int64_t begin, int64_t end) {
    std::memcpy(y.as<char>() + (row * block.y_pitch + block.y_offset + begin) * size,
                x.as<char>() + (row * block.x_pitch + block.x_offset + begin) * size, size_t((end - begin) * size));
  };
  if (block.outer == 1)
    return parallel(context, block.width, kGrain, [&](int64_t begin, int64_t end) { copy(0, begin, end); }, 64);
  parallel_rows(context, block.outer, block.width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) copy(row, 0, block.width);
  });
}

}  // namespace plumage::cpu
