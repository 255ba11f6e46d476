// Residual blocks and the network of four stages. Next: nn/heads.cpp.
#include "nn/resnet.h"

#include <array>

namespace plumage {

namespace {

struct Arch {
  const char* name;
  bool bottleneck;
  std::array<int64_t, 4> blocks;
};

constexpr Arch kArchs[] = {
    {"resnet18", false, {2, 2, 2, 2}}, {"resnet34", false, {3, 4, 6, 3}}, {"resnet50", true, {3, 4, 6, 3}}};

const Arch& find_arch(const std::string& name) {
  for (const Arch& arch : kArchs)
    if (name == arch.name) return arch;
  throw InputError(message("arch '", name, "' is unknown: wanted resnet18, resnet34 or resnet50"));
}

}  // namespace

ResNetLayout layout_of(const ResNetOptions& options) {
  const Arch& arch = find_arch(options.arch);
  if (options.width < 1 || options.width > 4096)
    throw InputError(message("width ", options.width, " of ", options.arch, ": wanted 1 to 4096"));
  return {arch.bottleneck, arch.blocks, arch.bottleneck ? 4 : 1, options.stem == Stem::imagenet ? 32 : 8};
}

ResidualBlock::ResidualBlock(bool bottleneck, int64_t in, int64_t channels, int64_t stride, Init& init,
                             bool zero_init_residual)
    : bottleneck_(bottleneck) {
  int64_t out = bottleneck ? 4 * channels : channels;
  if (bottleneck) {
    conv1_ = Conv2d(in, channels, 1, 1, 0, init);
    conv2_ = Conv2d(channels, channels, 3, stride, 1, init);
    conv3_ = Conv2d(channels, out, 1, 1, 0, init);
    bn3_ = BatchNorm2d(out, init);
  } else {
    conv1_ = Conv2d(in, channels, 3, stride, 1, init);
    conv2_ = Conv2d(channels, channels, 3, 1, 1, init);
  }
  bn1_ = BatchNorm2d(channels, init);
  bn2_ = BatchNorm2d(channels, init);
  downsample_ = stride != 1 || in != out;
  if (downsample_) {
    downsample_conv_ = Conv2d(in, out, 1, stride, 0, init);
    downsample_bn_ = BatchNorm2d(out, init);
  }
  if (zero_init_residual)
    ops::fill((bottleneck ? bn3_ : bn2_).weight.value(), 0);  // the block starts as identity
}

Var ResidualBlock::forward(const Var& x, const Pass& pass) const {
  Var skip = downsample_ ? conv_norm(downsample_conv_, downsample_bn_, x, pass) : x;
  Var y = conv_norm(conv1_, bn1_, x, pass, Activation::relu);
  if (!bottleneck_) return conv_norm(conv2_, bn2_, y, pass, Activation::relu, skip);
  y = conv_norm(conv2_, bn2_, y, pass, Activation::relu);
  return conv_norm(conv3_, bn3_, y, pass, Activation::relu, skip);
}

void ResidualBlock::visit(const std::string& prefix, const Visitor& f) {
  conv1_.visit(join_name(prefix, "conv1"), f);
  bn1_.visit(join_name(prefix, "bn1"), f);
  conv2_.visit(join_name(prefix, "conv2"), f);
  bn2_.visit(join_name(prefix, "bn2"), f);
  if (bottleneck_) {
    conv3_.visit(join_name(prefix, "conv3"), f);
    bn3_.visit(join_name(prefix, "bn3"), f);
  }
  if (downsample_) {
    downsample_conv_.visit(join_name(prefix, "downsample.0"), f);
    downsample_bn_.visit(join_name(prefix, "downsample.1"), f);
  }
}

ResNet::ResNet(const ResNetOptions& options, Init& init) : options_(options) {
  ResNetLayout layout = layout_of(options);
  if (options.classes < 0) throw InputError(message("classes ", options.classes, " of ", options.arch));
  bool imagenet = options.stem == Stem::imagenet;
  conv1_ = imagenet ? Conv2d(3, options.width, 7, 2, 3, init) : Conv2d(3, options.width, 3, 1, 1, init);
  bn1_ = BatchNorm2d(options.width, init);
  int64_t in = options.width;
  for (int stage = 0; stage < 4; ++stage) {
    int64_t channels = options.width << stage;
    auto& blocks = stages_.emplace_back();
    for (int64_t i = 0; i < layout.blocks[size_t(stage)]; ++i) {
      int64_t stride = stage > 0 && i == 0 ? 2 : 1;
      blocks.emplace_back(layout.bottleneck, in, channels, stride, init, options.zero_init_residual);
      in = channels * layout.expansion;
    }
  }
  feature_count_ = in;
  if (options.classes > 0) fc_ = Linear(in, options.classes, init);
}

Var ResNet::feature_map(const Var& x, const Pass& pass) const {
  Var y = conv_norm(conv1_, bn1_, x, pass, Activation::relu);
  if (options_.stem == Stem::imagenet) y = max_pool(y, 3, 2, 1);
  for (const auto& stage : stages_)
    for (const ResidualBlock& block : stage) y = block.forward(y, pass);
  return y;
}

Var ResNet::features(const Var& x, const Pass& pass) const {
  return cast(global_avg_pool(feature_map(x, pass)), conv1_.weight.dtype());  // v: [N, features]
}

Var ResNet::logits(const Var& v, const Pass& pass) const {
  if (options_.classes < 1) throw ShapeError(message(options_.arch, ": logits of a network without classes"));
  return fc_.forward(v, pass);
}

void ResNet::visit(const std::string& prefix, const Visitor& f) {
  conv1_.visit(join_name(prefix, "conv1"), f);
  bn1_.visit(join_name(prefix, "bn1"), f);
  for (size_t stage = 0; stage < stages_.size(); ++stage)
    for (size_t i = 0; i < stages_[stage].size(); ++i)
      stages_[stage][i].visit(join_name(prefix, message("layer", stage + 1, ".", i)), f);
  if (options_.classes > 0) fc_.visit(join_name(prefix, "fc"), f);
}

}  // namespace plumage
