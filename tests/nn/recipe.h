// Weights that anyone can make again, for want of an ImageNet checkpoint: the recipe of the bundle's
// peers/expected/README.md.
#pragma once
#include <cmath>
#include <string>

#include "nn/resnet.h"
#include "nn/weights/state.h"

namespace plumage::test {

inline double recipe_number(const std::string& name, const Shape& shape, double u) {
  auto holds = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (shape.rank() == 4) return (2 * u - 1) * std::sqrt(6.0 / double(shape[1] * shape[2] * shape[3]));
  if (holds("running_var")) return 0.5 + u;
  if (name == "fc.weight") return (2 * u - 1) / std::sqrt(2048.0);
  if (name.ends_with(".weight")) return (0.5 + 0.5 * u) * (holds("bn3") ? 0.4 : 1);
  return (2 * u - 1) * 0.1;
}

/// A tensor of the recipe in PyTorch's layout.
inline Tensor recipe_tensor(const std::string& name, const Shape& shape) {
  uint64_t s = 0xcbf29ce484222325u;
  for (char c : name) s = (s ^ uint64_t(c)) * 0x100000001b3u;
  s ^= 20261201;
  Tensor t = Tensor::empty(shape);
  for (int64_t i = 0; i < t.count(); ++i) {
    uint64_t z = s + uint64_t(i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    t.data<float>()[i] = float(recipe_number(name, shape, double((z ^ z >> 31) >> 11) * 0x1p-53));
  }
  return t;
}

inline void fill_by_recipe(ResNet& net) {
  for (auto& [name, value] : net.state()) {
    Shape s = value.shape();
    if (s.rank() == 4)
      value.value().copy_from(from_oihw(recipe_tensor(name, {s[0], s[3], s[1], s[2]})));
    else
      value.value().copy_from(recipe_tensor(name, s));
  }
}

/// Pictures u8 [N, H, W, 3] as the network sees them, by ImageNet's mean and deviation.
inline Tensor normalised(const Tensor& pictures) {
  Tensor x = Tensor::empty(pictures.shape());
  const double mean[] = {0.485, 0.456, 0.406}, std[] = {0.229, 0.224, 0.225};
  for (int64_t i = 0; i < x.count(); ++i)
    x.data<float>()[i] = float((pictures.data<uint8_t>()[i] / 255.0 - mean[i % 3]) / std[i % 3]);
  return x;
}

}  // namespace plumage::test
