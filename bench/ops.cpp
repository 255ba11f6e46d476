// Rates of the ops that a training step is made of, beside the rates of the machine in the same run:
//   build/bench/ops [--arch resnet18|resnet50] [--px P] [--batch B] [--compute auto|f32|tf32|bf16]
//                   [--device cpu|cuda:N]
#include <array>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <string>

#include "bench/measure.h"
#include "tensor/context.h"

namespace plumage::bench {
namespace {

struct Conv { int64_t in, out, kernel, stride, px; int count, up = 1; };

// The convolutions of torchvision's ResNets; px: size of the input.
std::vector<Conv> convolutions(bool bottleneck, int64_t px) {
  int64_t a = px / 4, b = px / 8, c = px / 16, d = px / 32;
  if (bottleneck)
    return {{3, 64, 7, 2, px, 1}, {64, 64, 1, 1, a, 1}, {64, 64, 3, 1, a, 3}, {64, 256, 1, 1, a, 4}, {256, 64, 1, 1, a, 2},
            {256, 128, 1, 1, a, 1}, {128, 128, 3, 2, a, 1}, {256, 512, 1, 2, a, 1}, {128, 512, 1, 1, b, 4}, {512, 128, 1, 1, b, 3},
            {128, 128, 3, 1, b, 3}, {512, 256, 1, 1, b, 1}, {256, 256, 3, 2, b, 1}, {512, 1024, 1, 2, b, 1},
            {256, 1024, 1, 1, c, 6}, {1024, 256, 1, 1, c, 5}, {256, 256, 3, 1, c, 5}, {1024, 512, 1, 1, c, 1},
            {512, 512, 3, 2, c, 1}, {1024, 2048, 1, 2, c, 1}, {512, 2048, 1, 1, d, 3}, {2048, 512, 1, 1, d, 2}, {512, 512, 3, 1, d, 2}};
  return {{3, 64, 7, 2, px, 1}, {64, 64, 3, 1, a, 4}, {64, 128, 3, 2, a, 1}, {64, 128, 1, 2, a, 1}, {128, 128, 3, 1, b, 3},
          {128, 256, 3, 2, b, 1}, {128, 256, 1, 2, b, 1}, {256, 256, 3, 1, c, 3}, {256, 512, 3, 2, c, 1},
          {256, 512, 1, 2, c, 1}, {512, 512, 3, 1, d, 3}};
}

// Those of step.cpp's residual decoder; px: size of the picture.
std::vector<Conv> decoder_convolutions(bool bottleneck, int64_t px) {
  std::vector<Conv> list;
  int64_t in = bottleneck ? 256 : 192, size = px / 32;
  for (int64_t out : bottleneck ? std::array<int64_t, 5>{256, 128, 64, 32, 16} : std::array<int64_t, 5>{192, 96, 48, 32, 16}) {
    list.insert(list.end(), {{in, out, 3, 1, size, 1, 2}, {in, out, 1, 1, size, 1}, {out, out, 3, 1, 2 * size, 1}});
    in = out, size *= 2;
  }
  list.push_back({in, 3, 3, 1, size, 1});
  return list;
}

struct Floor { double gflops, gbs; };

Device device;  // of all tensors

Tensor drawn(const Shape& shape, DType dtype) { return random(shape, dtype, device); }
template <class F>
double time_of(F&& f) { return seconds_of(f, 5, device); }

// Of `network`. A map that is seen doubled is "up 2".
void convolution_rates(const char* network, const std::vector<Conv>& list, int64_t batch, DType dtype, Floor floor) {
  double total[3] = {}, flops_of_all = 0;
  std::printf("%-34s %21s %21s %21s   ms, GFLOP/s\n", network, "forward", "gradient of x", "gradient of w");
  for (const Conv& c : list) {
    int64_t pad = c.kernel / 2;
    Tensor x = drawn({batch, c.px, c.px, c.in}, dtype), w = drawn({c.out, c.kernel, c.kernel, c.in}, dtype);
    Tensor y = ops::conv2d(x, w, c.stride, pad, c.up);
    double flops = 2 * double(y.count()) * double(c.in * c.kernel * c.kernel);
    double t[3] = {time_of([&] { ops::conv2d(x, w, c.stride, pad, c.up); }),
                   c.in == 3 ? 0 : time_of([&] { ops::conv2d_dx(y, w, x.shape(), c.stride, pad, {}, c.up); }),
                   time_of([&] { ops::conv2d_dw(x, y, w.shape(), c.stride, pad, c.up); })};
    std::printf("%4ld -> %4ld  k%ld s%ld  %3ld px  x%d %-4s", long(c.in), long(c.out), long(c.kernel), long(c.stride), long(c.px), c.count,
                c.up > 1 ? "up 2" : "");
    for (int i = 0; i < 3; ++i) {
      std::printf(" %12.2f %8.0f", t[i] * 1e3, t[i] > 0 ? flops / t[i] * 1e-9 : 0.);
      total[i] += t[i] * c.count;
      flops_of_all += t[i] > 0 ? flops * c.count : 0;
    }
    std::printf("\n");
  }
  double all = total[0] + total[1] + total[2];
  std::printf("all: %.1f + %.1f + %.1f = %.1f ms, %.2f of the matmul rate\n", total[0] * 1e3, total[1] * 1e3, total[2] * 1e3,
              all * 1e3, flops_of_all / all * 1e-9 / floor.gflops);
}

void memory_rate(const char* name, const Shape& shape, double tensors, int64_t element, double seconds, Floor floor) {
  double rate = tensors * double(shape.count() * element) * 1e-9 / seconds;
  std::printf("%-34s %-22s %8.2f ms %8.1f GB/s, %.2f of copying\n", name, shape.str().c_str(), seconds * 1e3, rate, rate / floor.gbs);
}

// Bytes are those of the tensors that must be read or written at least once a pass.
void memory_rates(const Shape& shape, DType dtype, Floor floor) {
  int64_t channels = shape[-1], element = size_of(dtype);
  Tensor x = drawn(shape, dtype), residual = drawn(shape, dtype), dy = drawn(shape, dtype);
  ops::Moments m = ops::batch_norm_stats(x);
  ops::NormArguments norm{m.mean, m.variance, Tensor::full({channels}, 1, DType::f32, device), Tensor::full({channels}, 0, DType::f32, device), 1e-5, Activation::relu, true};
  Tensor y = ops::batch_norm_apply(x, residual, norm);
  auto report = [&](const char* name, double tensors, auto&& f) { memory_rate(name, shape, tensors, element, time_of(f), floor); };
  report("batch norm statistics", 1, [&] { ops::batch_norm_stats(x); });
  report("batch norm + relu", 2, [&] { ops::batch_norm_apply(x, {}, norm); });
  report("batch norm + residual + relu", 3, [&] { ops::batch_norm_apply(x, residual, norm); });
  report("its gradient", 5, [&] { ops::batch_norm_bwd(x, {}, dy, norm, false); });
  report("its gradient, with residual", 7, [&] { ops::batch_norm_bwd(x, y, dy, norm, true); });
  report("add", 3, [&] { ops::add(x, dy); });
  report("accumulate", 3, [&] { ops::accumulate(dy, x); });
  report("relu", 2, [&] { ops::relu(x); });
  report("sum over all but channels", 1, [&] { ops::sum_to(x, {channels}); });
}

int run(int argc, char** argv) {
  bool bottleneck = true;
  int64_t px = 224, batch = 16;
  ComputeType type = ComputeType::automatic;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (word == "--arch") bottleneck = value != "resnet18";
    else if (word == "--px") px = std::atoll(value.c_str());
    else if (word == "--batch") batch = std::atoll(value.c_str());
    else if (word == "--compute") type = compute_type_of(value);
    else if (word == "--device") device = device_of(value);
    else { std::fprintf(stderr, "ops: unknown option %s\n", word.c_str()); return 2; }
    ++i;
  }
  if (px < 32 || batch < 1) { std::fprintf(stderr, "ops: --px must be at least 32 and --batch 1\n"); return 2; }
  DType dtype = use_compute_type(device, type);
  Floor floor{matmul_gflops(dtype, device), copy_gbs(device)};
  std::printf("%s, %d threads, %s: matmul %.0f GFLOP/s, copy %.1f GB/s\n\n", device.str().c_str(), Context::cpu().threads(),
              std::string(name_of(used_compute_type(device, dtype))).c_str(), floor.gflops, floor.gbs);
  convolution_rates("encoder", convolutions(bottleneck, px), batch, dtype, floor);
  std::printf("\n");
  convolution_rates("decoder", decoder_convolutions(bottleneck, px), batch, dtype, floor);
  std::printf("\n");
  memory_rates({batch, px / 4, px / 4, bottleneck ? 256 : 64}, dtype, floor);
  Tensor logits = drawn({128, 65537}, dtype), labels = Tensor::zeros({128}, DType::i64, device);
  auto [loss, lse] = ops::cross_entropy(logits, labels);
  Tensor row_lse = lse, ones = Tensor::full({128}, 1, dtype, device), keys = drawn({65536, 128}, dtype), q = drawn({128, 128}, dtype);
  memory_rate("cross-entropy", logits.shape(), 1, size_of(dtype), time_of([&] { ops::cross_entropy(logits, labels); }), floor);
  memory_rate("its gradient", logits.shape(), 2, size_of(dtype), time_of([&] { ops::cross_entropy_bwd(logits, labels, row_lse, ones); }), floor);
  double t = time_of([&] { ops::matmul(q, keys, false, true); });
  std::printf("queries x keys, 128 x 128 x 65536: %.2f ms, %.0f GFLOP/s\n", t * 1e3, 2. * 128 * 128 * 65536 / t * 1e-9);
  return 0;
}

}  // namespace
}  // namespace plumage::bench

int main(int argc, char** argv) { return plumage::bench::run_bench(argc, argv, plumage::bench::run); }
