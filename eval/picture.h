// Pictures for people: views back in colours, sheets of them with captions (data/write_png.h makes files of
// them). Next in the walk: eval/curve.h.
#pragma once
#include <string>
#include <vector>

#include "data/augment.h"
#include "data/image.h"
#include "eval/font.h"
#include "tensor/tensor.h"

namespace plumage {

/// Picture `index` of a batch of normalised views [N, H, W, 3], or a single one [H, W, 3] (index 0). Clipped
/// to what can be shown; not-a-number shows as magenta. Throws ShapeError.
Image to_image(const Tensor& views, int64_t index = 0, const Normalization& normalization = {});

/// gain * |a - b| of each channel: black where they agree. Throws ShapeError if the sizes differ.
Image difference(const Image& a, const Image& b, double gain = 4);

/// Each pixel as factor x factor pixels.
Image enlarge(const Image& image, int64_t factor);

enum class Verdict { none, right, wrong };

/// A picture with what is to be said about it.
struct Picture {
  Image image;
  std::string caption;
  Verdict verdict = Verdict::none;  ///< framed in green or red
};

struct SheetOptions {
  int64_t cell = 96;  ///< pixels of a picture's longer side: it is enlarged by whole factors up to that
  int64_t gap = 8;
  Colour background{255, 255, 255}, ink{40, 40, 40};
  std::vector<std::string> columns;  ///< headings; may be empty
};

/// Rows of pictures on one sheet, captions under them (cut where they are too long). Rows may differ in
/// length.
Image contact_sheet(const std::vector<std::vector<Picture>>& rows, const SheetOptions& options = {});

}  // namespace plumage
