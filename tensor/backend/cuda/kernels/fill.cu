// Constants, random numbers and casts. Random numbers are the CPU's: uniform ones bit for bit, normal ones as
// far as the two machines' log and sin agree.
#include "tensor/backend/convert.h"
#include "tensor/backend/cuda/kernels/map.h"
#include "tensor/backend/cuda/ops.h"

namespace plumage::cuda {
namespace {

template <class T>
struct Constant {
  T value;
  __device__ T operator()() const { return value; }
};

template <class To, class From>
struct Cast {
  __device__ To operator()(From x) const { return converted<To>(x); }
};

struct Uniform {
  double low, high;
  __device__ void operator()(const std::array<uint32_t, 4>& words, double* four) const {
    for (int j = 0; j < 4; ++j) four[j] = uniform_between(words[size_t(j)], low, high);
  }
};

struct Normal {
  double mean, std;
  __device__ void operator()(const std::array<uint32_t, 4>& words, double* four) const {
    for (int j = 0; j < 4; j += 2) {
      auto [first, second] = normal_pair(words[size_t(j)], words[size_t(j) + 1]);
      four[j] = mean + std * first;
      four[j + 1] = mean + std * second;
    }
  }
};

/// A run of the generator gives four numbers.
template <class Numbers, class T>
__global__ void random_kernel(int64_t count, PhiloxKey key, const int64_t* clock, Numbers numbers, T* y) {
  int64_t i = thread_index() * 4;
  if (i >= count) return;
  if (clock) key.step += uint64_t(*clock);
  double four[4];
  numbers(philox(key, uint64_t(i) / 4), four);
  for (int j = 0; j < 4 && i + j < count; ++j) y[i + j] = rounded<T>(four[j]);
}

template <class Numbers>
void random(Context& context, Out y, PhiloxKey key, In clock, Numbers numbers) {
  visit_float(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(random_kernel<Numbers, T>, blocks_for(ceil_div(y.count(), 4)), kThreads, 0, stream(context),
           y.count(), key, clock.as<int64_t>(), numbers, y.as<T>());
  });
}

}  // namespace

void fill(Context& context, Out y, double value) {
  visit_any(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    map(context, y.count(), Constant<T>{converted<T>(value)}, y.as<T>());
  });
}

void uniform(Context& context, Out y, PhiloxKey key, double low, double high) {
  random(context, y, key, {}, Uniform{low, high});
}

void normal(Context& context, Out y, PhiloxKey key, double mean, double std, In clock) {
  random(context, y, key, clock, Normal{mean, std});
}

void cast(Context& context, In x, Out y) {
  visit_any(x.dtype, [&](auto from) {
    visit_any(y.dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      map(context, y.count(), Cast<To, From>{}, y.as<To>(), x.as<From>());
    });
  });
}

}  // namespace plumage::cuda
