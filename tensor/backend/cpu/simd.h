// Vectors of floats as wide as the machine's registers, by the compiler's own vector types: loads and stores of
// f32 and bf16, tails, and the few functions that kernels need. Used by every file of this folder.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__SSE__)
#include <immintrin.h>
#endif

#include "tensor/dtype.h"

namespace plumage::cpu {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
constexpr int kLanes = kVectorBytes / 4;

using V = float __attribute__((vector_size(kVectorBytes)));     ///< kLanes floats
using VI = int32_t __attribute__((vector_size(kVectorBytes)));  ///< of the same width; also a mask: 0 or -1
using VU = uint32_t __attribute__((vector_size(kVectorBytes)));
using VH = uint16_t __attribute__((vector_size(kVectorBytes / 2)));

#define PLUMAGE_INLINE inline __attribute__((always_inline))

PLUMAGE_INLINE V splat(float x) { return x - V{}; }  // -V{} keeps x's sign where x is -0
PLUMAGE_INLINE V select(VI mask, V yes, V no) { return mask ? yes : no; }

PLUMAGE_INLINE V load(const float* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
PLUMAGE_INLINE V load(const bf16* p) {
  VH h;
  std::memcpy(&h, p, sizeof h);
  return V(__builtin_convertvector(h, VU) << 16);
}
PLUMAGE_INLINE void store(float* p, V v) { std::memcpy(p, &v, sizeof v); }
PLUMAGE_INLINE VH to_bf16(V v) {  // as bf16(float): to nearest even, NaN stays NaN
  VU u = VU(v), rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, nan = (u >> 16) | 0x40u;
  return __builtin_convertvector(VU((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded), VH);
}
PLUMAGE_INLINE void store(bf16* p, V v) {
  VH h = to_bf16(v);
  std::memcpy(static_cast<void*>(p), &h, sizeof h);
}

/// Past the cache, for outputs larger than it: twice as fast there. p must be aligned to the bytes that are written;
/// call stream_end() before another thread reads.
PLUMAGE_INLINE void stream(float* p, V v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, __m512(v));
#elif defined(__AVX__)
  _mm256_stream_ps(p, __m256(v));
#else
  store(p, v);
#endif
}
PLUMAGE_INLINE void stream(bf16* p, V v) {
#if defined(__AVX512F__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), __m256i(to_bf16(v)));
#else
  store(p, v);
#endif
}
PLUMAGE_INLINE void stream_end() {
#if defined(__SSE__)
  _mm_sfence();
#endif
}
constexpr int64_t kStreamBytes = int64_t{1} << 22;  ///< from here on an output is streamed
template <class T>
bool streams(const T* p, int64_t count, int64_t row) {
  return count * int64_t(sizeof(T)) >= kStreamBytes && row % kLanes == 0 &&
         reinterpret_cast<uintptr_t>(p) % (kLanes * sizeof(T)) == 0;
}

/// One bit a lane, and back.
PLUMAGE_INLINE uint16_t mask_bits(VI mask) {
#if defined(__AVX512F__)
  return uint16_t(_mm512_test_epi32_mask(__m512i(mask), __m512i(mask)));
#elif defined(__AVX__)
  return uint16_t(_mm256_movemask_ps(__m256(mask)));
#else
  uint16_t bits = 0;
  for (int i = 0; i < kLanes; ++i) bits |= uint16_t((mask[i] & 1) << i);
  return bits;
#endif
}
PLUMAGE_INLINE VI lanes_of(uint16_t bits) {
  VI lane_bit{};
  for (int i = 0; i < kLanes; ++i) lane_bit[i] = 1 << i;
  return ((int32_t(bits) - VI{}) & lane_bit) != 0;
}

/// The first n < kLanes elements; the others are `rest`.
template <class T>
PLUMAGE_INLINE V load_part(const T* p, int64_t n, float rest = 0) {
  V v = splat(rest);
  for (int64_t i = 0; i < n; ++i) v[i] = float(p[i]);
  return v;
}
template <class T>
PLUMAGE_INLINE void store_part(T* p, V v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = T(v[i]);
}

/// A vector, or zeros; p is not read then.
PLUMAGE_INLINE V load_if(bool yes, const float* p) {
#if defined(__AVX512F__)
  return V(_mm512_maskz_loadu_ps(__mmask16(-int(yes)), p));
#else
  return yes ? load(p) : V{};
#endif
}

/// The same bits in the first n lanes as load/store would give, whatever n.
template <class T>
PLUMAGE_INLINE V load_n(const T* p, int64_t n, float rest = 0) {
  return n >= kLanes ? load(p) : load_part(p, n, rest);
}
/// The n of a whole vector, known to the compiler.
struct Whole {
  constexpr operator int64_t() const { return kLanes; }
};
template <class T>
PLUMAGE_INLINE V load_n(const T* p, Whole) {
  return load(p);
}
PLUMAGE_INLINE V load_if(bool yes, const float* p, Whole) { return load_if(yes, p); }
PLUMAGE_INLINE V load_if(bool yes, const float* p, int64_t n) { return yes ? load_n(p, n) : V{}; }
template <class T>
PLUMAGE_INLINE void store_n(T* p, V v, Whole) {
  store(p, v);
}
template <class T>
PLUMAGE_INLINE void store_n(T* p, V v, int64_t n) {
  if (n >= kLanes) store(p, v);
  else store_part(p, v, n);
}

/// f(i, n) for vectors i .. i + n of 0..count; n is Whole but for the last. f's loads must be load_n.
template <class F>
PLUMAGE_INLINE void for_vectors(int64_t begin, int64_t end, F&& f) {
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) f(i, Whole{});
  if (i < end) f(i, end - i);
}

PLUMAGE_INLINE V vabs(V x) { return V(VI(x) & 0x7fffffff); }
/// NaN in either gives NaN.
PLUMAGE_INLINE V vmax(V a, V b) { return select((a > b) | (a != a), a, b); }
PLUMAGE_INLINE V vmin(V a, V b) { return select((a < b) | (a != a), a, b); }
PLUMAGE_INLINE V vrelu(V x) { return select(x < 0.f, V{}, x); }

/// v with zeros from lane n on.
PLUMAGE_INLINE V first_lanes(V v, int64_t n) {
  VI lane{};
  for (int i = 0; i < kLanes; ++i) lane[i] = i;
  return select(lane < int32_t(n), v, V{});
}

/// Fixed order: halves are added until one lane is left.
PLUMAGE_INLINE float lane_sum(V v) {
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) v[i] += v[i + half];
  return v[0];
}
PLUMAGE_INLINE float lane_max(V v) {  // NaN wins
  float m = v[0];
  for (int i = 1; i < kLanes; ++i) m = v[i] > m || v[i] != v[i] ? v[i] : m;
  return m;
}

/// Sum of value(i, n) over the vectors of 0..count. 64 vectors are added in f32, these sums in double, all in a fixed
/// order; lanes beyond the end do not count.
template <class F>
PLUMAGE_INLINE double sum_of(int64_t count, F&& value) {
  constexpr int64_t kPart = 64 * kLanes;
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += kPart) {
    int64_t end = begin + kPart < count ? begin + kPart : count, i = begin;
    V s[4] = {};
    for (; i + 4 * kLanes <= end; i += 4 * kLanes)
      for (int j = 0; j < 4; ++j) s[j] += value(i + j * kLanes, int64_t{kLanes});
    for (; i + kLanes <= end; i += kLanes) s[0] += value(i, int64_t{kLanes});
    if (i < end) s[1] += first_lanes(value(i, end - i), end - i);
    total += double(lane_sum((s[0] + s[1]) + (s[2] + s[3])));
  }
  return total;
}

/// e^x to 2 units in the last place; 0 below -87.3, inf above 88.7, NaN for NaN. Cody-Waite reduction by ln 2 and the
/// polynomial of Cephes' expf.
PLUMAGE_INLINE V vexp(V x) {
  V low = splat(-87.33f), high = splat(88.72f);
  V t = select(x < low, low, select(x > high, high, x));
  V shifted = t * 1.44269504088896341f + 12582912.f;  // adding 1.5 * 2^23 rounds to an integer
  V n = shifted - 12582912.f;
  V r = t - n * 0.693359375f + n * 2.12194440e-4f;
  V p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  VI exponent = (VI(shifted) - 0x4b400000) << 23;
  // n reaches 128 at the upper end: 2^n is then applied in two factors
  VI half = (exponent >> 24) << 23;
  V y = V(VI(p) + half);
  y = y * V((exponent - half) + 0x3f800000);
  y = select(x < low, V{}, y);
  y = select(x > high, splat(__builtin_inff()), y);
  return select(x != x, x, y);
}

/// Natural logarithm to 2 units in the last place; -inf at 0, NaN below, inf at inf. Polynomial of Cephes' logf.
PLUMAGE_INLINE V vlog(V x) {
  VI tiny = x < 1.17549435e-38f;
  VI bits = VI(select(tiny, splat(1.f), x));
  VI e = (bits >> 23) - 126;
  V m = V((bits & 0x007fffff) | 0x3f000000);  // in [0.5, 1)
  VI small = m < 0.707106781186547524f;
  V n = __builtin_convertvector(e + small, V);  // a mask is -1
  V r = select(small, m + m, m) - 1.f;
  V z = r * r;
  V p = splat(7.0376836292e-2f);
  p = p * r - 1.1514610310e-1f;
  p = p * r + 1.1676998740e-1f;
  p = p * r - 1.2420140846e-1f;
  p = p * r + 1.4249322787e-1f;
  p = p * r - 1.6668057665e-1f;
  p = p * r + 2.0000714765e-1f;
  p = p * r - 2.4999993993e-1f;
  p = p * r + 3.3333331174e-1f;
  V y = r * z * p + n * -2.12194440e-4f - 0.5f * z;
  y = r + y + n * 0.693359375f;
  y = select(x == __builtin_inff(), x, y);
  y = select(tiny, splat(-__builtin_inff()), y);  // denormals are flushed: they count as zero
  return select((x < 0.f) | (x != x), splat(__builtin_nanf("")), y);
}

PLUMAGE_INLINE V vsigmoid(V x) { return 1.f / (1.f + vexp(-x)); }

/// Hyperbolic tangent to 2 units in the last place: Cephes' polynomial near 0, by e^2x elsewhere.
PLUMAGE_INLINE V vtanh(V x) {
  V z = x * x;
  V p = splat(-5.70498872745e-3f);
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  V near_zero = x + x * z * p;
  V a = vabs(x), far = 1.f - 2.f / (vexp(a + a) + 1.f);
  return select(a < 0.625f, near_zero, select(x < 0.f, -far, far));
}

/// f(T{}) for bf16 or f32, the types that fast kernels see.
template <class F>
decltype(auto) visit_fast(DType type, F&& f) {
  return type == DType::bf16 ? f(bf16{}) : f(float{});
}

}  // namespace plumage::cpu
