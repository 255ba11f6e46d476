// Gradient of the filters, tap by tap: a product of what the tap saw with the gradient there, over all pixels.
//   dw[k, r, s, c] = sum over (n, p, q) of dy[n, p, q, k] x[n, stride p + r - pad, stride q + s - pad, c]
// dy is read where it lies or copied once for all taps, what a tap saw is gathered a panel at a time.  Next: im2col.cpp.
#include <cstring>

#include "tensor/backend/cpu/conv.h"
#include "tensor/backend/cpu/gemm.h"

namespace plumage::cpu::tap_products {
namespace {

constexpr int kCopySlot = 0, kSumSlot = 1;
constexpr int64_t kDepth = 256;       // pixels of a product: their panel nearly fills the first cache
constexpr int64_t kTallest = 512;     // filters at a time: with that many pixels half the second cache
constexpr int64_t kInPlace = 256;     // pixels of so many channels can be read where they lie; wider ones fight for the same lines
constexpr int64_t kTasks = 16, kFewestPanels = 8;  // of a task, which copies dy for them

class FilterGradient {
 public:
  FilterGradient(In x, In dy, Out dw, Window window)
      : x_(x.as<float>()), dy_(dy.as<float>()), dw_(dw.as<float>()), window_(window), height_(x.shape[1]), width_(x.shape[2]),
        down_(dy.shape[1]), across_(dy.shape[2]), c_(x.shape[3]), k_(dw.shape[0]), taps_(dw.shape[1] * dw.shape[2]),
        filter_width_(dw.shape[2]), panels_of_tap_(ceil_div(c_, kPanelColumns)), tall_(k_, kTallest, k_),
        cuts_(taps_ * panels_of_tap_, kFewestPanels, std::max<int64_t>(kTasks / tall_.number, 1)),
        slices_(dy.shape[0] * down_ * across_, kDepth, std::max<int64_t>(kTasks / tall_.number / cuts_.number, 1)),
        pitch_(ceil_div(tall_.size, 16) * 16 + 16), in_place_(k_ <= kInPlace && k_ % (kPanelRows / 3) == 0) {}

  void run(Context& context) const {
    const int64_t floats = k_ * taps_ * c_, of_thread = kDepth * (kPanelColumns + (in_place_ ? 0 : pitch_));
    auto* copies = static_cast<float*>(context.scratch(context.threads() * of_thread * 4, kCopySlot));
    float* sums = slices_.number == 1 ? dw_ : static_cast<float*>(context.scratch(slices_.number * floats * 4, kSumSlot));
    parallel(context, slices_.number * tall_.number * cuts_.number, 1, [&](int64_t first, int64_t last) {
      for (int64_t task = first; task < last; ++task) {
        int64_t slice = task / (tall_.number * cuts_.number);
        add_up(slice, task / cuts_.number % tall_.number, task % cuts_.number, sums + slice * floats,
               copies + omp_get_thread_num() * of_thread);
      }
    });
    if (slices_.number > 1)
      parallel(context, floats, kGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          float sum = sums[i];
          for (int64_t slice = 1; slice < slices_.number; ++slice) sum += sums[slice * floats + i];
          dw_[i] = sum;
        }
      }, 16);
  }

 private:
  // The filters of a piece at the panels of a cut, over the pixels of a slice.
  void add_up(int64_t slice, int64_t piece, int64_t cut, float* sums, float* buffer) const {
    const int64_t k = tall_.begin(piece), tall = tall_.end(piece) - k, row = taps_ * c_;
    const int64_t tiles = ceil_div(tall, kPanelRows), calls = (cuts_.end(cut) - cuts_.begin(cut)) * tiles, half = calls / 2;
    float *panel = buffer, *copy = buffer + kDepth * kPanelColumns;
    for (int64_t m = slices_.begin(slice); m < slices_.end(slice); m += kDepth) {
      const int64_t pixels = std::min(kDepth, slices_.end(slice) - m), next = m + pixels, following = std::min(kDepth, slices_.count - next);
      const int64_t dy_bytes = following * k_ * 4, x_bytes = following * window_.stride * window_.stride * c_ * 4;  // of the next pixels
      const float* dy = dy_ + m * k_ + k;
      for (int64_t i = 0; i < pixels && !in_place_; ++i) std::memcpy(copy + i * pitch_, dy + i * k_, size_t(tall) * sizeof(float));
      int64_t call = 0;
      for (int64_t j = cuts_.begin(cut); j < cuts_.end(cut); ++j) {
        const int64_t tap = j / panels_of_tap_, c = j % panels_of_tap_ * kPanelColumns, n = std::min(kPanelColumns, c_ - c);
        gather(m, pixels, tap, c, n, panel);
        for (int64_t i = 0; i < tall; i += kPanelRows, ++call) {
          Ahead ahead = call < half ? Ahead::share(dy_ + next * k_, dy_bytes, call, half, pixels)
                                    : Ahead::share(seen_by(next), x_bytes, call - half, calls - half, pixels);
          multiply_panels(pixels, in_place_ ? dy + i : copy + i, in_place_ ? k_ : pitch_, panel,
                          sums + (k + i) * row + tap * c_ + c, row, std::min(kPanelRows, tall - i), n, m > slices_.begin(slice), ahead);
        }
      }
    }
  }

  const float* seen_by(int64_t pixel) const {
    int64_t row = pixel / across_;
    return x_ + (row / down_ * height_ + row % down_ * window_.stride) * width_ * c_ + pixel % across_ * window_.stride * c_;
  }

  // What a tap sees from pixels m.., channels c.. c + n: [pixels][kPanelColumns], zeros outside the image.
  void gather(int64_t m, int64_t pixels, int64_t tap, int64_t c, int64_t n, float* panel) const {
    const int64_t r = tap / filter_width_ - window_.pad, s = tap % filter_width_ - window_.pad;
    for (int64_t i = m; i < m + pixels;) {
      int64_t row = i / across_, q = i % across_, end = std::min(across_, q + m + pixels - i);
      int64_t h = row % down_ * window_.stride + r;
      const float* from = x_ + ((row / down_ * height_ + h) * width_ + s) * c_ + c;
      for (; q < end; ++q, ++i, panel += kPanelColumns) {
        int64_t w = q * window_.stride;
        bool inside = h >= 0 && h < height_ && w + s >= 0 && w + s < width_;
        for (int64_t part = 0; part < kPanelColumns; part += kLanes)
          store(panel + part, inside ? load_n(from + w * c_ + part, std::max<int64_t>(n - part, 0)) : V{});
      }
    }
  }

  const float *x_, *dy_;
  float* dw_;
  Window window_;
  int64_t height_, width_, down_, across_, c_, k_, taps_, filter_width_, panels_of_tap_;
  Chunks tall_, cuts_, slices_;  // of the filters, of the panels, of the pixels: each triple a task
  int64_t pitch_;
  bool in_place_;
};

}  // namespace

// Where panels are few, dy must be read where it lies.
bool fits(const Shape& w, DType type) {
  const bool many_panels = w[1] * w[2] > 1, in_place = w[0] <= kInPlace && w[3] <= 2 * kPanelColumns;
  return type == DType::f32 && !onednn::has_wider_vectors() && w[0] >= 32 && w[3] >= 32 && (many_panels || in_place);
}

void conv2d_dw(Context& context, In x, In dy, Out dw, Window window) { FilterGradient(x, dy, dw, window).run(context); }

}  // namespace plumage::cpu::tap_products
