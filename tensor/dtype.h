// The six element types, and bf16 as a type that host and device code can compute with.
#pragma once
#include <bit>
#include <cstdint>
#include <string_view>

#include "tensor/errors.h"
#include "tensor/host_device.h"

namespace plumage {

enum class DType : uint8_t { f64, f32, bf16, i64, i32, u8 };

/// Upper half of an IEEE float; rounds to nearest even, keeps NaN a NaN.
struct bf16 {
  uint16_t bits = 0;
  bf16() = default;
  PLUMAGE_HOST_DEVICE bf16(float value) {
    uint32_t u = std::bit_cast<uint32_t>(value);
    if ((u & 0x7fffffffu) > 0x7f800000u) bits = uint16_t((u >> 16) | 0x40u);  // quiet NaN
    else bits = uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  PLUMAGE_HOST_DEVICE operator float() const { return std::bit_cast<float>(uint32_t(bits) << 16); }
};

constexpr int64_t size_of(DType t) {
  switch (t) {
    case DType::f64: case DType::i64: return 8;
    case DType::f32: case DType::i32: return 4;
    case DType::bf16: return 2;
    case DType::u8: return 1;
  }
  return 0;
}

constexpr std::string_view name_of(DType t) {
  switch (t) {
    case DType::f64: return "f64";
    case DType::f32: return "f32";
    case DType::bf16: return "bf16";
    case DType::i64: return "i64";
    case DType::i32: return "i32";
    case DType::u8: return "u8";
  }
  return "?";
}

constexpr bool is_float(DType t) { return t == DType::f64 || t == DType::f32 || t == DType::bf16; }

template <class T> struct DTypeOf;
template <> struct DTypeOf<double> { static constexpr DType value = DType::f64; };
template <> struct DTypeOf<float> { static constexpr DType value = DType::f32; };
template <> struct DTypeOf<bf16> { static constexpr DType value = DType::bf16; };
template <> struct DTypeOf<int64_t> { static constexpr DType value = DType::i64; };
template <> struct DTypeOf<int32_t> { static constexpr DType value = DType::i32; };
template <> struct DTypeOf<uint8_t> { static constexpr DType value = DType::u8; };
template <class T> inline constexpr DType dtype_of = DTypeOf<T>::value;

/// Calls f with a value of the C++ type of `t`: visit_float(t, [&](auto zero) { using T = decltype(zero); ... }).
template <class F>
decltype(auto) visit_float(DType t, F&& f) {
  switch (t) {
    case DType::f64: return f(double{});
    case DType::f32: return f(float{});
    case DType::bf16: return f(bf16{});
    default: throw DTypeError(message("wanted f64, f32 or bf16, got ", name_of(t)));
  }
}

template <class F>
decltype(auto) visit_any(DType t, F&& f) {
  switch (t) {
    case DType::i64: return f(int64_t{});
    case DType::i32: return f(int32_t{});
    case DType::u8: return f(uint8_t{});
    default: return visit_float(t, f);
  }
}

/// The type that sums are kept in by the fast kernels: f64 for f64, f32 for f32 and bf16.
template <class T> struct Accumulator { using type = float; };
template <> struct Accumulator<double> { using type = double; };

}  // namespace plumage
