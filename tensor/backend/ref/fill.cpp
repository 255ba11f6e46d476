// Constants, random numbers and casts.
#include "tensor/backend/ref/elements.h"

namespace plumage::ref {

void fill(Context&, Out y, double value) {
  visit_any(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    T v = converted<T>(value);
    for (int64_t i = 0; i < y.count(); ++i) y.as<T>()[i] = v;
  });
}

void uniform(Context&, Out y, PhiloxKey key, double low, double high) {
  Writer out(y);
  for (int64_t i = 0; i < y.count(); ++i)
    out.set(i, uniform_between(philox(key, uint64_t(i) / 4)[size_t(i % 4)], low, high));
}

void normal(Context&, Out y, PhiloxKey key, double mean, double std, In clock) {
  key = at_clock(key, clock);
  Writer out(y);
  for (int64_t i = 0; i < y.count(); ++i) out.set(i, mean + std * philox_normal(key, uint64_t(i)));
}

void cast(Context&, In x, Out y) {
  visit_any(x.dtype, [&](auto from) {
    visit_any(y.dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      for (int64_t i = 0; i < x.count(); ++i) y.as<To>()[i] = converted<To>(x.as<From>()[i]);
    });
  });
}

}  // namespace plumage::ref
