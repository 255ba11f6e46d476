// Constants, random numbers and casts.
#include <type_traits>

#include "tensor/backend/ref/elements.h"

namespace plumage::ref {
namespace {

/// Float to integer truncates, stops at the ends of the type, and makes NaN a 0: C++ leaves all but the first
/// open.
template <class T>
T truncated(double v) {
  if (std::isnan(v)) return 0;
  if (v <= double(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  if (v >= double(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return T(v);
}

template <class To, class From>
To converted(From v) {
  constexpr bool from_integer = std::is_integral_v<From>, to_integer = std::is_integral_v<To>;
  if constexpr (from_integer && to_integer)
    return To(v);
  else if constexpr (to_integer)
    return truncated<To>(double(v));
  else if constexpr (std::is_same_v<To, float>)
    return float(v);  // i64 straight to f32: by way of f64 rounds twice
  else
    return rounded<To>(double(v));
}

}  // namespace

void fill(Context&, Out y, double value) {
  visit_any(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    T v = converted<T>(value);
    for (int64_t i = 0; i < y.count(); ++i) y.as<T>()[i] = v;
  });
}

void uniform(Context&, Out y, PhiloxKey key, double low, double high) {
  Writer out(y);
  for (int64_t i = 0; i < y.count(); ++i) out.set(i, low + (high - low) * philox_uniform(key, uint64_t(i)));
}

void normal(Context&, Out y, PhiloxKey key, double mean, double std) {
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
