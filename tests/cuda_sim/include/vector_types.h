// The toolkit's small vectors with its sizes and alignments. Next: device_functions.h, what kernels call.
#pragma once

struct uint3 { unsigned x, y, z; };
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#define CUDA_SIM_VECTOR2(type, name, alignment)                 \
  struct alignas(alignment) name { type x, y; };                \
  inline name make_##name(type x, type y) { return {x, y}; }
#define CUDA_SIM_VECTOR3(type, name)                                        \
  struct name { type x, y, z; };                                            \
  inline name make_##name(type x, type y, type z) { return {x, y, z}; }
#define CUDA_SIM_VECTOR4(type, name, alignment)                                          \
  struct alignas(alignment) name { type x, y, z, w; };                                   \
  inline name make_##name(type x, type y, type z, type w) { return {x, y, z, w}; }

CUDA_SIM_VECTOR2(unsigned char, uchar2, 2)
CUDA_SIM_VECTOR4(unsigned char, uchar4, 4)
CUDA_SIM_VECTOR2(signed char, char2, 2)
CUDA_SIM_VECTOR4(signed char, char4, 4)
CUDA_SIM_VECTOR2(unsigned short, ushort2, 4)
CUDA_SIM_VECTOR4(unsigned short, ushort4, 8)
CUDA_SIM_VECTOR2(short, short2, 4)
CUDA_SIM_VECTOR4(short, short4, 8)
CUDA_SIM_VECTOR2(unsigned, uint2, 8)
CUDA_SIM_VECTOR4(unsigned, uint4, 16)
CUDA_SIM_VECTOR2(int, int2, 8)
CUDA_SIM_VECTOR3(int, int3)
CUDA_SIM_VECTOR4(int, int4, 16)
CUDA_SIM_VECTOR2(float, float2, 8)
CUDA_SIM_VECTOR3(float, float3)
CUDA_SIM_VECTOR4(float, float4, 16)
CUDA_SIM_VECTOR2(double, double2, 16)
CUDA_SIM_VECTOR2(long long, longlong2, 16)
CUDA_SIM_VECTOR2(unsigned long long, ulonglong2, 16)

inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }

#undef CUDA_SIM_VECTOR2
#undef CUDA_SIM_VECTOR3
#undef CUDA_SIM_VECTOR4
