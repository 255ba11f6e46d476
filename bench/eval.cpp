// Evaluation by cached features: retrieval and kNN of a set against itself beside the time that its products
// alone would take at the matmul rate of the same run; then the linear probe by L-BFGS.
//   build/bench/eval [--items N] [--width n] [--classes C] [--probe-items N] [--only retrieval|knn|probe]
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "bench/measure.h"
#include "eval/knn.h"
#include "eval/linear_probe.h"
#include "eval/retrieval.h"
#include "tensor/context.h"

namespace plumage::bench {
namespace {

struct Options {
  int64_t items = 20000, width = 2048, classes = 200, probe_items = 6000;
  std::string only;
};

// Classes as directions with noise: unit features of which some are told apart and some are not, as real
// ones.
Features clusters(int64_t items, const Options& options, double noise) {
  Tensor centres = random({options.classes, options.width});
  Features f;
  f.v = random({items, options.width});
  f.labels = Tensor::empty({items}, DType::i64);
  for (int64_t i = 0; i < items; ++i) {
    f.labels.data<int64_t>()[i] = i % options.classes;
    float* v = f.v.data<float>() + i * options.width;
    const float* centre = centres.data<float>() + i % options.classes * options.width;
    for (int64_t j = 0; j < options.width; ++j) v[j] = centre[j] + float(noise) * v[j];
  }
  return f;
}

template <class F>
double time_of(F&& f) {
  double start = now();
  f();
  return now() - start;
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_maxrss) / 1024;
}

void report(const char* name, int64_t items, double seconds, double floor) {
  std::printf("%-34s %8.2f s %10.0f queries/s, floor %.2f s: %.2f of it; peak %.0f MB\n", name, seconds,
              double(items) / seconds, floor, floor / seconds, peak_megabytes());
  std::fflush(stdout);
}

void search(const Options& options, double gflops) {
  Features f = clusters(options.items, options, 8);
  double floor = 2e-9 * double(options.items) * double(options.items) * double(options.width) / gflops;
  std::printf("%ld x %ld features of %ld numbers, %ld classes; the features themselves are %.0f MB\n",
              long(options.items), long(options.items), long(options.width), long(options.classes),
              double(f.v.bytes()) * 1e-6);
  if (options.only != "knn") {
    double map = 0, seconds = time_of([&] { map = retrieve(f).map; });
    report("retrieval (ranks and mAP)", options.items, seconds, floor);
    std::printf("  mAP %.6f\n", map);
  }
  if (options.only != "retrieval") {
    double top1 = 0, seconds = time_of([&] { top1 = knn_top1(f); });
    report("kNN, k = 200", options.items, seconds, floor);
    std::printf("  top-1 %.6f\n", top1);
  }
}

void probe(const Options& options) {
  Features f = clusters(options.probe_items, options, 8);
  double products = 4e-9 * double(options.probe_items) * double(options.width) * double(options.classes);
  for (std::vector<double> penalties : {std::vector<double>{1e-4}, ProbeOptions{}.penalties}) {
    LinearProbe fitted;
    double seconds = time_of([&] { fitted = train_probe(f, {.solver = "lbfgs", .penalties = penalties}); });
    std::printf(
        "linear probe, L-BFGS, %ld x %ld, %ld classes, %zu penalt%s %8.2f s; one product pair %.2f GFLOP; "
        "loss %.6f\n",
        long(options.probe_items), long(options.width), long(options.classes), penalties.size(),
        penalties.size() == 1 ? "y: " : "ies:", seconds, products, fitted.loss);
  }
}

int run(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string word = argv[i], value = argv[i + 1];
    if (word == "--items")
      options.items = std::atoll(value.c_str());
    else if (word == "--width")
      options.width = std::atoll(value.c_str());
    else if (word == "--classes")
      options.classes = std::atoll(value.c_str());
    else if (word == "--probe-items")
      options.probe_items = std::atoll(value.c_str());
    else if (word == "--only")
      options.only = value;
    else {
      std::fprintf(stderr, "eval: unknown option %s\n", word.c_str());
      return 2;
    }
  }
  double gflops = matmul_gflops();
  std::printf("%d threads: matmul 2048 %.0f GFLOP/s\n", Context::cpu().threads(), gflops);
  if (options.only != "probe") search(options, gflops);
  if (options.only.empty() || options.only == "probe") probe(options);
  return 0;
}

}  // namespace
}  // namespace plumage::bench

int main(int argc, char** argv) { return plumage::bench::run(argc, argv); }
