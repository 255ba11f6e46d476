// From factors to pixels: shapes as signed distances, painted from back to front on a canvas of twice the
// size. Next in the walk: data/synthetic_set.h.
#include <cmath>

#include "data/backdrop.h"
#include "data/canvas.h"
#include "data/recolour.h"
#include "data/synthetic.h"
#include "tensor/errors.h"

namespace plumage {
namespace {

// The bird looks to the right, u forwards, v downwards, about 1.5 units long.
constexpr float kHeadU = 0.37f, kHeadV = -0.27f, kHeadRadius = 0.215f;
constexpr float kBodyU = 0.01f, kBodyV = 0.04f, kBodyTilt = 0.42f;  // radians, breast up
constexpr float kWingU = 0.08f, kWingV = -0.04f, kWingLength = 0.6f, kWingTilt = 0.4f;
constexpr float kTailU = -0.33f, kTailV = 0.17f, kTailLength = 0.40f, kTailTilt = 0.45f;

struct Point {
  float a, b;
};

/// A line along which a part of the bird is measured: a along it from its origin, b across.
class Axis {
 public:
  Axis(float u, float v, float tilt) : u_(u), v_(v), cosine_(std::cos(tilt)), sine_(std::sin(tilt)) {}
  Point operator()(float u, float v) const {
    float du = u - u_, dv = v - v_;
    return {cosine_ * du + sine_ * dv, cosine_ * dv - sine_ * du};
  }

 private:
  float u_, v_, cosine_, sine_;
};

class BirdPainter {
 public:
  BirdPainter(Canvas& canvas, const BirdFactors& factors)
      : canvas_(canvas), species_(factors.species), marks_(float(factors.mark_scale)), bird_(frame(factors)) {
    double hue = factors.body_hue, saturation = factors.body_saturation, value = factors.body_value;
    body_ = ink(hue, saturation, value);
    body_.fade = 0.35f;
    belly_ = ink(hue, saturation * 0.6, std::min(value * 1.15, 0.85));
    belly_.fade = 0.35f;
    wing_ = ink(hue, saturation, value * factors.wing);
    wing_.fade = 0.25f;
    quill_ = ink(hue, saturation, value * factors.wing * 0.72);
    mark_ = factors.light_marks ? Ink{0.96f, 0.95f, 0.90f, 1, 1, 0} : Ink{0.07f, 0.06f, 0.07f, 1, 1, 0};
  }

  static Frame frame(const BirdFactors& factors) {
    return {float(factors.x), float(factors.y), float(factors.scale), float(factors.angle), factors.mirror};
  }

  void paint() {
    tail();
    legs();
    body();
    breast();
    head();
    wing();
    face();
  }

 private:
  static Ink ink(double hue, double saturation, double value) {
    Rgb colour = from_hsv(hue, saturation, value);
    return {colour[0], colour[1], colour[2], 1, 0, 0};
  }

  template <class Distance>
  void fill(const Disc& bounds, const Ink& ink, Distance distance) {
    canvas_.fill(bird_, bounds, ink, distance);
  }

  void tail() {
    Axis axis(kTailU, kTailV, float(M_PI) - kTailTilt);
    auto shape = [axis](float u, float v) {
      Point p = axis(u, v);  // a fan with a notch at its end
      float end = p.a - kTailLength + 0.35f * std::max(0.06f - std::abs(p.b), 0.0f);
      return std::max(std::abs(p.b) - 0.06f - 0.09f * p.a, std::max(end, -p.a - 0.1f));
    };
    Disc bounds{kTailU - 0.2f, kTailV + 0.1f, 0.36f};
    fill(bounds, wing_, shape);
    fill(bounds, quill_,
         [=](float u, float v) { return std::max(shape(u, v), std::abs(axis(u, v).b) - 0.007f); });
    float tip = kTailLength - 0.085f * marks_;
    if (species_.tail_tip)
      fill(bounds, mark_, [=](float u, float v) { return std::max(shape(u, v), tip - axis(u, v).a); });
  }

  void legs() {
    Ink leg{0.32f, 0.22f, 0.16f, 1, 0, 0};
    for (float foot : {-0.03f, 0.09f}) {
      fill({foot, 0.38f, 0.2f}, leg,
           [=](float u, float v) { return tapered(u, v, foot - 0.03f, 0.25f, foot, 0.46f, 0.014f, 0.012f); });
      fill({foot, 0.47f, 0.1f}, leg, [=](float u, float v) {
        return tapered(u, v, foot - 0.03f, 0.47f, foot + 0.06f, 0.47f, 0.013f, 0.013f);
      });
    }
  }

  /// Without the head.
  static auto trunk() {
    return [axis = Axis(kBodyU, kBodyV, -kBodyTilt)](float u, float v) {
      Point p = axis(u, v);
      float rump = tapered(p.a, p.b, -0.1f, 0.02f, -0.47f, 0.0f, 0.2f, 0.05f);
      return smooth_union(ellipse(p.a - 0.02f, p.b, 0.40f, 0.30f), rump, 0.1f);
    };
  }

  static auto silhouette() {
    return [shape = trunk()](float u, float v) {
      return smooth_union(shape(u, v), disc(u, v, kHeadU, kHeadV, kHeadRadius), 0.14f);
    };
  }

  void body() {
    Disc bounds{0, 0, 0.75f};
    fill(bounds, body_, silhouette());
    fill(bounds, belly_, [shape = trunk()](float u, float v) {
      return std::max(shape(u, v) + 0.015f, ellipse(u - 0.06f, v - 0.27f, 0.34f, 0.2f));
    });
  }

  void breast() {
    auto shape = silhouette();
    Axis axis(kBodyU, kBodyV, -kBodyTilt);
    Disc bounds{0.25f, 0.05f, 0.4f};
    float half = 0.036f * marks_, spot = 0.034f * marks_;
    if (species_.breast == Breast::band)  // a collar, bent towards the breast
      fill(bounds, mark_, [=](float u, float v) {
        Point p = axis(u, v);
        float strip = std::abs(p.a - 0.27f + 0.5f * (p.b - 0.05f) * (p.b - 0.05f)) - half;
        return std::max(std::max(shape(u, v) + 0.005f, strip), -0.12f - p.b);
      });
    if (species_.breast == Breast::spots)
      fill(bounds, mark_, [=](float u, float v) {
        Point p = axis(u, v);
        float near = disc(p.a, p.b, 0.335f, 0.01f, spot);
        near = std::min(near, disc(p.a, p.b, 0.29f, 0.14f, spot));
        near = std::min(near, disc(p.a, p.b, 0.20f, 0.055f, spot));
        near = std::min(near, disc(p.a, p.b, 0.155f, 0.19f, spot));
        return std::min(near, disc(p.a, p.b, 0.05f, 0.13f, spot));
      });
  }

  void head() {
    auto shape = silhouette();
    Disc bounds{kHeadU, kHeadV, 0.3f};
    float brim = -0.145f + 0.022f * marks_, half = 0.021f * marks_;
    if (species_.cap)
      fill(bounds, mark_, [=](float u, float v) {
        float below = v - kHeadV - brim - 0.15f * (kHeadU - u);
        return std::max(shape(u, v), below);
      });
    if (species_.eye_line)
      fill(bounds, mark_, [=](float u, float v) {
        float strip = std::abs(v - kHeadV - 0.005f - 0.12f * (kHeadU - u)) - half;
        return std::max(std::max(shape(u, v), strip), kHeadU - 0.2f - u);
      });
  }

  void wing() {
    Axis axis(kWingU, kWingV, float(M_PI) - kWingTilt);
    auto shape = [axis](float u, float v) {
      Point p = axis(u, v);
      return tapered(p.a, p.b + 0.12f * p.a * (kWingLength - p.a), 0, 0, kWingLength, 0, 0.165f, 0.035f);
    };
    Disc bounds{kWingU - 0.25f, kWingV + 0.1f, 0.5f};
    fill(bounds, quill_, [=](float u, float v) { return shape(u, v) - 0.012f; });  // a thin dark rim
    fill(bounds, wing_, shape);
    fill(bounds, quill_, [=](float u, float v) {  // flight feathers
      Point p = axis(u, v);
      float lines = std::min(std::abs(p.b + 0.05f), std::min(std::abs(p.b), std::abs(p.b - 0.05f)));
      return std::max(std::max(shape(u, v), lines - 0.007f), 0.33f - p.a);
    });
    float half = 0.027f * marks_;
    for (int bar = 0; bar < species_.bars; ++bar) {
      float at = species_.bars == 1 ? 0.17f : bar ? 0.27f : 0.07f;
      fill(bounds, mark_, [=](float u, float v) {
        Point p = axis(u, v);
        return std::max(shape(u, v), std::abs(p.a - at - 1.2f * p.b * p.b) - half);
      });
    }
  }

  void face() {
    Ink beak{0.88f, 0.62f, 0.22f, 1, 0, 0.2f}, gape{0.45f, 0.30f, 0.12f, 1, 0, 0};
    Disc bounds{kHeadU + 0.27f, kHeadV + 0.02f, 0.15f};
    fill(bounds, beak, [](float u, float v) {
      float a = u - kHeadU - 0.185f, b = v - kHeadV - 0.025f;
      return std::max(std::abs(b) * 0.93f - 0.065f + a * 0.42f, -a);
    });
    fill(bounds, gape, [](float u, float v) {
      float a = u - kHeadU - 0.19f, b = v - kHeadV - 0.03f;
      return std::max(std::abs(b) - 0.008f, std::max(-a, a - 0.11f));
    });
    float eye_u = kHeadU + 0.075f, eye_v = kHeadV - 0.01f;
    Disc eye{eye_u, eye_v, 0.08f};
    fill(eye, belly_, [=](float u, float v) { return disc(u, v, eye_u, eye_v, 0.058f); });
    fill(eye, {0.04f, 0.03f, 0.04f, 1, 0, 0},
         [=](float u, float v) { return disc(u, v, eye_u, eye_v, 0.044f); });
    fill(eye, {1, 1, 1, 1, 0, 0},
         [=](float u, float v) { return disc(u, v, eye_u + 0.014f, eye_v - 0.016f, 0.015f); });
  }

  Canvas& canvas_;
  const Species& species_;
  float marks_;
  Frame bird_;
  Ink body_, belly_, wing_, quill_, mark_;
};

/// Mean of each 2 x 2 block of a canvas plane.
void shrink(const float* in, int64_t side, float* out) {
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x) {
      const float* corner = in + 4 * y * side + 2 * x;
      out[y * side + x] = (corner[0] + corner[1] + corner[2 * side] + corner[2 * side + 1]) / 4;
    }
}

uint8_t to_byte(float x) { return uint8_t(std::clamp(x, 0.0f, 1.0f) * 255 + 0.5f); }

/// The gain of the whole picture, and darkness growing from one side to the other.
void light(Planes& planes, const BirdFactors& factors) {
  float gain = float(factors.gain), strength = float(factors.light), half = float(planes.width()) / 2;
  float towards_x = float(std::cos(factors.light_angle)), towards_y = float(std::sin(factors.light_angle));
  for (int64_t y = 0; y < planes.height(); ++y)
    for (int64_t x = 0; x < planes.width(); ++x) {
      float far = towards_x * ((float(x) + 0.5f) / half - 1) + towards_y * ((float(y) + 0.5f) / half - 1);
      float factor = gain * (1 - strength * std::clamp(0.5f + 0.4f * far, 0.0f, 1.0f));
      for (int c = 0; c < 3; ++c) planes.plane(c)[y * planes.width() + x] *= factor;
    }
}

}  // namespace

Rendered render(const BirdFactors& factors, int64_t px) {
  if (px < 8 || px > 1024)
    throw InputError(message("synthetic: pictures of ", px, " pixels; it must be 8 to 1024"));
  Canvas canvas(2 * px);
  paint_backdrop(canvas, factors);
  paint_branches(canvas, factors, BirdPainter::frame(factors));
  BirdPainter(canvas, factors).paint();

  Planes planes(px, px);
  for (int c = 0; c < 3; ++c) shrink(canvas.plane(c), px, planes.plane(c));
  light(planes, factors);
  if (factors.noise > 0) add_noise(planes, float(factors.noise), factors.noise_seed);

  Rendered out{Image(px, px), std::vector<uint8_t>(size_t(px * px)), std::vector<uint8_t>(size_t(px * px))};
  std::vector<float> covered(size_t(2 * px * px));
  shrink(canvas.plane(3), px, covered.data());
  shrink(canvas.plane(4), px, covered.data() + px * px);
  for (int64_t i = 0; i < px * px; ++i) {
    for (int c = 0; c < 3; ++c) out.image.rgb[size_t(3 * i + c)] = to_byte(planes.plane(c)[i]);
    out.object[size_t(i)] = to_byte(covered[size_t(i)]);
    out.marks[size_t(i)] = to_byte(covered[size_t(px * px + i)]);
  }
  return out;
}

}  // namespace plumage
