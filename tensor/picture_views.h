// Views of pictures made on a device: crop, resize, flip, rotation, jitter, grayscale, blur, noise, normalisation, as
// data/augment.h's apply() makes them on the CPU. Kernels: tensor/backend/cuda/kernels/views.cu.
#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "tensor/tensor.h"
#include "tensor/view_steps.h"

namespace plumage {

enum class ColourStep : uint8_t { brightness, contrast, saturation, hue };

/// One view in numbers, as a kernel reads them.
struct ViewSlot {
  int64_t first = 0;   ///< bytes from the pictures' start to the crop's first pixel
  int64_t stride = 0;  ///< bytes from a row to the next
  views::Axis across, down;
  bool flip = false, rotate = false, jitter = false, grayscale = false;
  float cosine = 1, sine = 0;  ///< of the rotation, counter-clockwise
  std::array<ColourStep, 4> order{};
  float brightness = 1, contrast = 1, saturation = 1, hue = 0;
  float sigma = 0;   ///< of the blur, pixels; 0: none
  int32_t blur = 0;  ///< which of the blurred views this is; set by make_views
  float noise = 0;   ///< standard deviation
  uint64_t noise_seed = 0;
};

/// What is subtracted from a colour, then multiplied with.
struct ColourScale {
  std::array<float, 3> mean{0, 0, 0}, scale{1, 1, 1};
};

/// out[n] becomes the view that slots[n] describes. pictures: u8 [bytes], RGB, on out's device, which is a CUDA device.
/// out: [N, size, size, 3], or 4 where the last channel is to be zeros; f32 or bf16. levels: f32 [4096] on the device,
/// the normal distribution's (data/recolour.h), undefined where no slot has noise.
/// Throws InputError where a slot reads outside of `pictures` or has a sigma beyond kLargestSigma.
void make_views(const Tensor& pictures, std::span<const ViewSlot> slots, const ColourScale& colours, const Tensor& levels,
                Tensor& out);

inline constexpr float kLargestSigma = 100;

/// The kernels' arguments. Scratch memory is not cleared.
struct ViewJob {
  const uint8_t* pictures = nullptr;
  const ViewSlot* slots = nullptr;
  int64_t views = 0, blurs = 0, size = 0;
  ColourScale colours;
  const float* levels = nullptr;
  int64_t taps = 0, rows = 0;    ///< the most of any axis; rows kept between the two passes of the resize
  int32_t* weights = nullptr;    ///< [views, 2, size, 2 + taps]: first, count, weights
  uint32_t* narrowed = nullptr;  ///< [views, rows, size]: a pixel of 8 bits a channel each
  uint32_t* resized = nullptr;   ///< [views, size, size]
  uint64_t* sharp = nullptr;     ///< [2, blurs, size, size]: a pixel of 16 bits a channel; before, and half blurred
  DType dtype = DType::f32;
  int64_t channels = 3;
  void* out = nullptr;
};

}  // namespace plumage
