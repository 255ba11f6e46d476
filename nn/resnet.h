// The encoder f: ResNet-18/34/50 (He et al. 2016; v1.5: a bottleneck's stride is on its 3x3), torchvision's names.
// Next: ssl/pairs.h.
#pragma once
#include <array>
#include <memory>

#include "nn/layers.h"

namespace plumage {

enum class Stem {
  imagenet,  ///< 7x7 stride 2, then 3x3 max pool stride 2
  small,     ///< 3x3 stride 1, no pool (images of 32 pixels)
};

struct ResNetOptions {
  std::string arch = "resnet50";  ///< resnet18, resnet34 or resnet50
  Stem stem = Stem::imagenet;
  int64_t width = 64;             ///< channels of the first stage
  int64_t classes = 0;            ///< > 0: a linear layer `fc` on top
  bool zero_init_residual = false;
};

/// What an architecture's name stands for.
struct ResNetLayout {
  bool bottleneck;
  std::array<int64_t, 4> blocks;  ///< of layer1 to layer4
  int64_t expansion;              ///< a block's output channels over its inner ones
  int64_t stride;                 ///< of the last map: 32, or 8 with the small stem
};
/// Throws InputError for an unknown arch or a width outside 1..4096.
ResNetLayout layout_of(const ResNetOptions& options);

/// Basic block (18, 34) or bottleneck (50).
class ResidualBlock : public Module {
 public:
  /// channels: of the inner convolutions; the output has channels * expansion.
  ResidualBlock(bool bottleneck, int64_t in, int64_t channels, int64_t stride, Init& init, bool zero_init_residual = false);
  Var forward(const Var& x, const Pass& pass) const;
  void visit(const std::string& prefix, const Visitor& f) override;

 private:
  bool bottleneck_;
  Conv2d conv1_, conv2_, conv3_, downsample_conv_;
  BatchNorm2d bn1_, bn2_, bn3_, downsample_bn_;
  bool downsample_;
};

class ResNet : public Module {
 public:
  /// Throws InputError for an unknown arch or a width outside 1..4096.
  ResNet(const ResNetOptions& options, Init& init);
  /// v [N, feature_count()]: the average over pixels of the last stage. x: [N,H,W,3], normalised.
  Var features(const Var& x, const Pass& pass) const;
  /// The last stage's map before pooling, [N, H/32, W/32, features] (H/8 with the small stem); attention maps.
  Var feature_map(const Var& x, const Pass& pass) const;
  Var logits(const Var& v, const Pass& pass) const;  ///< fc; throws ShapeError without one
  int64_t feature_count() const { return feature_count_; }
  Device device() const { return conv1_.weight.value().device(); }  ///< where its pictures have to be
  const ResNetOptions& options() const { return options_; }
  void visit(const std::string& prefix, const Visitor& f) override;

 private:
  ResNetOptions options_;
  int64_t feature_count_ = 0;
  Conv2d conv1_;
  BatchNorm2d bn1_;
  std::vector<std::vector<ResidualBlock>> stages_;  // layer1 .. layer4
  Linear fc_;
};

}  // namespace plumage
