// plumage info: what this build is, what this machine does, every op and every key.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>

#include "cli/commands.h"
#include "cli/config.h"
#include "cli/device.h"
#include "data/dataset.h"
#include "tensor/context.h"
#include "tensor/env.h"
#include "tensor/ops.h"

namespace plumage {

namespace {

// Both types in turn until half a second is over or each has had ten tries, so that neither has the quieter moments;
// the best of each counts, as what else runs on the machine can only slow one down.
void print_matmul_rates() {
  using Clock = std::chrono::steady_clock;
  auto seconds_since = [](Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); };
  constexpr int64_t n = 1024;
  constexpr double flops = 2.0 * n * n * n;
  constexpr DType types[] = {DType::f32, DType::bf16};
  double best[2] = {};
  Clock::time_point start = Clock::now();
  Tensor a[2], b[2];
  for (size_t t = 0; t < 2; ++t) {
    a[t] = ops::normal({n, n}, {1}, 0, 1, types[t]);
    b[t] = ops::normal({n, n}, {2}, 0, 1, types[t]);
    ops::matmul(a[t], b[t]);  // what is set up at the first call
  }
  for (int i = 0; i < 10 && (i < 1 || seconds_since(start) < 0.5); ++i) {
    for (size_t t = 0; t < 2; ++t) {
      Clock::time_point call = Clock::now();
      ops::matmul(a[t], b[t]);
      best[t] = std::max(best[t], flops / seconds_since(call) * 1e-9);
    }
  }
  double ratio = best[0] / best[1];
  std::printf("matmul       f32 %.0f GFLOP/s, bf16 %.0f GFLOP/s: ", best[0], best[1]);
  if (ratio > 0.95 && ratio < 1.05) std::printf("equally fast here; f32 is the more exact\n");
  else std::printf("%s is %.1f times as fast here\n", ratio > 1 ? "f32" : "bf16", std::max(ratio, 1 / ratio));
}

void print_build() {
  bool onednn = cpu::strategy(Op::conv2d).find("oneDNN") != std::string_view::npos;
  std::printf("plumage 0.1.0\n");
  std::printf("convolution  %s\n", onednn ? "oneDNN" : "own kernels: built without oneDNN, slower");
#ifdef PLUMAGE_HAS_JPEG
  std::printf("JPEG         libjpeg-turbo\n");
#else
  std::printf("JPEG         not built in: PNG, BMP and PPM only\n");
#endif
#ifdef PLUMAGE_HAS_MATIO
  std::printf("MATLAB       matio\n");
#else
  std::printf("MATLAB       not built in: no Stanford Cars\n");
#endif
  print_devices();
  std::printf("threads      %d\n", Context::cpu().threads());
  std::string kinds;
  for (const std::string& kind : dataset_kinds()) kinds += (kinds.empty() ? "" : ", ") + kind;
  std::printf("data sets    %s\n", kinds.c_str());
  if (std::string env = environment_summary(); !env.empty()) std::printf("environment  %s\n", env.c_str());
  print_matmul_rates();
}

void print_ops() {
  for (const OpInfo& op : op_list()) {
    std::string_view how = cpu::strategy(op.op);
    std::printf("%-22s cpu: %-82s backward keeps: %s\n", std::string(op.name).c_str(), std::string(how).c_str(), std::string(op.keeps).c_str());
  }
}

}  // namespace

void add_info(CLI::App& program) {
  auto* command = program.add_subcommand("info", "what this build holds and this machine does");
  command->footer("Example: plumage info --keys");
  auto ops = std::make_shared<bool>(false), keys = std::make_shared<bool>(false);
  command->add_flag("--ops", *ops, "every op, and how the CPU computes it");
  command->add_flag("--keys", *keys, "every configuration key with its default");
  command->callback([ops, keys] {
    if (*keys) std::cout << config_help();
    else if (*ops) print_ops();
    else print_build();
  });
}

}  // namespace plumage
