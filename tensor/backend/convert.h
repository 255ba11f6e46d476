// Conversions between the element types, the same on every backend. Next: tensor/backend/ref/elements.h.
#pragma once
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

#include "tensor/dtype.h"
#include "tensor/host_device.h"

namespace plumage {

/// v rounded to T, once: bf16 goes through a float that is rounded to odd, so that the lost part stays
/// visible.
template <class T>
PLUMAGE_HOST_DEVICE T rounded(double v) {
  if constexpr (std::is_same_v<T, bf16>) {
    float f = float(v);
    if (double(f) == v || v != v || std::isinf(f)) return bf16(f);
    uint32_t bits = std::bit_cast<uint32_t>(f);
    if (std::fabs(double(f)) > std::fabs(v)) --bits;  // towards zero
    return bf16(std::bit_cast<float>(bits | 1u));
  } else {
    return T(v);
  }
}

/// Float to integer truncates, stops at the ends of the type, and makes NaN a 0: C++ leaves all but the first
/// open.
template <class T>
PLUMAGE_HOST_DEVICE T truncated(double v) {
  if (v != v) return 0;
  if (v <= double(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  if (v >= double(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return T(v);
}

template <class To, class From>
PLUMAGE_HOST_DEVICE To converted(From v) {
  constexpr bool from_integer = std::is_integral_v<From>, to_integer = std::is_integral_v<To>;
  if constexpr (from_integer && to_integer)
    return To(v);
  else if constexpr (to_integer)
    return truncated<To>(double(v));
  else if constexpr (std::is_same_v<From, To>)
    return v;
  else if constexpr (std::is_same_v<To, float> || std::is_same_v<From, float>)
    return To(v);  // i64 straight to f32: by way of f64 rounds twice
  else
    return rounded<To>(double(v));
}

}  // namespace plumage
