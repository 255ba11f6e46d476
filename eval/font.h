// A small bitmap font for captions inside pictures: 5 x 7 pixels a letter, printable ASCII.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "data/image.h"

namespace plumage {

using Colour = std::array<uint8_t, 3>;

constexpr int64_t kGlyphWidth = 5, kGlyphHeight = 7;

/// Pixels that a line of text takes at `scale`, one empty column between letters.
int64_t text_width(std::string_view text, int64_t scale = 1);

/// Draws one line with its upper left corner at (x, y); what falls outside the image is cut. Other bytes than
/// printable ASCII show as a hollow box, one for each UTF-8 letter.
void draw_text(Image& image, int64_t x, int64_t y, std::string_view text, Colour colour, int64_t scale = 1);

}  // namespace plumage
