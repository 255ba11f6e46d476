// Convolution as a matrix product over columns: row (n,p,q) of the column matrix holds the R*S*C numbers under one
// window. A block of rows at a time is laid out, so the columns stay in the cache. Next: tensor/backend/cpu/gemm.cpp.
#include "tensor/backend/cpu/conv.h"

#include "tensor/backend/cpu/gemm.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu::im2col {
namespace {

constexpr int kBufferSlot = 0, kColumnSlot = 2, kSumSlot = 3;

struct Geometry {
  int64_t n, h, w, c, k, r, s, p, q, stride, pad;
  int64_t rows() const { return n * p * q; }
  int64_t depth() const { return r * s * c; }
  bool plain() const { return r == 1 && s == 1 && stride == 1 && pad == 0; }  // the image is its own column matrix
  // A block of columns takes about 2 MB, and at least 64 rows.
  int64_t block_rows() const { return std::min(rows(), std::max<int64_t>(64, (1 << 19) / std::max<int64_t>(depth(), 1))); }
};

Geometry geometry(const Shape& x, const Shape& w, const Shape& y, Window window) {
  return {x[0], x[1], x[2], x[3], w[0], w[1], w[2], y[1], y[2], window.stride, window.pad};
}

// columns: [end - begin, R*S*C]
template <class T>
void gather_columns(const Geometry& g, const T* x, int64_t begin, int64_t end, T* columns) {
  for (int64_t row = begin; row < end; ++row) {
    int64_t n = row / (g.p * g.q), p = row / g.q % g.p, q = row % g.q;
    for (int64_t r = 0; r < g.r; ++r) {
      int64_t i = p * g.stride + r - g.pad, j0 = q * g.stride - g.pad;
      int64_t first = std::clamp<int64_t>(-j0, 0, g.s), last = std::clamp<int64_t>(g.w - j0, first, g.s);
      if (i < 0 || i >= g.h) first = last = g.s;
      std::fill_n(columns, first * g.c, T(0.f));
      const T* from = x + ((n * g.h + i) * g.w + j0) * g.c;
      std::copy(from + first * g.c, from + last * g.c, columns + first * g.c);
      std::fill(columns + last * g.c, columns + g.s * g.c, T(0.f));
      columns += g.s * g.c;
    }
  }
}

// dx += columns [end - begin, R*S*C]
void scatter_columns(const Geometry& g, const float* columns, int64_t begin, int64_t end, float* dx) {
  for (int64_t row = begin; row < end; ++row) {
    int64_t n = row / (g.p * g.q), p = row / g.q % g.p, q = row % g.q;
    for (int64_t r = 0; r < g.r; ++r, columns += g.s * g.c) {
      int64_t i = p * g.stride + r - g.pad, j0 = q * g.stride - g.pad;
      if (i < 0 || i >= g.h) continue;
      int64_t first = std::clamp<int64_t>(-j0, 0, g.s), last = std::clamp<int64_t>(g.w - j0, first, g.s);
      float* to = dx + ((n * g.h + i) * g.w + j0) * g.c;
      for (int64_t e = first * g.c; e < last * g.c; ++e) to[e] += columns[e];
    }
  }
}

template <class T>
void forward(Context& context, const Geometry& g, const T* x, const T* w, T* y) {
  int64_t block = g.block_rows(), depth = g.depth(), blocks = (g.rows() + block - 1) / block;
  int64_t buffer = gemm_buffer_size(), threads = context.threads();
  auto* buffers = static_cast<float*>(context.scratch(threads * buffer * 4, kBufferSlot));
  auto* columns = static_cast<T*>(context.scratch(threads * block * depth * int64_t(sizeof(T)), kColumnSlot));
  auto* sums = static_cast<float*>(context.scratch(std::is_same_v<T, float> ? 0 : threads * block * g.k * 4, kSumSlot));
  parallel(context, blocks, 1, [&](int64_t first, int64_t last) {
    int64_t thread = omp_get_thread_num();
    for (int64_t b = first; b < last; ++b) {
      int64_t begin = b * block, rows = std::min(block, g.rows() - begin);
      T* mine = columns + thread * block * depth;
      if (!g.plain()) gather_columns(g, x, begin, begin + rows, mine);
      Matrix<T> a{g.plain() ? x + begin * g.c : mine, depth, 1}, filters{w, 1, depth};
      float* out = sums + thread * block * g.k;
      if constexpr (std::is_same_v<T, float>) out = y + begin * g.k;
      gemm_serial(rows, g.k, depth, a, filters, out, g.k, false, buffers + thread * buffer);
      if constexpr (!std::is_same_v<T, float>) std::copy_n(out, rows * g.k, y + begin * g.k);
    }
  });
}

// Images in groups that make a block of rows; those with more pixels than a block alone, a block at a time.
template <class T>
void gradient_of_data(Context& context, const Geometry& g, const T* dy, const T* w, T* dx) {
  int64_t pixels = g.p * g.q, depth = g.depth(), image = g.h * g.w * g.c;
  int64_t group = std::clamp<int64_t>(g.block_rows() / std::max<int64_t>(pixels, 1), 1, std::max<int64_t>(1, g.n / context.threads()));
  int64_t block = std::min(g.block_rows(), group * pixels), groups = (g.n + group - 1) / group;
  int64_t buffer = gemm_buffer_size(), threads = context.threads();
  auto* buffers = static_cast<float*>(context.scratch(threads * buffer * 4, kBufferSlot));
  auto* columns = static_cast<float*>(context.scratch(threads * block * depth * 4, kColumnSlot));
  auto* sums = static_cast<float*>(context.scratch(std::is_same_v<T, float> ? 0 : threads * group * image * 4, kSumSlot));
  parallel(context, groups, 1, [&](int64_t first, int64_t last) {
    int64_t thread = omp_get_thread_num();
    float *mine = columns + thread * block * depth, *sum = sums + thread * group * image;
    for (int64_t i = first; i < last; ++i) {
      int64_t n0 = i * group, images = std::min(group, g.n - n0);
      if constexpr (std::is_same_v<T, float>) sum = dx + n0 * image;
      std::fill_n(sum, images * image, 0.f);
      for (int64_t begin = 0; begin < images * pixels; begin += block) {
        int64_t rows = std::min(block, images * pixels - begin);
        Matrix<T> a{dy + (n0 * pixels + begin) * g.k, g.k, 1}, filters{w, depth, 1};
        float* product = g.plain() ? sum + begin * g.c : mine;
        gemm_serial(rows, depth, g.k, a, filters, product, depth, false, buffers + thread * buffer);
        if (!g.plain()) scatter_columns(g, mine, begin, begin + rows, sum);
      }
      if constexpr (!std::is_same_v<T, float>) std::copy_n(sum, images * image, dx + n0 * image);
    }
  });
}

// The blocks of rows follow each other, so the order of the sum is fixed; the threads share each block.
template <class T>
void gradient_of_filters(Context& context, const Geometry& g, const T* x, const T* dy, float* dw) {
  int64_t block = g.block_rows(), depth = g.depth();
  auto* columns = static_cast<T*>(context.scratch(block * depth * int64_t(sizeof(T)), kColumnSlot));
  std::fill_n(dw, g.k * depth, 0.f);
  for (int64_t begin = 0; begin < g.rows(); begin += block) {
    int64_t rows = std::min(block, g.rows() - begin);
    if (!g.plain())
      parallel_rows(context, rows, depth, [&](int64_t first, int64_t last) {
        gather_columns(g, x, begin + first, begin + last, columns + first * depth);
      });
    Matrix<T> a{dy + begin * g.k, 1, g.k}, b{g.plain() ? x + begin * g.c : columns, depth, 1};
    gemm(context, g.k, depth, rows, a, b, dw, depth, true);
  }
}

}  // namespace

void conv2d(Context& context, In x, In w, Out y, Window window) {
  if (y.count() == 0) return;
  Geometry g = geometry(x.shape, w.shape, y.shape, window);
  if (x.dtype == DType::bf16) forward(context, g, x.as<bf16>(), w.as<bf16>(), y.as<bf16>());
  else forward(context, g, x.as<float>(), w.as<float>(), y.as<float>());
}

void conv2d_dx(Context& context, In dy, In w, Out dx, Window window) {
  if (dx.count() == 0) return;
  Geometry g = geometry(dx.shape, w.shape, dy.shape, window);
  if (dy.dtype == DType::bf16) gradient_of_data(context, g, dy.as<bf16>(), w.as<bf16>(), dx.as<bf16>());
  else gradient_of_data(context, g, dy.as<float>(), w.as<float>(), dx.as<float>());
}

void conv2d_dw(Context& context, In x, In dy, Out dw, Window window) {
  if (dw.count() == 0) return;
  Geometry g = geometry(x.shape, dw.shape, dy.shape, window);
  if (x.dtype == DType::f32) return gradient_of_filters(context, g, x.as<float>(), dy.as<float>(), dw.as<float>());
  if (dw.dtype == DType::f32) return gradient_of_filters(context, g, x.as<bf16>(), dy.as<bf16>(), dw.as<float>());
  auto* sum = static_cast<float*>(context.scratch(dw.count() * 4, kSumSlot));
  gradient_of_filters(context, g, x.as<bf16>(), dy.as<bf16>(), sum);
  std::copy_n(sum, dw.count(), dw.as<bf16>());
}

}  // namespace plumage::cpu::im2col
