// Grad-CAM and its overlay. Next in the walk: eval/picture.cpp.
#include "eval/attention.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "autograd/functions.h"
#include "autograd/tape.h"

namespace plumage {
namespace {

/// Dark violet through red and orange to pale yellow; lightness rises all the way, so it reads in grey too.
std::array<double, 3> warm_colour(double t) {
  constexpr std::array<std::array<double, 3>, 5> kStops{
      {{24, 15, 61}, {114, 31, 99}, {202, 64, 66}, {243, 133, 51}, {252, 228, 148}}};
  double at = std::clamp(t, 0.0, 1.0) * (kStops.size() - 1);
  size_t i = std::min(size_t(at), kStops.size() - 2);
  double part = at - double(i);
  std::array<double, 3> colour{};
  for (size_t c = 0; c < 3; ++c) colour[c] = kStops[i][c] * (1 - part) + kStops[i + 1][c] * part;
  return colour;
}

}  // namespace

Score feature_norm() {
  return [](const Var& v) { return sqrt(affine(sum_last(square(v)), 1, 1e-12)); };
}

Score class_logit(const Tensor& weight, int64_t label) {
  if (weight.rank() != 2 || label < 0 || label >= weight.size(0)) {
    throw ShapeError(
        message("class_logit: label ", label, " of weights ", weight.shape(), ", wanted [C, n]"));
  }
  Tensor row = weight.slice(label, 1);  // row: [1, n]
  return [row](const Var& v) { return reshape(matmul(v, Var(row), false, true), {v.size(0)}); };
}

Score similarity_to(const Tensor& other) {
  Tensor unit = ops::l2_normalize(other.reshape({1, -1})).first;  // unit: [1, n]
  return
      [unit](const Var& v) { return reshape(matmul(l2_normalize(v), Var(unit), false, true), {v.size(0)}); };
}

Tensor grad_cam(const ResNet& encoder, const Tensor& x, const Score& score) {
  Tensor values;
  {
    NoGrad no_grad;
    values = encoder.feature_map(Var(x), Pass::eval()).value();  // values: [N, h, w, n]
  }
  int64_t N = values.size(0), h = values.size(1), w = values.size(2), n = values.size(3);
  Var map(values, true);  // a leaf of its own: the walk back never reaches the encoder
  Var scores = score(global_avg_pool(map));
  if (scores.shape() != Shape{N}) {
    throw ShapeError(message("grad_cam: the score is ", scores.shape(), ", wanted ", Shape{N}));
  }
  Tensor dmap = gradient(sum(scores), {map})[0];  // dmap: [N, h, w, n]
  Tensor weights = ops::global_avg_pool(dmap).reshape({N, n, 1});
  Tensor cam = ops::matmul(values.reshape({N, h * w, n}), weights).reshape({N, h * w});
  cam = ops::relu(cam);
  Tensor most = ops::max_last(cam).first.reshape({N, 1});
  Tensor floor = Tensor::full({N, 1}, 1e-30, cam.dtype());
  return ops::div(cam, ops::binary(BinaryFn::maximum, most, floor)).reshape({N, h, w});
}

Tensor upsample_map(const Tensor& map, int64_t height, int64_t width) {
  if (map.rank() != 2 || map.count() == 0)
    throw ShapeError(message("map is ", map.shape(), ", wanted [h, w]"));
  Tensor source = ops::cast(map, DType::f32), result = Tensor::empty({height, width});
  int64_t h = map.size(0), w = map.size(1);
  const float* from = source.data<float>();
  float* to = result.data<float>();
  for (int64_t y = 0; y < height; ++y) {
    double fy = std::clamp((double(y) + 0.5) * double(h) / double(height) - 0.5, 0.0, double(h - 1));
    int64_t y0 = int64_t(fy), y1 = std::min(y0 + 1, h - 1);
    for (int64_t x = 0; x < width; ++x) {
      double fx = std::clamp((double(x) + 0.5) * double(w) / double(width) - 0.5, 0.0, double(w - 1));
      int64_t x0 = int64_t(fx), x1 = std::min(x0 + 1, w - 1);
      double top = from[y0 * w + x0] * (1 - (fx - double(x0))) + from[y0 * w + x1] * (fx - double(x0));
      double bottom = from[y1 * w + x0] * (1 - (fx - double(x0))) + from[y1 * w + x1] * (fx - double(x0));
      to[y * width + x] = float(top * (1 - (fy - double(y0))) + bottom * (fy - double(y0)));
    }
  }
  return result;
}

Image overlay(const Image& picture, const Tensor& map, double strength) {
  Tensor large = upsample_map(map, picture.height, picture.width);  // large: [height, width]
  const float* heat = large.data<float>();
  Image result = picture;
  for (int64_t i = 0; i < picture.width * picture.height; ++i) {
    double t = std::isfinite(heat[i]) ? std::clamp(double(heat[i]), 0.0, 1.0) : 0;
    double share = strength * t;
    std::array<double, 3> colour = warm_colour(t);
    for (size_t c = 0; c < 3; ++c) {
      uint8_t& value = result.rgb[size_t(i) * 3 + c];
      value = uint8_t(std::clamp(std::lround(double(value) * (1 - share) + colour[c] * share), 0l, 255l));
    }
  }
  return result;
}

}  // namespace plumage
