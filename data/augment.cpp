// Draws the numbers of a view and runs its steps over three planes of floats. Next in the walk:
// data/recolour.h, the arithmetic of each step.
#include "data/augment.h"

#include <algorithm>
#include <cmath>

#include "data/recolour.h"
#include "data/resize.h"
#include "tensor/errors.h"
#include "tensor/philox.h"

namespace plumage {
namespace {

constexpr uint64_t kViews = 16, kDrawsPerView = 64;

/// torchvision's RandomResizedCrop: ten tries, then the largest centre crop whose ratio is allowed.
void draw_crop(const AugmentOptions& options, PhiloxStream& stream, int64_t width, int64_t height,
               AugmentParameters& out) {
  for (int attempt = 0; attempt < 10; ++attempt) {
    double area = double(width * height) * stream.uniform(options.min_scale, options.max_scale);
    double ratio = std::exp(stream.uniform(std::log(options.min_ratio), std::log(options.max_ratio)));
    out.width = int64_t(std::nearbyint(std::sqrt(area * ratio)));
    out.height = int64_t(std::nearbyint(std::sqrt(area / ratio)));
    if (out.width < 1 || out.width > width || out.height < 1 || out.height > height) continue;
    out.top = stream.integer(height - out.height + 1);
    out.left = stream.integer(width - out.width + 1);
    return;
  }
  double ratio = std::clamp(double(width) / double(height), options.min_ratio, options.max_ratio);
  out.width = std::clamp(int64_t(std::nearbyint(double(height) * ratio)), int64_t(1), width);
  out.height = std::clamp(int64_t(std::nearbyint(double(width) / ratio)), int64_t(1), height);
  out.left = (width - out.width) / 2;
  out.top = (height - out.height) / 2;
}

void draw_jitter(const AugmentOptions& options, PhiloxStream& stream, AugmentParameters& out) {
  auto factor = [&](double x) { return float(stream.uniform(std::max(0.0, 1 - x), 1 + x)); };
  out.brightness = factor(options.brightness);
  out.contrast = factor(options.contrast);
  out.saturation = factor(options.saturation);
  out.hue = float(stream.uniform(-options.hue, options.hue));
  for (int64_t i = 3; i > 0; --i) std::swap(out.order[size_t(i)], out.order[size_t(stream.integer(i + 1))]);
}

void check_view_size(int64_t size) {
  if (size < 1 || size > 16384)
    throw InputError(message("augment: a view of ", size, " pixels; the size must be 1 to 16384"));
}

}  // namespace

AugmentOptions small_picture_options() {
  AugmentOptions options;
  options.min_scale = 0.6;
  options.hue = 0.5;
  options.blur = 0;
  options.rotation = 0.4;
  options.noise = 0.03;
  return options;
}

void check(const AugmentOptions& options) {
  auto within = [](const char* name, double value, double low, double high) {
    if (!(value >= low && value <= high))
      throw InputError(message("augment: ", name, " = ", value, "; it must be ", low, " to ", high));
  };
  within("max_scale", options.max_scale, 1e-6, 1);
  within("min_scale", options.min_scale, 1e-6, options.max_scale);
  within("max_ratio", options.max_ratio, 1e-3, 1e3);
  within("min_ratio", options.min_ratio, 1e-3, options.max_ratio);
  within("flip", options.flip, 0, 1);
  within("jitter", options.jitter, 0, 1);
  within("brightness", options.brightness, 0, 10);
  within("contrast", options.contrast, 0, 10);
  within("saturation", options.saturation, 0, 10);
  within("hue", options.hue, 0, 0.5);
  within("grayscale", options.grayscale, 0, 1);
  within("blur", options.blur, 0, 1);
  within("max_sigma", options.max_sigma, 1e-3, 100);
  within("min_sigma", options.min_sigma, 1e-3, options.max_sigma);
  within("rotation", options.rotation, 0, 3.1416);
  within("noise", options.noise, 0, 1);
}

AugmentParameters draw(const AugmentOptions& options, const ViewKey& key, int64_t width, int64_t height) {
  check(options);
  if (key.view >= kViews)
    throw InputError(message("augment: view ", key.view, "; at most ", kViews, " a picture"));
  if (width < 1 || height < 1)
    throw InputError(message("augment: a picture of ", width, "x", height, " pixels has nothing to crop"));
  PhiloxStream stream({key.seed, Purpose::augment, key.epoch},
                      (key.index * kViews + key.view) * kDrawsPerView);
  AugmentParameters out;
  draw_crop(options, stream, width, height, out);
  out.flip = stream.chance(options.flip);
  out.rotation = float(stream.uniform(-options.rotation, options.rotation));
  out.jitter = stream.chance(options.jitter);
  if (out.jitter) draw_jitter(options, stream, out);
  out.grayscale = stream.chance(options.grayscale);
  if (stream.chance(options.blur)) out.sigma = float(stream.uniform(options.min_sigma, options.max_sigma));
  out.noise = float(options.noise);
  out.noise_seed = uint64_t(stream.uniform() * 0x1p24) << 24 | uint64_t(stream.uniform() * 0x1p24);
  return out;
}

void apply(const Image& image, const AugmentParameters& parameters, int64_t size, float* out,
           const Normalization& normalization) {
  check_view_size(size);
  const AugmentParameters& p = parameters;
  Planes planes(resize(crop(image, p.left, p.top, p.width, p.height), size, size), p.flip);
  if (p.rotation != 0) rotate(planes, p.rotation);
  recolour(planes, p);
  if (p.sigma > 0) blur(planes, p.sigma);
  if (p.noise > 0) add_noise(planes, p.noise, p.noise_seed);
  planes.store(out, normalization);
}

void plain_view(const Image& image, int64_t size, float* out, const Normalization& normalization,
                int64_t resize_to) {
  check_view_size(size);
  Planes(resize_center_crop(image, resize_to ? resize_to : size, size), false).store(out, normalization);
}

ViewSlot view_slot(const AugmentParameters& parameters, int64_t width, int64_t height, int64_t size) {
  check_view_size(size);
  const AugmentParameters& p = parameters;
  check_crop(p.left, p.top, p.width, p.height, width, height);
  ViewSlot slot;
  slot.first = (p.top * width + p.left) * 3;
  slot.stride = width * 3;
  slot.across = {p.width, 0, 0, double(p.width) / double(size)};
  slot.down = {p.height, 0, 0, double(p.height) / double(size)};
  slot.flip = p.flip;
  slot.rotate = p.rotation != 0;
  slot.cosine = std::cos(p.rotation);
  slot.sine = std::sin(p.rotation);
  slot.jitter = p.jitter;
  slot.order = p.order;
  slot.brightness = p.brightness;
  slot.contrast = p.contrast;
  slot.saturation = p.saturation;
  slot.hue = p.hue;
  slot.grayscale = p.grayscale;
  slot.sigma = p.sigma;
  slot.noise = p.noise;
  slot.noise_seed = p.noise_seed;
  return slot;
}

ViewSlot plain_slot(int64_t width, int64_t height, int64_t size, int64_t resize_to) {
  check_view_size(size);
  ViewSlot slot;
  slot.stride = width * 3;
  auto [across, down] = center_crop_axes(width, height, resize_to ? resize_to : size, size);
  slot.across = across;
  slot.down = down;
  return slot;
}

}  // namespace plumage
