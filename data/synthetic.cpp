// Draws the factors of a synthetic bird, each from numbers of its own. Next in the walk:
// data/render_bird.cpp.
#include "data/synthetic.h"

#include <algorithm>
#include <cmath>

#include "tensor/errors.h"
#include "tensor/philox.h"

namespace plumage {
namespace {

constexpr double kTurn = 6.283185307179586;
constexpr std::array<const char*, kFactors> kFactorNames{"angle",       "scale",     "position",   "mirror",
                                                         "body_colour", "mark_tone", "background", "branches",
                                                         "light",       "gain",      "noise"};

double draw_in(PhiloxStream& stream, const Range& range) { return stream.uniform(range.low, range.high); }

uint64_t draw_seed(PhiloxStream& stream) {
  return uint64_t(stream.integer(1 << 24)) << 20 | uint64_t(stream.integer(1 << 20));
}

Rgb mix(const Rgb& a, const Rgb& b, double share) {
  Rgb out;
  for (size_t c = 0; c < 3; ++c) out[c] = float(a[c] + (b[c] - a[c]) * share);
  return out;
}

void draw_background(BirdFactors& out, const SyntheticWorld& world, PhiloxStream& stream) {
  auto colour = [&] {
    double hue = stream.uniform(), saturation = stream.uniform(0.15, 0.5);
    return from_hsv(hue, saturation, draw_in(stream, world.background_value));
  };
  out.background = colour();
  out.background_second = mix(out.background, colour(), world.contrast);
  int64_t family = stream.integer(3);
  out.backdrop = !world.textures ? Backdrop::flat
                 : family == 0   ? Backdrop::clouds
                 : family == 1   ? Backdrop::stripes
                                 : Backdrop::blotches;
  out.texture_frequency = stream.uniform(1.2, 2.4);
  out.texture_angle = stream.uniform(0, kTurn);
  out.texture_seed = draw_seed(stream);
}

void draw_branches(BirdFactors& out, const SyntheticWorld& world, PhiloxStream& stream) {
  out.branches = int(stream.integer(world.branches + 1));
  for (Branch& branch : out.branch) {
    branch.angle = stream.uniform(-0.6, 0.6);
    branch.offset = stream.uniform(-0.8, 0.8);
    branch.thickness = stream.uniform(0.03, 0.06);
    branch.colour = from_hsv(stream.uniform(0.03, 0.12), stream.uniform(0.3, 0.6), stream.uniform(0.2, 0.5));
  }
}

}  // namespace

Rgb from_hsv(double hue, double saturation, double value) {
  auto channel = [&](double start) {
    double k = std::fmod(start + hue * 6, 6.0);
    return float(value * (1 - saturation * std::clamp(std::min(k, 4 - k), 0.0, 1.0)));
  };
  return {channel(5), channel(3), channel(1)};
}

SyntheticWorld SyntheticWorld::strict() {
  SyntheticWorld world;
  world.mark_scale = 1.6;
  world.scale = {0.9, 1.15};
  world.body_value = {0.4, 0.75};
  world.body_saturation = {0.25, 0.7};
  world.textures = true;
  world.background_value = {0.3, 0.8};
  world.branches = 2;
  world.light = 0.3;
  world.gain = {0.8, 1.1};
  world.noise = {0.01, 0.03};
  return world;
}

SyntheticWorld SyntheticWorld::named(const std::string& name) {
  if (name == "simple") return simple();
  if (name == "strict") return strict();
  throw InputError(message("synthetic: world \"", name, "\" is not known; choose simple or strict"));
}

const char* name(Factor factor) { return kFactorNames[size_t(factor)]; }

BirdFactors draw_factors(const SyntheticWorld& world, const Species& species, uint64_t seed, uint64_t index) {
  if (world.branches < 0 || world.branches > 2)
    throw InputError(message("synthetic: branches = ", world.branches, "; it must be 0 to 2"));
  BirdFactors out;
  out.species = species;
  out.mark_scale = world.mark_scale;
  out.wing = world.wing;
  for (int factor = 0; factor < kFactors; ++factor) redraw(out, Factor(factor), world, seed, index);
  return out;
}

void redraw(BirdFactors& out, Factor factor, const SyntheticWorld& world, uint64_t seed, uint64_t index) {
  PhiloxStream stream({seed, Purpose::synthetic, uint64_t(factor)}, index * 32);
  switch (factor) {
    case Factor::angle:
      out.angle = stream.uniform(-world.angle, world.angle);
      break;
    case Factor::scale:
      out.scale = draw_in(stream, world.scale);
      break;
    case Factor::position:
      out.x = stream.uniform(-world.shift, world.shift);
      out.y = stream.uniform(-world.shift, world.shift);
      break;
    case Factor::mirror:
      out.mirror = stream.chance(0.5);
      break;
    case Factor::body_colour:
      out.body_hue = stream.uniform();
      out.body_saturation = draw_in(stream, world.body_saturation);
      out.body_value = draw_in(stream, world.body_value);
      break;
    case Factor::mark_tone:
      out.light_marks = stream.chance(0.5);
      break;
    case Factor::background:
      draw_background(out, world, stream);
      break;
    case Factor::branches:
      draw_branches(out, world, stream);
      break;
    case Factor::light:
      out.light = stream.uniform(0, world.light);
      out.light_angle = stream.uniform(0, kTurn);
      break;
    case Factor::gain:
      out.gain = draw_in(stream, world.gain);
      break;
    case Factor::noise:
      out.noise = draw_in(stream, world.noise);
      out.noise_seed = draw_seed(stream);
      break;
  }
}

}  // namespace plumage
