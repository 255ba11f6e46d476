// What is behind a synthetic bird: colour or texture, and branches. Used by data/render_bird.cpp.
#pragma once
#include "data/canvas.h"

namespace plumage {

void paint_backdrop(Canvas& canvas, const BirdFactors& factors);
/// `bird`: the frame of the bird, on whose feet the first branch is centred.
void paint_branches(Canvas& canvas, const BirdFactors& factors, const Frame& bird);

}  // namespace plumage
