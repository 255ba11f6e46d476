// Batch normalisation with its residual and ReLU: bound by memory, so each pass reads and writes as little as it can.
// Sums: eight rows in registers, chunks of rows in f32 around a value of their own, the chunks in double, in order.
#include <vector>

#include "tensor/backend/cpu/moments.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu {
namespace {

constexpr int kSumSlot = 3, kMaskSlot = 2;
constexpr int64_t kCombine = 32;  // what adding up one chunk's sums of a channel costs, in elements of a simple loop
constexpr int64_t kBlock = 8;     // rows whose sums are kept in registers

// Rows [M, C] in equal groups; each group is cut into the same chunks of rows.
struct Layout {
  int64_t rows, channels, groups, vectors;
  Chunks chunks;
  Layout(const Shape& x, int64_t groups)
      : rows(x[-1] ? x.count() / x[-1] : 0), channels(x[-1]), groups(groups), vectors((channels + kLanes - 1) / kLanes),
        chunks(rows / groups, std::max<int64_t>(kBlock, kGrain / std::max<int64_t>(channels, 1)), MomentSums::kMost) {}
  int64_t padded() const { return vectors * kLanes; }

  /// f(group, chunk, first row, last row), in parallel.
  template <class F>
  void for_chunks(Context& context, F&& f) const {
    parallel_rows(context, groups * chunks.number, chunks.size * channels, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t g = i / chunks.number, c = i % chunks.number, first = g * chunks.count;
        f(g, c, first + chunks.begin(c), first + chunks.end(c));
      }
    });
  }
};

// shift, sum of (x - shift) and of its square, of rows first..last: three rows of `padded` floats
template <class T>
void chunk_moments(const Layout& at, const T* x, int64_t first, int64_t last, float* out) {
  float *shift = out, *sum = out + at.padded(), *squares = sum + at.padded();
  std::fill(sum, sum + 2 * at.padded(), 0.f);
  for (int64_t row = first; row < last; row += kBlock) {
    int64_t n = std::min(kBlock, last - row);
    for_vectors(0, at.channels, [&](int64_t c, int64_t lanes) {
      const T* p = x + row * at.channels + c;
      if (row == first) {  // the mean of the first rows is near enough to the chunk's
        V s{};
        for (int64_t j = 0; j < n; ++j) s += load_n(p + j * at.channels, lanes);
        store(shift + c, s / float(n));
      }
      V k = load(shift + c), u{}, q{};
      for (int64_t j = 0; j < n; ++j) {
        V d = load_n(p + j * at.channels, lanes) - k;
        u += d;
        q += d * d;
      }
      store(sum + c, load(sum + c) + u);
      store(squares + c, load(squares + c) + q);
    });
  }
}

}  // namespace

void batch_norm_stats(Context& context, In x, Out mean, Out variance) {
  Layout at(x.shape, mean.shape[0]);
  MomentSums sums(at.groups, at.channels, at.padded(), at.chunks);
  sums.memory = static_cast<float*>(context.scratch(sums.floats() * 4, kSumSlot));
  visit_fast(x.dtype, [&](auto type) {
    const auto* data = x.as<decltype(type)>();
    at.for_chunks(context, [&](int64_t g, int64_t c, int64_t first, int64_t last) { chunk_moments(at, data, first, last, sums.of(g, c)); });
  });
  combine(context, sums, mean, variance);
}

// The chunks' means and squared deviations together (Chan, Golub, LeVeque 1979), a vector of channels at a time.
void combine(Context& context, const MomentSums& sums, Out mean, Out variance) {
  const int64_t vectors = ceil_div(sums.channels, kLanes);
  parallel_rows(context, sums.groups * vectors, kCombine * sums.number, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t group = item / vectors, first = item % vectors * kLanes, lanes = std::min<int64_t>(kLanes, sums.channels - first);
      double count = 0, center[kLanes] = {}, deviation[kLanes] = {};
      for (int64_t i = 0; i < sums.number; ++i) {
        const float *shift = sums.of(group, i) + first, *sum = shift + sums.padded, *squares = sum + sums.padded;
        const double n = double(sums.rows[size_t(i)]), total = count + n, share = n / total;
        for (int64_t l = 0; l < kLanes; ++l) {
          const double u = double(sum[l]) / n, delta = double(shift[l]) + u - center[l];
          deviation[l] += double(squares[l]) - double(sum[l]) * u + delta * delta * count * share;
          center[l] += delta * share;
        }
        count = total;
      }
      for (int64_t l = 0; l < lanes; ++l) {
        mean.as<float>()[group * sums.channels + first + l] = float(center[l]);
        variance.as<float>()[group * sums.channels + first + l] = float(deviation[l] < 0 ? 0 : deviation[l] / count);
      }
    }
  });
}

void add_up(Context& context, const MomentSums& sums, Out all) {
  const int64_t statistics = sums.groups * sums.channels;
  parallel_rows(context, statistics, kCombine * sums.number, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      double sum = 0, product = 0;
      for (int64_t i = 0; i < sums.number; ++i) {
        const float* at = sums.of(s / sums.channels, i) + s % sums.channels;
        sum += at[sums.padded];
        product += at[2 * sums.padded];
      }
      all.as<float>()[s] = float(sum);
      all.as<float>()[statistics + s] = float(product);
    }
  });
}

void Normalize::prepare(const BatchNorm& norm, int64_t padded, float* memory) {
  const int64_t groups = norm.mean.shape[0], channels = norm.mean.shape[1];
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t c = 0; c < channels; ++c) {
      float* at = memory + g * kRows * padded + c;
      at[0] = norm.mean.as<float>()[g * channels + c];
      at[padded] = float(double(norm.gamma.as<float>()[c]) / std::sqrt(double(norm.variance.as<float>()[g * channels + c]) + norm.epsilon));
      at[2 * padded] = norm.beta.as<float>()[c];
    }
}

namespace {

// y = act((x - mean) * scale + beta + residual), one group's rows first..last
template <bool kStream, class T>
void apply_rows(const Layout& at, const T* x, const T* residual, T* y, const Normalize& normalize, bool relu, int64_t first, int64_t last) {
  for (int64_t row = first; row < last; ++row)
    for_vectors(0, at.channels, [&](int64_t c, int64_t lanes) {
      int64_t i = row * at.channels + c;
      V v = normalize(load_n(x + i, lanes), c);
      if (residual) v += load_n(residual + i, lanes);
      if (relu) v = vrelu(v);
      if constexpr (kStream) stream(y + i, v);
      else store_n(y + i, v, lanes);
    });
  if constexpr (kStream) stream_end();
}

}  // namespace

void batch_norm_apply(Context& context, In x, In residual, Out y, BatchNorm norm) {
  Layout at(x.shape, norm.mean.shape[0]);
  auto* k = static_cast<float*>(context.scratch(at.groups * Normalize::kRows * at.padded() * 4, kSumSlot));
  Normalize::prepare(norm, at.padded(), k);
  bool relu = norm.activation == Activation::relu;
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    bool streamed = y.data != x.data && streams(y.as<T>(), y.count(), at.channels);
    at.for_chunks(context, [&](int64_t g, int64_t, int64_t first, int64_t last) {
      auto rows = streamed ? apply_rows<true, T> : apply_rows<false, T>;
      rows(at, x.as<T>(), residual.as<T>(), y.as<T>(), Normalize::of(k, at.padded(), g), relu, first, last);
    });
  });
}

namespace {

// Sums of d and of d * (x - mean) over rows first..last, d = dy where relu let y pass, which x tells if y is not given; leaves the
// mask for later.
template <class T>
void chunk_gradients(const Layout& at, const T* x, const T* y, const T* dy, const Normalize& normalize, uint16_t* mask, int64_t first,
                     int64_t last, float* out) {
  float *sum = out, *product = out + at.padded();
  std::fill(sum, sum + 2 * at.padded(), 0.f);
  for (int64_t row = first; row < last; row += kBlock) {
    int64_t n = std::min(kBlock, last - row);
    for_vectors(0, at.channels, [&](int64_t c, int64_t lanes) {
      V center = load(normalize.mean + c), u{}, q{};
      for (int64_t j = row; j < row + n; ++j) {
        int64_t i = j * at.channels + c;
        V d = load_n(dy + i, lanes), v = load_n(x + i, lanes);
        if (mask) {
          VI stopped = (y ? load_n(y + i, lanes) : normalize(v, c)) <= 0.f;  // false for NaN, which passes
          mask[j * at.vectors + c / kLanes] = mask_bits(stopped);
          d = select(stopped, V{}, d);
        }
        u += d;
        q += d * (v - center);
      }
      store(sum + c, load(sum + c) + u);
      store(product + c, load(product + c) + q);
    });
  }
}

// dx = of_d * d + of_x * (x - mean) + constant, one group's rows first..last; dx may be dy or x, whose lines are in the cache
template <bool kStream, bool kStreamResidual, class T>
void gradient_rows(const Layout& at, const T* x, const T* dy, const uint16_t* mask, T* dx, T* dresidual, const float* mean,
                   const float* of_d, const float* of_x, const float* constant, int64_t first, int64_t last) {
  for (int64_t row = first; row < last; ++row)
    for_vectors(0, at.channels, [&](int64_t c, int64_t lanes) {
      int64_t i = row * at.channels + c;
      V d = load_n(dy + i, lanes);
      if (mask) d = select(lanes_of(mask[row * at.vectors + c / kLanes]), V{}, d);
      V v = d * load(of_d + c) + ((load_n(x + i, lanes) - load(mean + c)) * load(of_x + c) + load(constant + c));
      if constexpr (kStream) stream(dx + i, v);
      else store_n(dx + i, v, lanes);
      if (!dresidual) return;
      if constexpr (kStreamResidual) stream(dresidual + i, d);
      else store_n(dresidual + i, d, lanes);
    });
  if constexpr (kStream || kStreamResidual) stream_end();
}

}  // namespace

void batch_norm_bwd(Context& context, In x, In y, In dy, In sums, Out dx, Out dresidual, Out dgamma, Out dbeta, BatchNorm norm) {
  Layout at(x.shape, norm.mean.shape[0]);
  const int64_t padded = at.padded(), number = at.chunks.number, channels = at.channels;
  auto* parts = static_cast<float*>(context.scratch(at.groups * (number * 2 + 4 + Normalize::kRows) * padded * 4, kSumSlot));
  float* k = parts + at.groups * number * 2 * padded;  // of each group: mean, of_d, of_x, constant
  float* forward = k + at.groups * 4 * padded;
  uint16_t* mask = nullptr;
  if (norm.activation == Activation::relu && !sums)
    mask = static_cast<uint16_t*>(context.scratch(at.rows * at.vectors * 2, kMaskSlot));
  if (!sums) Normalize::prepare(norm, padded, forward);
  std::vector<double> all_d(size_t(channels), 0.0), all_dx(size_t(channels), 0.0);
  visit_fast(x.dtype, [&](auto type) {
    using T = decltype(type);
    if (!sums)
      at.for_chunks(context, [&](int64_t g, int64_t c, int64_t first, int64_t last) {
        chunk_gradients(at, x.as<T>(), y.as<T>(), dy.as<T>(), Normalize::of(forward, padded, g), mask, first, last,
                        parts + (g * number + c) * 2 * padded);
      });
    parallel_rows(context, channels, at.groups * (sums ? 1 : number) * kCombine, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin * at.groups; item < end * at.groups; ++item) {
        int64_t c = item / at.groups, g = item % at.groups;
        double d = 0, dxc = 0, rows = double(at.chunks.count);
        if (sums) {
          d = sums.as<float>()[g * channels + c];
          dxc = sums.as<float>()[(at.groups + g) * channels + c];
        }
        for (int64_t i = 0; i < number && !sums; ++i) {
          d += parts[(g * number + i) * 2 * padded + c];
          dxc += parts[(g * number + i) * 2 * padded + padded + c];
        }
        double inverse_std = 1 / std::sqrt(double(norm.variance.as<float>()[g * channels + c]) + norm.epsilon);
        double scale = norm.gamma.as<float>()[c] * inverse_std;
        bool batch = norm.batch_statistics;
        float* kc = k + g * 4 * padded + c;
        kc[0] = norm.mean.as<float>()[g * channels + c];
        kc[padded] = float(scale);
        kc[2 * padded] = batch ? float(-scale * inverse_std * inverse_std * dxc / rows) : 0.f;
        kc[3 * padded] = batch ? float(-scale * d / rows) : 0.f;
        all_d[size_t(c)] += d;
        all_dx[size_t(c)] += dxc * inverse_std;
      }
    });
    bool streamed = dx.data != dy.data && dx.data != x.data && streams(dx.as<T>(), dx.count(), channels);
    bool residual_streamed = dresidual && streams(dresidual.as<T>(), dx.count(), channels);
    auto rows = streamed ? (residual_streamed ? gradient_rows<true, true, T> : gradient_rows<true, false, T>)
                         : (residual_streamed ? gradient_rows<false, true, T> : gradient_rows<false, false, T>);
    at.for_chunks(context, [&](int64_t g, int64_t, int64_t first, int64_t last) {
      const float* kg = k + g * 4 * padded;
      rows(at, x.as<T>(), dy.as<T>(), mask, dx.as<T>(), dresidual.as<T>(), kg, kg + padded, kg + 2 * padded, kg + 3 * padded,
           first, last);
    });
  });
  for (int64_t c = 0; c < channels; ++c) {
    if (dgamma) dgamma.as<float>()[c] = float(all_dx[size_t(c)]);
    if (dbeta) dbeta.as<float>()[c] = float(all_d[size_t(c)]);
  }
}

}  // namespace plumage::cpu
