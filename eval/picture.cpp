// Pixels of sheets. Next in the walk: eval/curve.cpp.
#include "eval/picture.h"

#include <algorithm>
#include <cmath>

namespace plumage {
namespace {

constexpr Colour kGreen{46, 139, 87}, kRed{200, 62, 50};
constexpr int64_t kFrame = 3, kTextGap = 3, kMostSheetPixels = int64_t(1) << 28;

void paste(Image& sheet, const Image& picture, int64_t x, int64_t y) {
  for (int64_t row = 0; row < picture.height; ++row) {
    std::copy_n(picture.row(row), picture.width * 3, sheet.row(y + row) + x * 3);
  }
}

void fill_rectangle(Image& sheet, int64_t x, int64_t y, int64_t width, int64_t height, Colour colour) {
  for (int64_t row = y; row < y + height; ++row) {
    for (int64_t i = 0; i < width * 3; ++i) sheet.row(row)[x * 3 + i] = colour[size_t(i % 3)];
  }
}

/// Large pictures keep their size, so a cell grows with its largest.
int64_t factor_for(const Image& image, int64_t cell) {
  return std::max<int64_t>(1, cell / std::max<int64_t>({image.width, image.height, 1}));
}

std::string fit(const std::string& text, int64_t width) {
  if (text_width(text) <= width) return text;
  std::string cut = text;
  while (!cut.empty() && text_width(cut + "..") > width) cut.pop_back();
  return cut + "..";
}

struct Layout {
  int64_t columns = 0, width = 0, height = 0;  // of a cell, without frame and caption
  bool captions = false;
  int64_t heading = 0;  // pixels above the first row
  int64_t cell_height() const { return height + 2 * kFrame + (captions ? kGlyphHeight + kTextGap : 0); }
  int64_t cell_width() const { return width + 2 * kFrame; }
};

Layout measure(const std::vector<std::vector<Picture>>& rows, const SheetOptions& options) {
  Layout layout;
  layout.width = layout.height = options.cell;
  for (const auto& row : rows) {
    layout.columns = std::max(layout.columns, int64_t(row.size()));
    for (const Picture& p : row) {
      int64_t factor = factor_for(p.image, options.cell);
      layout.width = std::max(layout.width, p.image.width * factor);
      layout.height = std::max(layout.height, p.image.height * factor);
      layout.captions |= !p.caption.empty();
    }
  }
  layout.columns = std::max(layout.columns, int64_t(options.columns.size()));
  if (!options.columns.empty()) layout.heading = kGlyphHeight + options.gap;
  return layout;
}

}  // namespace

Image to_image(const Tensor& views, int64_t index, const Normalization& normalization) {
  int rank = views.rank();
  int64_t count = rank == 4 ? views.size(0) : 1;
  if ((rank != 3 && rank != 4) || views.size(-1) != 3 || index < 0 || index >= count) {
    throw ShapeError(message("picture ", index, " of ", views.shape(), ": wanted [N, H, W, 3] or [H, W, 3]"));
  }
  int64_t height = views.size(rank - 3), width = views.size(rank - 2);
  Image image(width, height);
  visit_float(views.dtype(), [&](auto zero) {
    const auto* from = views.data<decltype(zero)>() + index * height * width * 3;
    for (int64_t i = 0; i < height * width * 3; ++i) {
      size_t c = size_t(i % 3);
      double value = double(from[i]) * normalization.std[c] + normalization.mean[c];
      uint8_t shown = std::isnan(value) ? uint8_t(c == 1 ? 0 : 255)
                                        : uint8_t(std::lround(std::clamp(value, 0.0, 1.0) * 255));
      image.rgb[size_t(i)] = shown;
    }
  });
  return image;
}

Image difference(const Image& a, const Image& b, double gain) {
  if (a.width != b.width || a.height != b.height) {
    throw ShapeError(message("difference of pictures of ", a.width, " x ", a.height, " and ", b.width, " x ",
                             b.height, " pixels"));
  }
  Image result(a.width, a.height);
  for (size_t i = 0; i < result.rgb.size(); ++i) {
    result.rgb[i] = uint8_t(std::min(255.0, gain * std::abs(int(a.rgb[i]) - int(b.rgb[i]))));
  }
  return result;
}

Image enlarge(const Image& image, int64_t factor) {
  Image large(image.width * factor, image.height * factor);
  for (int64_t y = 0; y < large.height; ++y) {
    for (int64_t x = 0; x < large.width; ++x) {
      std::copy_n(image.row(y / factor) + x / factor * 3, 3, large.row(y) + x * 3);
    }
  }
  return large;
}

Image contact_sheet(const std::vector<std::vector<Picture>>& rows, const SheetOptions& options) {
  Layout layout = measure(rows, options);
  int64_t step_x = layout.cell_width() + options.gap, step_y = layout.cell_height() + options.gap;
  int64_t width = options.gap + layout.columns * step_x;
  int64_t height = options.gap + layout.heading + int64_t(rows.size()) * step_y;
  if (width > kMostSheetPixels / height) {
    throw InputError(
        message("a sheet of ", width, " x ", height, " pixels is too large; show fewer pictures"));
  }
  Image sheet(width, height);
  fill_rectangle(sheet, 0, 0, width, height, options.background);
  for (size_t c = 0; c < options.columns.size(); ++c) {
    draw_text(sheet, options.gap + int64_t(c) * step_x + kFrame, options.gap,
              fit(options.columns[c], layout.width), options.ink);
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t c = 0; c < rows[r].size(); ++c) {
      const Picture& p = rows[r][c];
      int64_t x = options.gap + int64_t(c) * step_x;
      int64_t y = options.gap + layout.heading + int64_t(r) * step_y;
      Image shown = enlarge(p.image, factor_for(p.image, options.cell));
      if (p.verdict != Verdict::none) {
        fill_rectangle(sheet, x, y, shown.width + 2 * kFrame, shown.height + 2 * kFrame,
                       p.verdict == Verdict::right ? kGreen : kRed);
      }
      paste(sheet, shown, x + kFrame, y + kFrame);
      draw_text(sheet, x + kFrame, y + layout.height + 2 * kFrame + kTextGap, fit(p.caption, layout.width),
                options.ink);
    }
  }
  return sheet;
}

}  // namespace plumage
