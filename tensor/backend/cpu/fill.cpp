// Constants, random numbers, casts. The random numbers are ref's, bit for bit: the same formulas in double, four
// numbers for each run of the generator instead of one.
#include "tensor/backend/cpu/parallel.h"
#include "tensor/backend/cpu/simd.h"
#include "tensor/backend/ref/elements.h"

namespace plumage::cpu {

void fill(Context& context, Out y, double value) {
  visit_any(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    T one{};
    ref::fill(context, Out{&one, {}, y.dtype}, value);
    parallel(context, y.count(), kGrain, [&](int64_t begin, int64_t end) { std::fill(y.as<T>() + begin, y.as<T>() + end, one); });
  });
}

namespace {

// numbers(words, four doubles) for each block of four elements
template <class F>
void random(Context& context, Out y, const PhiloxKey& key, F&& numbers) {
  ref::Writer out(y);
  parallel(context, y.count(), kGrain / 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += 4) {
      double four[4];
      numbers(philox(key, uint64_t(i) / 4), four);
      for (int64_t j = 0; j < std::min<int64_t>(4, end - i); ++j) out.set(i + j, four[j]);
    }
  }, 4);
}

}  // namespace

void uniform(Context& context, Out y, PhiloxKey key, double low, double high) {
  random(context, y, key, [&](const std::array<uint32_t, 4>& words, double* four) {
    for (size_t j = 0; j < 4; ++j) four[j] = uniform_between(words[j], low, high);
  });
}

void normal(Context& context, Out y, PhiloxKey key, double mean, double std, In clock) {
  random(context, y, at_clock(key, clock), [&](const std::array<uint32_t, 4>& words, double* four) {
    for (size_t pair = 0; pair < 4; pair += 2) {
      auto [first, second] = normal_pair(words[pair], words[pair + 1]);
      four[pair] = mean + std * first;
      four[pair + 1] = mean + std * second;
    }
  });
}

namespace {

template <class From, class To>
void cast_floats(Context& context, In x, Out y) {
  parallel(context, y.count(), kGrain, [&](int64_t begin, int64_t end) {
    for_vectors(begin, end, [&](int64_t i, int64_t lanes) { store_n(y.as<To>() + i, load_n(x.as<From>() + i, lanes), lanes); });
  }, kLanes);
}

}  // namespace

void cast(Context& context, In x, Out y) {
  if (x.dtype == DType::f32 && y.dtype == DType::bf16) return cast_floats<float, bf16>(context, x, y);
  if (x.dtype == DType::bf16 && y.dtype == DType::f32) return cast_floats<bf16, float>(context, x, y);
  if (x.dtype == DType::u8 && y.dtype == DType::f32)
    return parallel(context, y.count(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y.as<float>()[i] = float(x.as<uint8_t>()[i]);
    });
  ref::cast(context, x, y);
}

}  // namespace plumage::cpu
