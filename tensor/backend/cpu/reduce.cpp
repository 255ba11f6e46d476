// Sums, maxima and the k largest. Sums are cut into chunks by size, so that they do not depend on the threads.
#include <array>
#include <numeric>
#include <vector>

#include "tensor/backend/cpu/parallel.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu {
namespace {

constexpr int kSumSlot = 3;

// x seen as [outer, reduced, inner] -> [outer, inner]; `fits` is false for any other pattern of dimensions.
struct Pattern {
  int64_t outer = 1, reduced = 1, inner = 1;
  bool fits = true;
  Pattern(const Shape& x, const Shape& y) {
    int part = 2;  // from the right: inner, reduced, outer
    for (int i = 1; i <= x.rank(); ++i) {
      if (x[-i] == 1) continue;
      bool kept = i <= y.rank() && y[-i] == x[-i];
      if (part == 2 && !kept) part = 1;
      if (part == 1 && kept) part = 0;
      if (part == 0 && !kept) fits = false;
      (part == 2 ? inner : part == 1 ? reduced : outer) *= x[-i];
    }
  }
};

// sum[inner] (f32) of rows of x; eight rows at a time in registers
template <class T>
void sum_rows(const T* x, int64_t rows, int64_t inner, float* sum) {
  std::fill_n(sum, inner, 0.f);
  for (int64_t r = 0; r < rows; r += 8) {
    int64_t n = std::min<int64_t>(8, rows - r);
    for_vectors(0, inner, [&](int64_t c, int64_t lanes) {
      V s{};
      for (int64_t j = r; j < r + n; ++j) s += load_n(x + j * inner + c, lanes);
      store_n(sum + c, load_n(sum + c, lanes) + s, lanes);
    });
  }
}

// Rows shorter than a vector, kLanes of them taken as one.
template <class T>
void sum_short_rows(const T* x, int64_t rows, int64_t inner, float* sum) {
  float wide[kLanes * kLanes];
  int64_t whole = rows / kLanes, width = kLanes * inner;
  sum_rows(x, whole, width, wide);
  for (int64_t c = 0; c < inner; ++c) {
    sum[c] = 0;
    for (int64_t j = 0; j < kLanes; ++j) sum[c] += wide[j * inner + c];
    for (int64_t r = whole * kLanes; r < rows; ++r) sum[c] += float(x[r * inner + c]);
  }
}

template <class T>
void sum_columns(Context& context, const Pattern& at, const T* x, T* y) {
  Chunks chunks(at.reduced, std::max<int64_t>(8, kGrain / at.inner), 64);
  auto* parts = static_cast<float*>(context.scratch(at.outer * chunks.number * at.inner * 4, kSumSlot));
  parallel_rows(context, at.outer * chunks.number, chunks.size * at.inner, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t o = i / chunks.number, c = i % chunks.number;
      auto sum = at.inner < kLanes ? sum_short_rows<T> : sum_rows<T>;
      sum(x + (o * at.reduced + chunks.begin(c)) * at.inner, chunks.end(c) - chunks.begin(c), at.inner, parts + i * at.inner);
    }
  });
  for (int64_t o = 0; o < at.outer; ++o)
    for (int64_t c = 0; c < at.inner; ++c) {
      double sum = 0;
      for (int64_t i = 0; i < chunks.number; ++i) sum += parts[(o * chunks.number + i) * at.inner + c];
      y[o * at.inner + c] = T(float(sum));
    }
}

template <class T>
void sum_whole_rows(Context& context, const Pattern& at, const T* x, T* y) {
  Chunks chunks(at.reduced, kGrain, 256);
  auto* parts = static_cast<double*>(context.scratch(at.outer * chunks.number * 8, kSumSlot));
  parallel_rows(context, at.outer * chunks.number, chunks.size, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t o = i / chunks.number, c = i % chunks.number;
      const T* p = x + o * at.reduced + chunks.begin(c);
      parts[i] = sum_of(chunks.end(c) - chunks.begin(c), [&](int64_t j, int64_t lanes) { return load_n(p + j, lanes); });
    }
  });
  for (int64_t o = 0; o < at.outer; ++o)
    y[o] = T(float(std::accumulate(parts + o * chunks.number, parts + (o + 1) * chunks.number, 0.0)));
}

}  // namespace

void sum_to(Context& context, In x, Out y) {
  Pattern at(x.shape, y.shape);
  if (!at.fits || x.count() == 0) return ref::sum_to(context, x, y);
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    if (at.inner == 1) sum_whole_rows(context, at, x.as<T>(), y.as<T>());
    else sum_columns(context, at, x.as<T>(), y.as<T>());
  });
}

void max_last(Context& context, In x, Out y, Out index) {
  int64_t columns = x.shape[-1], rows = y.count();
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    parallel_rows(context, rows, columns, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* p = x.as<T>() + r * columns;
        V m = splat(-__builtin_inff());
        for_vectors(0, columns, [&](int64_t i, int64_t lanes) { m = vmax(m, load_n(p + i, lanes, -__builtin_inff())); });
        float largest = lane_max(m);
        bool nan = largest != largest;
        int64_t best = std::find_if(p, p + columns, [&](T v) { return nan ? float(v) != float(v) : float(v) == largest; }) - p;
        y.as<T>()[r] = p[best];
        index.as<int64_t>()[r] = best;
      }
    });
  });
}

void top_k(Context& context, In x, Out values, Out index, bool largest) {
  int64_t columns = x.shape[-1], k = values.shape[-1], rows = values.count() / k;
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    parallel_rows(context, rows, 8 * columns, [&](int64_t begin, int64_t end) {
      struct Entry { float value; int32_t nan; int64_t place; };
      std::vector<Entry> entries(static_cast<size_t>(columns));
      auto before = [](const Entry& a, const Entry& b) {  // a total order: no two entries are equal
        if (a.nan != b.nan) return a.nan < b.nan;
        if (a.value != b.value) return a.value > b.value;
        return a.place < b.place;
      };
      for (int64_t r = begin; r < end; ++r) {
        for (int64_t c = 0; c < columns; ++c) {
          float v = float(x.as<T>()[r * columns + c]);
          entries[size_t(c)] = {v != v ? 0.f : largest ? v : -v, v != v, c};
        }
        if (k < columns / 8) std::partial_sort(entries.begin(), entries.begin() + k, entries.end(), before);
        else std::sort(entries.begin(), entries.end(), before);
        for (int64_t i = 0; i < k; ++i) {
          int64_t place = entries[size_t(i)].place;
          values.as<T>()[r * k + i] = x.as<T>()[r * columns + place];
          index.as<int64_t>()[r * k + i] = place;
        }
      }
    });
  });
}

}  // namespace plumage::cpu
