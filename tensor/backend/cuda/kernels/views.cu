// Views of pictures, one block a view: a gather (crop, antialiased resize, flip, rotation, colours, normalisation, cast)
// and a blur. The numbers are those of data/augment.cpp: the resize bit for bit, since jitter would magnify what the 8
// bits after it lose otherwise. What passes between two sweeps of a block lies in memory that the block alone uses and
// the cache keeps. Arithmetic: tensor/view_steps.h.
#include "tensor/backend/cuda/device_code.h"
#include "tensor/backend/cuda/launch.h"
#include "tensor/picture_views.h"

namespace plumage::cuda {
namespace {

constexpr int kViewThreads = 512;

struct Colour {
  float r, g, b;
};

// --- pixels in scratch memory: 8 or 16 bits a channel

__device__ uint32_t packed8(int32_t r, int32_t g, int32_t b) { return uint32_t(r | g << 8 | b << 16); }
__device__ Colour unpacked(uint32_t pixel) {
  constexpr float kShare = 1 / 255.0f;
  return {float(pixel & 255) * kShare, float(pixel >> 8 & 255) * kShare, float(pixel >> 16 & 255) * kShare};
}
__device__ uint64_t packed16(const Colour& c) {
  auto level = [](float x) { return uint64_t(x * 65535 + 0.5f); };  // x in [0, 1]
  return level(c.r) | level(c.g) << 16 | level(c.b) << 32;
}
__device__ Colour unpacked(uint64_t pixel) {
  constexpr float kShare = 1 / 65535.0f;
  return {float(pixel & 65535) * kShare, float(pixel >> 16 & 65535) * kShare, float(pixel >> 32 & 65535) * kShare};
}

/// N neighbours, 16 bytes an access where N is 4.
template <int N, class T>
__device__ void load_run(const T* from, T (&to)[N]) {
  constexpr int kWide = N * sizeof(T) < 16 ? N : int(16 / sizeof(T));
  for (int k = 0; k < N; k += kWide) {
    Pack<T, kWide> pack = load<kWide>(from + k);
    for (int j = 0; j < kWide; ++j) to[k + j] = pack.v[j];
  }
}
template <int N, class T>
__device__ void store_run(T* to, const T (&from)[N]) {
  constexpr int kBytes = N * sizeof(T) % 16 == 0 ? 16 : N * sizeof(T) % 8 == 0 ? 8 : int(sizeof(T));
  constexpr int kWide = int(kBytes / sizeof(T));
  for (int k = 0; k < N; k += kWide) {
    Pack<T, kWide> pack;
    for (int j = 0; j < kWide; ++j) pack.v[j] = from[k + j];
    store(to + k, pack);
  }
}

// --- resize

/// Where the taps of output i of an axis (0: across, 1: down) of this block's view stand.
__device__ int32_t* taps_at(const ViewJob& job, int axis, int64_t i) {
  return job.weights + ((blockIdx.x * 2 + axis) * job.size + i) * (2 + job.taps);
}

__device__ void write_taps(const ViewJob& job, const ViewSlot& slot) {
  for (int64_t item = threadIdx.x; item < 2 * job.size; item += blockDim.x) {
    int axis = item < job.size ? 0 : 1;
    int64_t i = item - axis * job.size;
    views::Taps taps(axis ? slot.down : slot.across, i);
    int32_t* out = taps_at(job, axis, i);
    double sum = 0;
    for (int64_t t = 0; t < taps.count; ++t) sum += taps.weight(t);
    out[0] = int32_t(taps.first);
    out[1] = int32_t(taps.count);
    for (int64_t t = 0; t < taps.count; ++t)
      out[2 + t] = views::Taps::fixed(sum > 0 ? taps.weight(t) : double(t == 0), sum > 0 ? sum : 1);
  }
  __syncthreads();
}

struct Sums {
  int32_t r = 1 << (views::kPrecision - 1), g = r, b = r;
  __device__ void add(int32_t weight, int32_t red, int32_t green, int32_t blue) {
    r += weight * red;
    g += weight * green;
    b += weight * blue;
  }
  // Many rounded weights may add up to a little more than one.
  __device__ static int32_t level(int32_t sum) {
    sum >>= views::kPrecision;
    return sum < 255 ? sum : 255;
  }
  __device__ uint32_t pixel() const { return packed8(level(r), level(g), level(b)); }
};

/// Source rows from `top` on, each narrowed to the view's width.
__device__ void narrow_rows(const ViewJob& job, const ViewSlot& slot, int64_t top, int64_t rows, uint32_t* out) {
  for (int64_t item = threadIdx.x; item < rows * job.size; item += blockDim.x) {
    int64_t row = quotient(item, job.size), x = item - row * job.size;
    const int32_t* taps = taps_at(job, 0, x);
    const uint8_t* from = job.pictures + slot.first + (top + row) * slot.stride + int64_t(taps[0]) * 3;
    Sums sums;
    for (int32_t t = 0; t < taps[1]; ++t) sums.add(taps[2 + t], from[3 * t], from[3 * t + 1], from[3 * t + 2]);
    out[item] = sums.pixel();
  }
}

/// Rows y0 .. y1-1 of the view from the narrowed rows, the first of which is source row `top`.
__device__ void shorten_columns(const ViewJob& job, bool flip, int64_t y0, int64_t y1, int64_t top,
                                const uint32_t* narrowed, uint32_t* out) {
  for (int64_t item = threadIdx.x; item < (y1 - y0) * job.size; item += blockDim.x) {
    int64_t y = y0 + quotient(item, job.size), x = item - (y - y0) * job.size;
    const int32_t* taps = taps_at(job, 1, y);
    const uint32_t* from = narrowed + (taps[0] - top) * job.size + x;
    Sums sums;
    for (int32_t t = 0; t < taps[1]; ++t) {
      uint32_t pixel = from[t * job.size];
      sums.add(taps[2 + t], int32_t(pixel & 255), int32_t(pixel >> 8 & 255), int32_t(pixel >> 16 & 255));
    }
    out[y * job.size + (flip ? job.size - 1 - x : x)] = sums.pixel();
  }
}

/// A few rows of the view at a time, so that what lies between the two passes is small whatever the picture's size.
__device__ void resize(const ViewJob& job, const ViewSlot& slot, uint32_t* resized) {
  uint32_t* narrowed = job.narrowed + int64_t(blockIdx.x) * job.rows * job.size;
  for (int64_t y0 = 0, y1; y0 < job.size; y0 = y1) {
    int64_t top = taps_at(job, 1, y0)[0], bottom = top;
    for (y1 = y0; y1 < job.size; ++y1) {
      const int32_t* taps = taps_at(job, 1, y1);
      if (taps[0] + taps[1] - top > job.rows) break;
      bottom = taps[0] + taps[1];
    }
    narrow_rows(job, slot, top, bottom - top, narrowed);
    __syncthreads();
    shorten_columns(job, slot.flip, y0, y1, top, narrowed, resized);
    __syncthreads();
  }
}

// --- colours

__device__ Colour turned(const uint32_t* resized, const ViewSlot& slot, int64_t size, int64_t i) {
  int64_t y = quotient(i, size), x = i - y * size;
  float middle = float(size - 1) / 2, dx = float(x) - middle, dy = float(y) - middle;
  float from_x = views::mirror_coordinate(middle + slot.cosine * dx - slot.sine * dy, size);
  float from_y = views::mirror_coordinate(middle + slot.sine * dx + slot.cosine * dy, size);
  int64_t x0 = int64_t(std::floor(from_x)), y0 = int64_t(std::floor(from_y));
  float right = from_x - float(x0), below = from_y - float(y0);
  int64_t x1 = x0 + 1 < size ? x0 + 1 : size - 1, y1 = y0 + 1 < size ? y0 + 1 : size - 1;
  x0 = x0 < 0 ? 0 : x0;
  y0 = y0 < 0 ? 0 : y0;
  Colour a = unpacked(resized[y0 * size + x0]), b = unpacked(resized[y0 * size + x1]);
  Colour c = unpacked(resized[y1 * size + x0]), d = unpacked(resized[y1 * size + x1]);
  auto between = [&](float upper_left, float upper_right, float lower_left, float lower_right) {
    float above = upper_left + right * (upper_right - upper_left), under = lower_left + right * (lower_right - lower_left);
    return above + below * (under - above);
  };
  return {between(a.r, b.r, c.r, d.r), between(a.g, b.g, c.g, d.g), between(a.b, b.b, c.b, d.b)};
}

/// N pixels from pixel i on, turned if the view is.
template <int N>
__device__ void load_colours(const uint32_t* resized, const ViewSlot& slot, int64_t size, int64_t i, Colour (&px)[N]) {
  if (slot.rotate) {
    for (int k = 0; k < N; ++k) px[k] = turned(resized, slot, size, i + k);
  } else {
    uint32_t pixels[N];
    load_run(resized + i, pixels);
    for (int k = 0; k < N; ++k) px[k] = unpacked(pixels[k]);
  }
}

__device__ void blend_constant(Colour& c, float factor, float other) {
  float rest = (1 - factor) * other;
  c = {views::unit(factor * c.r + rest), views::unit(factor * c.g + rest), views::unit(factor * c.b + rest)};
}

/// Steps begin .. end-1 of the jitter.
__device__ void jitter(Colour& c, const ViewSlot& slot, int begin, int end, float mean) {
  for (int k = begin; k < end; ++k) {
    ColourStep step = slot.order[size_t(k)];
    if (step == ColourStep::brightness) blend_constant(c, slot.brightness, 0);
    if (step == ColourStep::contrast) blend_constant(c, slot.contrast, mean);
    if (step == ColourStep::saturation) views::blend_luminance(c.r, c.g, c.b, slot.saturation);
    if (step == ColourStep::hue) views::turn_hue(c.r, c.g, c.b, slot.hue);
  }
}

/// The picture's mean luminance after the first `steps` steps, which contrast blends with.
template <int N>
__device__ float mean_luminance(const ViewJob& job, const ViewSlot& slot, const uint32_t* resized, int steps) {
  float sum = 0;
  for (int64_t i = int64_t(threadIdx.x) * N; i < job.size * job.size; i += int64_t(blockDim.x) * N) {
    Colour px[N];
    load_colours(resized, slot, job.size, i, px);
    for (int k = 0; k < N; ++k) {
      jitter(px[k], slot, 0, steps, 0);
      sum += views::luminance(px[k].r, px[k].g, px[k].b);
    }
  }
  return float(block_reduce(double(sum), Plus{}) / double(job.size * job.size));
}

// --- the view

/// Noise of N values from value i on: in a run of the generator if i is a multiple of N.
template <int N>
__device__ void add_noise(const ViewJob& job, const ViewSlot& slot, int64_t i, float (&values)[N]) {
  auto words = philox({slot.noise_seed, Purpose::augment, 0}, uint64_t(i / 8));
  for (int k = 0; k < N; ++k) values[k] += slot.noise * job.levels[views::normal_level(words, i % 8 + k)];
}

/// Noise, normalisation and cast of N pixels from pixel i on.
template <class T, int kChannels, int N>
__device__ void store_view(const ViewJob& job, const ViewSlot& slot, int64_t i, const Colour (&px)[N]) {
  const int64_t pixels = job.size * job.size;
  T out[N * kChannels];
  for (int c = 0; c < 3; ++c) {
    float values[N];
    for (int k = 0; k < N; ++k) values[k] = c == 0 ? px[k].r : c == 1 ? px[k].g : px[k].b;
    if (slot.noise > 0) add_noise(job, slot, c * pixels + i, values);
    for (int k = 0; k < N; ++k)
      out[k * kChannels + c] = T((values[k] - job.colours.mean[size_t(c)]) * job.colours.scale[size_t(c)]);
  }
  for (int k = 0; k < N && kChannels == 4; ++k) out[k * kChannels + kChannels - 1] = T(0.0f);
  store_run(static_cast<T*>(job.out) + (int64_t(blockIdx.x) * pixels + i) * kChannels, out);
}

template <class T, int kChannels, int N>
__global__ void __launch_bounds__(kViewThreads) views_gather_kernel(ViewJob job) {
  const ViewSlot slot = job.slots[blockIdx.x];
  const int64_t pixels = job.size * job.size;
  uint32_t* resized = job.resized + int64_t(blockIdx.x) * pixels;
  write_taps(job, slot);
  resize(job, slot, resized);

  int steps = slot.jitter ? 4 : 0, contrast = 0;
  while (contrast < steps && slot.order[size_t(contrast)] != ColourStep::contrast) ++contrast;
  float mean = contrast < steps ? mean_luminance<N>(job, slot, resized, contrast) : 0;
  for (int64_t i = int64_t(threadIdx.x) * N; i < pixels; i += int64_t(blockDim.x) * N) {
    Colour px[N];
    load_colours(resized, slot, job.size, i, px);
    for (int k = 0; k < N; ++k) {
      jitter(px[k], slot, 0, steps, mean);
      if (slot.grayscale) views::blend_luminance(px[k].r, px[k].g, px[k].b, 0);
    }
    if (slot.sigma > 0) {
      uint64_t sharp[N];
      for (int k = 0; k < N; ++k) sharp[k] = packed16(px[k]);
      store_run(job.sharp + slot.blur * pixels + i, sharp);
    } else {
      store_view<T, kChannels>(job, slot, i, px);
    }
  }
}

// --- blur

constexpr int kLargestRadius = int(4 * kLargestSigma);

__device__ int64_t mirrored(int64_t i, int64_t n) { return i >= 0 && i < n ? i : views::mirror(i, n); }

__device__ void add(Colour& sum, float weight, const Colour& c) {
  sum.r += weight * c.r;
  sum.g += weight * c.g;
  sum.b += weight * c.b;
}

/// weight[t] of a pixel at distance t, for t < radius + N: zeros beyond the radius. Returns the radius.
template <int N>
__device__ int blur_weights(float sigma, float* weight) {
  int radius = int(std::ceil(4 * sigma));
  radius = radius > 1 ? radius : 1;
  double sum = 0;
  for (int t = int(threadIdx.x); t <= radius; t += int(blockDim.x)) {
    double distance = double(t) / double(sigma);
    weight[t] = float(std::exp(-0.5 * distance * distance));
    sum += (t ? 2 : 1) * double(weight[t]);
  }
  sum = block_reduce(sum, Plus{});
  for (int t = int(threadIdx.x); t < radius + N; t += int(blockDim.x)) weight[t] = t <= radius ? float(double(weight[t]) / sum) : 0;
  __syncthreads();
  return radius;
}

/// Along rows: N neighbours share what they read.
template <int N>
__device__ void blur_rows(const uint64_t* in, int64_t size, int radius, const float* weight, uint64_t* out) {
  for (int64_t i = int64_t(threadIdx.x) * N; i < size * size; i += int64_t(blockDim.x) * N) {
    int64_t y = quotient(i, size), x = i - y * size;
    const uint64_t* row = in + y * size;
    Colour sum[N] = {};
    for (int t = -radius; t < radius + N; ++t) {
      Colour c = unpacked(row[mirrored(x + t, size)]);
      for (int k = 0; k < N; ++k) {
        int distance = t < k ? k - t : t - k;
        add(sum[k], weight[distance < radius + N ? distance : radius + N - 1], c);
      }
    }
    uint64_t blurred[N];
    for (int k = 0; k < N; ++k) blurred[k] = packed16({views::unit(sum[k].r), views::unit(sum[k].g), views::unit(sum[k].b)});
    store_run(out + i, blurred);
  }
}

template <class T, int kChannels, int N>
__global__ void __launch_bounds__(kViewThreads) views_blur_kernel(ViewJob job) {
  const ViewSlot slot = job.slots[blockIdx.x];
  if (!(slot.sigma > 0)) return;
  PLUMAGE_SHARED(float, weight, kLargestRadius + 8);
  const int64_t size = job.size, pixels = size * size;
  const uint64_t* sharp = job.sharp + slot.blur * pixels;
  uint64_t* half = job.sharp + (job.blurs + slot.blur) * pixels;
  int radius = blur_weights<N>(slot.sigma, weight);
  blur_rows<N>(sharp, size, radius, weight, half);
  __syncthreads();
  for (int64_t i = int64_t(threadIdx.x) * N; i < pixels; i += int64_t(blockDim.x) * N) {
    int64_t y = quotient(i, size), x = i - y * size;
    Colour sum[N] = {};
    for (int t = -radius; t <= radius; ++t) {
      uint64_t line[N];
      load_run(half + mirrored(y + t, size) * size + x, line);
      for (int k = 0; k < N; ++k) add(sum[k], weight[t < 0 ? -t : t], unpacked(line[k]));
    }
    store_view<T, kChannels>(job, slot, i, sum);
  }
}

template <class T, int kChannels, int N>
void launch_views(Context& context, const ViewJob& job) {
  dim3 grid(grid_size(job.views));
  launch(views_gather_kernel<T, kChannels, N>, grid, kViewThreads, 0, stream(context), job);
  if (job.blurs > 0) launch(views_blur_kernel<T, kChannels, N>, grid, kViewThreads, 0, stream(context), job);
}

template <class T, int kChannels>
void launch_views(Context& context, const ViewJob& job) {
  bool packs = job.size % 4 == 0 && reinterpret_cast<uintptr_t>(job.out) % 16 == 0;
  packs ? launch_views<T, kChannels, 4>(context, job) : launch_views<T, kChannels, 1>(context, job);
}

}  // namespace
}  // namespace plumage::cuda

void plumage::accelerator::make_views(Context& context, const ViewJob& job) {
  bool half = job.dtype == DType::bf16, padded = job.channels == 4;
  if (half) padded ? cuda::launch_views<bf16, 4>(context, job) : cuda::launch_views<bf16, 3>(context, job);
  else padded ? cuda::launch_views<float, 4>(context, job) : cuda::launch_views<float, 3>(context, job);
}
