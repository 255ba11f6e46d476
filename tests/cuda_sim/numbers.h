// Numbers as the simulated libraries read and write them: f32 or bf16 in memory, f32 in between.
#pragma once
#include <bit>
#include <cstdint>
#include <vector>

namespace cuda_sim {

inline float from_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
inline uint16_t to_bf16(float x) {  // to nearest, ties to even; NaN stays NaN
  auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline float round_to_bf16(float x) { return from_bf16(to_bf16(x)); }
/// What a tensor core makes of an f32 input: 10 bits of mantissa.
inline float round_to_tf32(float x) {
  auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7f800000u) == 0x7f800000u) return x;
  return std::bit_cast<float>((bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu);
}

enum class Number : uint8_t { f32, bf16 };
inline size_t bytes_of(Number type) { return type == Number::f32 ? 4 : 2; }

inline float load(const void* data, Number type, int64_t i) {
  return type == Number::f32 ? static_cast<const float*>(data)[i]
                             : from_bf16(static_cast<const uint16_t*>(data)[i]);
}
inline void store(void* data, Number type, int64_t i, float value) {
  if (type == Number::f32)
    static_cast<float*>(data)[i] = value;
  else
    static_cast<uint16_t*>(data)[i] = to_bf16(value);
}

}  // namespace cuda_sim
