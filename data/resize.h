// Antialiased bilinear resizing of 8-bit pictures in Pillow's arithmetic, so that views match those of
// PyTorch pipelines to the grey level (to within one where Pillow takes the vertical pass first). Next in the
// walk: data/augment.h.
#pragma once
#include <array>

#include "data/image.h"
#include "tensor/view_steps.h"

namespace plumage {

/// A rectangle of an image's pixels, not owned: rows are `stride` bytes apart.
struct PixelView {
  const uint8_t* rgb = nullptr;
  int64_t width = 0, height = 0, stride = 0;
};

/// The whole image; InputError if it has no pixels.
PixelView view(const Image& image);

/// A rectangle of it; InputError if it is empty or leaves the image. What resize makes of it sees no pixel
/// outside.
PixelView crop(const Image& image, int64_t left, int64_t top, int64_t width, int64_t height);

/// InputError if the rectangle is empty or leaves a picture of this size.
void check_crop(int64_t left, int64_t top, int64_t width, int64_t height, int64_t picture_width, int64_t picture_height);

/// Edges in source pixels, fractions allowed.
struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;
};

/// Bilinear, the support scaled by the shrinking factor, rounded to 8 bits between the horizontal and the
/// vertical pass: Pillow's `resize((width, height), BILINEAR)`. InputError for a size below 1 or above
/// 65,535.
Image resize(const PixelView& source, int64_t width, int64_t height);

/// The same from a box of the source; near its edges the pixels beside the box still count, as in Pillow.
Image resize(const PixelView& source, int64_t width, int64_t height, const Box& box);

/// torchvision's Resize(short_side) + CenterCrop(size) on a PIL image; only the pixels of the crop are
/// computed. InputError unless 1 <= size <= short_side.
Image resize_center_crop(const Image& image, int64_t short_side, int64_t size);

/// Its two axes, across and down, for a picture of width x height pixels.
std::array<views::Axis, 2> center_crop_axes(int64_t width, int64_t height, int64_t short_side, int64_t size);

}  // namespace plumage
