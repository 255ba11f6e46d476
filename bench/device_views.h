// The input pipeline's part of a step: pictures that lie on a device, and a batch's views, made of them there as training does
// (data/device_pictures.h).
#pragma once
#include "bench/measure.h"
#include "data/augment.h"

namespace plumage::bench {

class DeviceViews {
 public:
  /// Random pictures of 4 to 3, the short side twice a view's, as the cache reduces to.
  DeviceViews(int64_t batch, int64_t px, Device device) : batch_(batch), px_(px), height_(2 * px), width_(8 * px / 3) {
    std::vector<uint8_t> bytes(size_t(batch * height_ * width_ * 3));
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = uint8_t(philox({1, Purpose::test}, i / 16)[i / 4 % 4] >> 8 * (i % 4));
    pictures_ = Tensor::from(bytes, {int64_t(bytes.size())}).to(device);
  }

  /// x' or x'' of every picture, MoCo v2's augmentation; f32 [batch, px, px, 3].
  Tensor augmented(uint64_t step, uint64_t view) const {
    return made([&](uint64_t i) { return view_slot(draw({}, {1, step, i, view}, width_, height_), width_, height_, px_); });
  }
  /// x
  Tensor plain() const {
    return made([&](uint64_t) { return plain_slot(width_, height_, px_, usual_short_side(px_)); });
  }

 private:
  template <class Slot>
  Tensor made(Slot slot) const {
    std::vector<ViewSlot> slots;
    for (int64_t i = 0; i < batch_; ++i) {
      slots.push_back(slot(uint64_t(i)));
      slots.back().first += i * height_ * width_ * 3;
    }
    const Normalization norm;
    Tensor out = Tensor::empty({batch_, px_, px_, 3}, DType::f32, pictures_.device());
    make_views(pictures_, slots, {norm.mean, {1 / norm.std[0], 1 / norm.std[1], 1 / norm.std[2]}}, {}, out);
    return out;
  }

  int64_t batch_, px_, height_, width_;
  Tensor pictures_;  // u8 [bytes]
};

}  // namespace plumage::bench
