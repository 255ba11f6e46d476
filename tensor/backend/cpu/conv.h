// The ways to compute a convolution. conv.cpp chooses.
#pragma once
#include "tensor/allocator.h"
#include "tensor/backend/cpu/moments.h"

namespace plumage::cpu {

/// What a convolution does to its sums before it stores them: add shift[k] and the residual at the same place (each if given),
/// relu. The residual may lie where the result is written.
struct Epilogue {
  In shift, residual;
  bool relu = false;
};

/// Filters as a kernel wants to read them, `bytes` of them: what it has kept in `order`, or what fill(void*) makes of `filters` now,
/// there or, without an order, in scratch memory. maker: which kernel, and for which shapes where that matters.
template <class F>
const void* ordered_filters(Context& context, FilterOrder* order, const void* maker, const void* filters, int64_t bytes, int slot, F&& fill) {
  if (order && order->maker == maker && order->filters == filters) return order->memory->data;
  if (order) *order = {nullptr, filters, std::make_shared<Storage>(bytes, Device{})};
  void* memory = order ? order->memory->data : context.scratch(bytes, slot);
  fill(memory);
  if (order) order->maker = maker;
  return memory;
}

/// Images of a few pixels: the batch is the rows of a matrix product for each pair of pixels that a filter connects.
namespace few_pixels {
bool fits(const Shape& x, const Shape& w, const Shape& y, DType type);
void conv2d(Context& context, In x, In w, Out y, Window window);
void conv2d_dx(Context& context, In dy, In w, Out dx, Window window);
void conv2d_dw(Context& context, In x, In dy, Out dw, Window window);
}  // namespace few_pixels

/// At most four filters: vectors of channels.
namespace few_filters {
bool fits(const Shape& w);
void conv2d(Context& context, In x, In w, Out y, Window window);
void conv2d_dw(Context& context, In x, In dy, Out dw, Window window);
}  // namespace few_filters

/// 3x3 filters. At stride 1 F(4x4, 3x3), or where their tiles cover a map with fewer products F(5x5, 3x3) or F(2x2, 3x3); at
/// stride 2 F(2x2, 2x2) of every other pixel; of a map seen doubled F(2x2, 3x3) of the map as it is.
namespace winograd {
bool fits(const Shape& w, const Shape& y, const Window& window, DType type);
/// The statistics of y, summed up on its way out. A chunk is `run` rows of tiles, `across` tiles each, of a group's `rows`; `before`
/// went by in calls for earlier images.
struct Statistics {
  int64_t across, rows, run, before = 0;
  MomentSums sums;
  Statistics(Context& context, const Shape& y, const Window& window, int64_t groups);
  int64_t chunk_of(int64_t row) const { return row / rows * sums.number + row % rows / run; }  ///< all groups' counted through
  int64_t first_row(int64_t chunk) const { return chunk / sums.number * rows + chunk % sums.number * run; }
};
/// conv2d and conv2d_dw also for 4x4 filters at stride 1.
void conv2d(Context& context, In x, In w, Out y, Window window, const Epilogue& epilogue = {}, FilterOrder* order = nullptr,
            Statistics* statistics = nullptr);
void conv2d_stats(Context& context, In x, In w, Out y, Out mean, Out variance, Window window);
void conv2d_dx(Context& context, In dy, In w, In onto, Out dx, Window window);
bool fits_dw(const Shape& w, const Shape& dy, const Window& window, DType type);
void conv2d_dw(Context& context, In x, In dy, Out dw, Window window);
}  // namespace winograd

/// Pictures through filters of 7 or 8 pixels at stride 2: 4x4 at stride 1 of every second row and column.
namespace phases {
bool fits(const Shape& w, const Shape& y, const Window& window, DType type);
void conv2d(Context& context, In x, In w, Out y, Window window, const Epilogue& epilogue = {});
void conv2d_stats(Context& context, In x, In w, Out y, Out mean, Out variance, Window window);
void conv2d_dw(Context& context, In x, In dy, Out dw, Window window);
}  // namespace phases

/// 1x1 filters: a matrix product that reads the pixels where they lie. In training large ones by Strassen's algorithm; frozen, what
/// becomes of an image does not depend on the others.
namespace one_pixel {
bool fits(const Shape& w, const Shape& y, const Window& window, DType type);
void conv2d(Context& context, In x, In w, Out y, Window window);
/// With the mean and variance [groups, K] of each group of images, summed up on the way out.
void conv2d_stats(Context& context, In x, In w, Out y, Out mean, Out variance, Window window);
bool fits_frozen(const Shape& w, const Shape& y, const Window& window, DType type);
void conv2d_frozen(Context& context, In x, In w, Out y, Window window, const Epilogue& epilogue, FilterOrder* order);
bool fits_dx(const Shape& w, const Shape& dy, const Window& window, DType type);
void conv2d_dx(Context& context, In dy, In w, In onto, Out dx, const NormSource& source);
bool fits_dw(const Shape& w, const Shape& dy, const Window& window, DType type);  // one_pixel_dw.cpp
void conv2d_dw(Context& context, In x, In dy, Out dw, Window window);
}  // namespace one_pixel

/// The gradient of any filters, a product for each of their pixels.
namespace tap_products {
bool fits(const Shape& w, DType type);
void conv2d_dw(Context& context, In x, In dy, Out dw, Window window);
}  // namespace tap_products

/// False, and nothing is done, where oneDNN is not built in or has no fast kernel that can be trusted.
namespace onednn {
bool conv2d(Context& context, In x, In w, Out y, Window window, const Epilogue* epilogue = nullptr, FilterOrder* order = nullptr);
bool conv2d_dx(Context& context, In dy, In w, Out dx, Window window);
bool conv2d_dx_onto(Context& context, In dy, In w, Out dx, Window window);  ///< dx += the gradient; 1x1 at stride 1 alone
bool conv2d_dw(Context& context, In x, In dy, Out dw, Window window);
/// It finds wider vectors on this machine than plumage was built for: what is bound by arithmetic is faster there.
bool has_wider_vectors();
}  // namespace onednn

/// Any shape: a matrix product over the pixels under each window.
namespace im2col {
void conv2d(Context& context, In x, In w, Out y, Window window);
void conv2d_dx(Context& context, In dy, In w, Out dx, Window window);
void conv2d_dw(Context& context, In x, In dy, Out dw, Window window);
}  // namespace im2col

}  // namespace plumage::cpu
