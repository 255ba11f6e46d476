// Decoders, small map first. Next: ssl/loss.cpp (eq. 2).
#include "nn/decoder.h"

#include <algorithm>

namespace plumage {

namespace {

/// The last layer: 3x3 to three channels. Drawn as PyTorch draws a plain convolution, U(-1, 1) / sqrt(fan
/// in): He's fan-out deviation would start with pictures many times too bright.
Conv2d picture_layer(int64_t in, Init& init) {
  Conv2d conv(in, 3, 3, 1, 1, init, true);
  double bound = 1 / std::sqrt(9.0 * double(in));
  conv.weight = Var(
      ops::uniform(conv.weight.shape(), {init.seed, Purpose::init, init.next++}, -bound, bound, init.dtype).to(init.device),
      true);
  return conv;
}

/// A residual block whose first 3x3 convolution sees the map upsampled by `up`. The skip's 1x1 runs before
/// the upsampling, which gives the same numbers for a quarter of the work.
class UpBlock : public Module {
 public:
  UpBlock(bool bottleneck, int64_t in, int64_t channels, int up, Init& init)
      : bottleneck_(bottleneck), up_(up) {
    int64_t out = bottleneck ? 4 * channels : channels;
    conv1_ = bottleneck ? Conv2d(in, channels, 1, 1, 0, init) : Conv2d(in, channels, 3, 1, 1, init);
    bn1_ = BatchNorm2d(channels, init);
    conv2_ = Conv2d(channels, channels, 3, 1, 1, init);
    bn2_ = BatchNorm2d(channels, init);
    (bottleneck ? conv2_ : conv1_).up = up;
    if (bottleneck) {
      conv3_ = Conv2d(channels, out, 1, 1, 0, init);
      bn3_ = BatchNorm2d(out, init);
    }
    project_ = up > 1 || in != out;
    if (project_) {
      skip_conv_ = Conv2d(in, out, 1, 1, 0, init);
      skip_bn_ = BatchNorm2d(out, init);
    }
  }

  Var forward(const Var& x, const Pass& pass) const {
    Var skip = project_ ? conv_norm(skip_conv_, skip_bn_, x, pass) : x;
    if (up_ > 1) skip = upsample(skip, up_);
    Var y = conv_norm(conv1_, bn1_, x, pass, Activation::relu);
    if (!bottleneck_) return conv_norm(conv2_, bn2_, y, pass, Activation::relu, skip);
    y = conv_norm(conv2_, bn2_, y, pass, Activation::relu);
    return conv_norm(conv3_, bn3_, y, pass, Activation::relu, skip);
  }

  void visit(const std::string& prefix, const Visitor& f) override {
    conv1_.visit(join_name(prefix, "conv1"), f);
    bn1_.visit(join_name(prefix, "bn1"), f);
    conv2_.visit(join_name(prefix, "conv2"), f);
    bn2_.visit(join_name(prefix, "bn2"), f);
    if (bottleneck_) {
      conv3_.visit(join_name(prefix, "conv3"), f);
      bn3_.visit(join_name(prefix, "bn3"), f);
    }
    if (project_) {
      skip_conv_.visit(join_name(prefix, "skip.0"), f);
      skip_bn_.visit(join_name(prefix, "skip.1"), f);
    }
  }

 private:
  bool bottleneck_, project_;
  int up_;
  Conv2d conv1_, conv2_, conv3_, skip_conv_;
  BatchNorm2d bn1_, bn2_, bn3_, skip_bn_;
};

/// "light": linear -> [s, s, widths[0]], then upsample x2, 3x3, norm, ReLU for each width.
class LightDecoder : public Decoder {
 public:
  LightDecoder(int64_t features, int64_t side, const std::vector<int64_t>& widths, Init& init)
      : side_(side), fc_(features, side * side * widths[0], init) {
    int64_t in = widths[0];
    for (int64_t out : widths) {
      stages_.push_back({Conv2d(in, out, 3, 1, 1, init), BatchNorm2d(out, init)});
      stages_.back().conv.up = 2;
      in = out;
    }
    out_ = picture_layer(in, init);
  }

  Var forward(const Var& v, const Pass& pass) const override {
    Var y = fc_.forward(v, pass);
    y = reshape(y, {v.size(0), side_, side_, y.size(1) / (side_ * side_)});  // [N, s, s, C]
    for (const Stage& stage : stages_)
      y = conv_norm(stage.conv, stage.bn, y, pass, Activation::relu);
    return out_.forward(y, pass);  // x_hat: [N, px, px, 3]
  }

  void visit(const std::string& prefix, const Visitor& f) override {
    fc_.visit(join_name(prefix, "fc"), f);
    for (size_t i = 0; i < stages_.size(); ++i) {
      stages_[i].conv.visit(join_name(prefix, message("stage", i + 1, ".conv")), f);
      stages_[i].bn.visit(join_name(prefix, message("stage", i + 1, ".bn")), f);
    }
    out_.visit(join_name(prefix, "out"), f);
  }

 private:
  struct Stage {
    Conv2d conv;
    BatchNorm2d bn;
  };
  int64_t side_;
  Linear fc_;
  std::vector<Stage> stages_;
  Conv2d out_;
};

/// "residual" and "resnet": linear layers, residual blocks that grow the map, and the picture.
class ResidualDecoder : public Decoder {
 public:
  ResidualDecoder(int64_t features, int64_t latent, int64_t side, int64_t channels, Init& init)
      : side_(side), channels_(channels) {
    if (latent > 0) latent_ = Linear(features, latent, init);
    fc_ = Linear(latent > 0 ? latent : features, side * side * channels, init);
  }
  void begin_stage() { stages_.emplace_back(); }
  void add_block(bool bottleneck, int64_t channels, int up, Init& init) {
    stages_.back().emplace_back(bottleneck, channels_, channels, up, init);
    channels_ = bottleneck ? 4 * channels : channels;
  }
  void finish(int last_up, Init& init) {
    out_ = picture_layer(channels_, init);
    out_.up = last_up;
  }

  Var forward(const Var& v, const Pass& pass) const override {
    Var y = fc_.forward(latent_.weight.defined() ? latent_.forward(v, pass) : v, pass);
    y = reshape(y, {v.size(0), side_, side_, y.size(1) / (side_ * side_)});  // [N, s, s, C]
    for (const auto& stage : stages_)
      for (const UpBlock& block : stage) y = block.forward(y, pass);
    return out_.forward(y, pass);  // x_hat: [N, px, px, 3]
  }

  void visit(const std::string& prefix, const Visitor& f) override {
    if (latent_.weight.defined()) latent_.visit(join_name(prefix, "latent"), f);
    fc_.visit(join_name(prefix, "fc"), f);
    for (size_t stage = 0; stage < stages_.size(); ++stage)
      for (size_t i = 0; i < stages_[stage].size(); ++i)
        stages_[stage][i].visit(join_name(prefix, message("stage", stage + 1, ".", i)), f);
    out_.visit(join_name(prefix, "out"), f);
  }

 private:
  int64_t side_, channels_;
  Linear latent_, fc_;
  std::vector<std::vector<UpBlock>> stages_;
  Conv2d out_;
};

/// Channels for as many x2 stages as px allows: down to a map of about 4 ("light") or by 32 in all
/// ("residual").
std::vector<int64_t> default_widths(bool light, const ResNetOptions& encoder, int64_t px) {
  static const std::vector<double> kLight = {2, 1.5, 0.75, 0.375, 0.25}, kBasic = {3, 1.5, 0.75, 0.5, 0.25},
                                   kBottleneck = {4, 2, 1, 0.5, 0.25};
  const auto& factors = light ? kLight : layout_of(encoder).bottleneck ? kBottleneck : kBasic;
  std::vector<int64_t> widths;
  for (size_t i = 0; i < factors.size() && px % 2 == 0 && px > (light ? 4 : 1); ++i, px /= 2)
    widths.push_back(std::max<int64_t>(8, int64_t(factors[i] * double(encoder.width))));
  return widths;
}

/// Side of the first map. Throws InputError where px is not `factor` times a whole number.
int64_t first_side(const std::string& arch, int64_t px, int64_t factor) {
  constexpr int64_t kLargest = 64;  // the linear layer before it grows with the square
  if (px % factor || px / factor < 1 || px / factor > kLargest)
    throw InputError(message("decoder '", arch, "' upsamples by ", factor, " and cannot make ", px,
                             " pixels: use a multiple of ", factor, " up to ", factor * kLargest));
  return px / factor;
}

std::unique_ptr<Decoder> mirrored(const DecoderOptions& options, const ResNetOptions& encoder,
                                  int64_t features, int64_t px, Init& init) {
  ResNetLayout layout = layout_of(encoder);
  int64_t side = first_side(options.arch, px, layout.stride);
  auto decoder = std::make_unique<ResidualDecoder>(features, options.latent, side,
                                                   8 * encoder.width * layout.expansion, init);
  bool imagenet = encoder.stem == Stem::imagenet;
  for (int stage = 3; stage >= 0; --stage) {  // layer4 to layer1, which takes back the max pool's stride
    int up = stage > 0 || imagenet ? 2 : 1;
    decoder->begin_stage();
    for (int64_t i = 0; i < layout.blocks[size_t(stage)]; ++i)
      decoder->add_block(layout.bottleneck, encoder.width << std::max(0, stage - 1), i == 0 ? up : 1, init);
  }
  decoder->finish(imagenet ? 2 : 1, init);
  return decoder;
}

}  // namespace

std::unique_ptr<Decoder> make_decoder(const DecoderOptions& options, const ResNetOptions& encoder,
                                      int64_t features, int64_t px, Init& init) {
  if (px < 1 || px > 8192 || features < 1 || options.latent < 0)
    throw InputError(message("decoder '", options.arch, "': ", px, " pixels from ", features,
                             " numbers by way of ", options.latent,
                             ": wanted 1 to 8192 pixels, at least 1 number"));
  if (options.arch == "resnet") return mirrored(options, encoder, features, px, init);
  if (options.arch != "light" && options.arch != "residual")
    throw InputError("decoder '" + options.arch + "' is unknown: wanted light, residual or resnet");

  bool light = options.arch == "light";
  std::vector<int64_t> widths = options.widths.empty() ? default_widths(light, encoder, px) : options.widths;
  if (widths.empty() || widths.size() > 12)
    throw InputError(message("decoder '", options.arch, "' with ", widths.size(), " stages for ", px,
                             " pixels: give 1 to 12 widths and an even number of pixels"));
  for (int64_t width : widths)
    if (width < 1 || width > 65536)
      throw InputError(message("decoder: width ", width, ": wanted 1 to 65536"));
  int64_t side = first_side(options.arch, px, int64_t(1) << widths.size());
  if (light) return std::make_unique<LightDecoder>(features, side, widths, init);
  auto decoder = std::make_unique<ResidualDecoder>(features, 0, side, widths[0], init);
  for (int64_t width : widths) {
    decoder->begin_stage();
    decoder->add_block(false, width, 2, init);
  }
  decoder->finish(1, init);
  return decoder;
}

}  // namespace plumage
