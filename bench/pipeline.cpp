// Views a second and core from decoded pictures, step by step, beside the rate at which memory is copied; and
// what the loader's threads take from a training step that runs beside them.
//   build/bench/pipeline [--px P] [--width W] [--height H] [--seconds S]
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>

#include "bench/measure.h"
#include "data/augment.h"
#include "data/cache.h"
#include "data/loader.h"
#include "data/recolour.h"
#include "data/resize.h"
#include "tensor/context.h"

namespace plumage::bench {
namespace {

struct Options {
  int64_t px = 0, width = 500, height = 375;  // px 0: both 224 and 64
  double seconds = 0.7;                       // each rate
};

// Of this thread alone: what other programs take is not in it.
double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + double(t.tv_nsec) * 1e-9;
}

std::vector<Image> pictures(const Options& options) {
  std::vector<Image> out;
  for (int64_t i = 0; i < 24; ++i) {
    Image image(options.width, options.height);
    Tensor noise = random({options.height, options.width, 3});
    for (size_t j = 0; j < image.rgb.size(); ++j)
      image.rgb[j] = uint8_t(std::clamp(128 + 50 * noise.data<float>()[j], 0.f, 255.f));
    out.push_back(std::move(image));
  }
  return out;
}

// Calls f(i) for i = 0, 1, .. and returns how often a second.
template <class F>
double rate(double seconds, F&& f) {
  int64_t i = 0;
  for (; i < 8; ++i) f(i);
  double start = cpu_seconds(), spent = 0;
  int64_t done = 0;
  for (; spent < seconds; spent = cpu_seconds() - start)
    for (int64_t end = i + 8; i < end; ++i, ++done) f(i);
  return double(done) / spent;
}

void augmentation(const Options& options, int64_t px, double copy) {
  std::vector<Image> images = pictures(options);
  auto image = [&](int64_t i) -> const Image& { return images[size_t(i) % images.size()]; };
  auto drawn = [&](int64_t i) { return draw({}, {1, 0, uint64_t(i), 0}, options.width, options.height); };
  std::vector<float> out(size_t(px * px * 3));
  // Once read, once written: the crop (on average half of the picture's bytes), the view.
  double bytes = 0.49 * double(options.width * options.height * 3) + double(out.size() * 4);
  auto report = [&](const char* name, double per_second) {
    std::printf("  %-34s %8.0f\n", name, per_second);
  };
  std::printf("%ld x %ld to %ld px, images/s of one core\n", long(options.width), long(options.height),
              long(px));
  report("floor: bytes over the copy rate", copy * 1e9 / bytes);
  report("MoCo v2's augmentation",
         rate(options.seconds, [&](int64_t i) { apply(image(i), drawn(i), px, out.data()); }));
  report("  draw", rate(options.seconds, [&](int64_t i) { drawn(i); }));
  Image small;
  report("  crop and resize", rate(options.seconds, [&](int64_t i) {
           AugmentParameters p = drawn(i);
           small = resize(crop(image(i), p.left, p.top, p.width, p.height), px, px);
         }));
  Planes planes(small, false);
  report("  to planes", rate(options.seconds, [&](int64_t i) { planes = Planes(small, i % 2); }));
  report("  jitter (always)", rate(options.seconds, [&](int64_t i) {
           AugmentOptions always;
           always.jitter = 1;
           recolour(planes, draw(always, {1, 0, uint64_t(i), 0}, 500, 375));
         }));
  report("  blur (always)",
         rate(options.seconds, [&](int64_t i) { blur(planes, float(0.1 + double(i % 20) * 0.1)); }));
  report("  normalise", rate(options.seconds, [&](int64_t) { planes.store(out.data(), {}); }));
  report("resize and centre crop", rate(options.seconds, [&](int64_t i) {
           plain_view(image(i), px, out.data(), {}, usual_short_side(px));
         }));
}

// Products and sums of a few milliseconds each, on all threads: what a training step does with the cores.
void stand_in_step(const Tensor& a, const Tensor& b) {
  for (int i = 0; i < 20; ++i) {
    Tensor product = ops::matmul(a, b);
    ops::relu(ops::add(product, a));
  }
}

// Steps alone, batches alone (all cores work for them), and steps that take their batches from the loader.
// Nothing is lost where the last takes as long as the first two together, and less is possible only where a
// step leaves cores idle.
void loader_beside_steps(const Options& options) {
  auto folder = std::filesystem::temp_directory_path() / ("plumage-bench-" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  Dataset dataset;
  dataset.name = "bench";
  for (const Image& image : pictures(options)) {
    auto path = folder / (std::to_string(dataset.samples.size()) + ".ppm");
    std::ofstream(path, std::ios::binary) << "P6 " << image.width << " " << image.height << " 255\n"
                                          << std::string(image.rgb.begin(), image.rgb.end());
    dataset.samples.push_back({path, -1});
  }
  ImageCache cache(dataset);
  std::filesystem::remove_all(folder);
  std::vector<View> plan;
  for (const char* name : {"first", "second"})
    plan.push_back({name, 224, 224, [](const Image& image, const ViewKey& key, float* out) {
                      apply(image, draw({}, key, image.width, image.height), 224, out);
                    }});
  LoaderOptions loading;
  loading.batch = 24;
  Tensor a = random({1024, 1024}), b = random({1024, 1024});
  constexpr int kSteps = 12;
  auto batches = [&](bool with_steps) {
    Loader loader(cache, plan, loading);
    loader.next();  // the first is waited for in any case
    double start = now();
    for (int i = 0; i < kSteps; ++i) {
      if (with_steps) stand_in_step(a, b);
      loader.next();
    }
    return now() - start;
  };
  stand_in_step(a, b);
  double start = now();
  for (int i = 0; i < kSteps; ++i) stand_in_step(a, b);
  double steps = now() - start, loads = batches(false), together = batches(true);
  std::printf(
      "loader beside steps, %d threads: steps %.2f s, batches %.2f s, together %.2f s: %.2f of their sum\n",
      Context::cpu().threads(), steps, loads, together, together / (steps + loads));
}

int run(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string word = argv[i];
    double value = std::atof(argv[i + 1]);
    if (word == "--px")
      options.px = int64_t(value);
    else if (word == "--width")
      options.width = int64_t(value);
    else if (word == "--height")
      options.height = int64_t(value);
    else if (word == "--seconds")
      options.seconds = value;
    else {
      std::fprintf(stderr, "pipeline: unknown option %s\n", word.c_str());
      return 2;
    }
  }
  int threads = Context::cpu().threads();
  Context::cpu().set_threads(1);
  double copy = copy_gbs();
  std::printf("copy %.1f GB/s\n", copy);
  for (int64_t px : options.px ? std::vector<int64_t>{options.px} : std::vector<int64_t>{224, 64})
    augmentation(options, px, copy);
  Context::cpu().set_threads(threads);
  loader_beside_steps(options);
  return 0;
}

}  // namespace
}  // namespace plumage::bench

int main(int argc, char** argv) { return plumage::bench::run(argc, argv); }
