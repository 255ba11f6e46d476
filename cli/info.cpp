// plumage info: what this build is, what this machine does, every op and every key.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>

#include "cli/commands.h"
#include "cli/config.h"
#include "data/dataset.h"
#include "tensor/context.h"
#include "tensor/env.h"
#include "tensor/ops.h"

namespace plumage {

namespace {

// GFLOP/s of the product of two n x n matrices, the best of five.
double matmul_rate(DType dtype, int64_t n) {
  Tensor a = ops::normal({n, n}, {1}, 0, 1, dtype), b = ops::normal({n, n}, {2}, 0, 1, dtype);
  double best = 0;
  for (int i = 0; i < 6; ++i) {
    auto start = std::chrono::steady_clock::now();
    ops::matmul(a, b);
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (i > 0) best = std::max(best, 2.0 * double(n) * double(n) * double(n) / seconds * 1e-9);
  }
  return best;
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
  std::printf("CUDA         not built in\n");
  std::printf("threads      %d\n", Context::cpu().threads());
  std::string kinds;
  for (const std::string& kind : dataset_kinds()) kinds += (kinds.empty() ? "" : ", ") + kind;
  std::printf("data sets    %s\n", kinds.c_str());
  if (std::string env = environment_summary(); !env.empty()) std::printf("environment  %s\n", env.c_str());
  double f32 = matmul_rate(DType::f32, 1024), bf16 = matmul_rate(DType::bf16, 1024);
  std::printf("matmul       f32 %.0f GFLOP/s, bf16 %.0f GFLOP/s: %s is faster here\n", f32, bf16, f32 >= bf16 ? "f32" : "bf16");
}

void print_ops() {
  for (const OpInfo& op : op_list()) {
    std::string_view how = cpu::strategy(op.op);
    std::printf("%-22s cpu: %-44s backward keeps: %s\n", std::string(op.name).c_str(), std::string(how).c_str(), std::string(op.keeps).c_str());
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
