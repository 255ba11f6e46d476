// Convolutions by cuDNN's plans; f64, and what cuDNN has no engine for, by own kernels. Next: matmul.cpp.
#include <algorithm>
#include <functional>
#include <optional>

#include "tensor/backend/cuda/library.h"
#include "tensor/backend/cuda/ops.h"
#include "tensor/backend/cuda/plain.h"
#include "tensor/env.h"

namespace plumage::cuda {
namespace {

bool for_library(DType type, const Shape& x, const Shape& w, const Shape& y) {
  return type != DType::f64 && x.count() > 0 && w.count() > 0 && y.count() > 0;
}

ConvProblem problem_of(Context& context, ConvPass pass, DType dtype, const Shape& x, const Shape& w,
                       const Shape& y, const Window& window) {
  ConvProblem problem = conv_problem(pass, dtype, x, w, y, window);
  problem.tf32 = context.tf32 && dtype == DType::f32;
  return problem;
}

/// A tensor's number in the plan and its memory; plans take no const.
struct Bound {
  int64_t id;
  const void* data;
};

/// Microseconds of work that is queued: the median of five runs after one that warms up.
double time_of(Context& context, const std::function<void()>& work) {
  cudaEvent_t begin{}, end{};
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  std::array<double, 5> times{};
  for (int run = -1; run < int(times.size()); ++run) {
    check(cudaEventRecord(begin, stream(context)), "cudaEventRecord");
    work();
    check(cudaEventRecord(end, stream(context)), "cudaEventRecord");
    check(cudaEventSynchronize(end), "timing an engine");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
    if (run >= 0) times[size_t(run)] = 1e3 * double(milliseconds);
  }
  check(cudaEventDestroy(begin), "cudaEventDestroy");
  check(cudaEventDestroy(end), "cudaEventDestroy");
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

/// Computes the problem (onto: the first tensor is added to), and what is to be done `behind` it on its results; false where cuDNN
/// has no engine for it or, if the same can be computed `without` one, where none is known to be faster.
bool run(Context& context, ConvProblem problem, std::initializer_list<Bound> bound, const std::function<void()>& behind = {},
         const std::function<void()>& without = {}) {
  static const float zero = 0;
  std::vector<int64_t> ids;
  std::vector<void*> pointers;
  for (const Bound& b : bound)
    if (b.data) ids.push_back(b.id), pointers.push_back(const_cast<void*>(b.data));
  problem.alignment = 16;
  for (void* p : pointers) problem.alignment = std::min(problem.alignment, common_alignment({p}));
  if (problem.relu) ids.push_back(kZero), pointers.push_back(const_cast<float*>(&zero));

  Library& library = Library::of(context);
  if (context.capturing && !library.convolutions->has(problem))
    throw MachineError(message("a step is being captured, but this convolution has not run before it: ", problem.str(),
                               "; the last ops were ", context.recent_ops()));
  check(cudnnSetStream(library.cudnn, stream(context)), "cudnnSetStream");
  auto execute = [&](const Plan& plan, std::span<void* const> memory) {
    void* workspace = plan.workspace_bytes() ? context.scratch(plan.workspace_bytes(), kWorkspaceSlot) : nullptr;
    plan.execute(library.cudnn, ids, memory, workspace);
    if (behind) behind();
  };
  auto timer = [&](const Plan& candidate) {
    std::vector<void*> memory = pointers;
    if (problem.onto)  // each run would add to what the last one has left
      memory[0] = context.scratch(problem.N * problem.H * problem.W * problem.C * size_of(problem.dtype), kStagingSlot);
    return time_of(context, [&] { execute(candidate, memory); });
  };
  PlanCache::Without time_without;
  if (without) time_without = [&] { return time_of(context, without); };
  const Plan* plan = library.convolutions->find(problem, timer, time_without);
  if (!plan) return false;
  execute(*plan, pointers);
  return true;
}

Shape with_channels(Shape s, int64_t channels) {
  s.set(3, channels);
  return s;
}

/// Copies of x and w with a fourth channel of zeros, in the staging memory.
struct Stem {
  In x;
  Out w;
  Stem(Context& context, In image, const Shape& filter) {
    Shape x_shape = with_channels(image.shape, kStemChannels), w_shape = with_channels(filter, kStemChannels);
    int64_t x_bytes = (x_shape.count() * size_of(image.dtype) + 255) / 256 * 256;
    auto* memory =
        static_cast<char*>(context.scratch(x_bytes + w_shape.count() * size_of(image.dtype), kStagingSlot));
    plain::pad_last(context, image, {memory, x_shape, image.dtype});
    x = {memory, x_shape, image.dtype};
    w = {memory + x_bytes, w_shape, image.dtype};
  }
};

/// conv + shift + residual, relu in one kernel, or conv alone (shift empty).
bool forward(Context& context, In x, In w, In shift, In residual, Out y, Window window,
             Activation activation) {
  if (is_stem(x.dtype, x.shape[3])) {
    Stem stem(context, x, w.shape);
    plain::pad_last(context, w, stem.w);
    return forward(context, stem.x, {stem.w.data, stem.w.shape, w.dtype}, shift, residual, y, window,
                   activation);
  }
  ConvPass pass = shift ? ConvPass::frozen : ConvPass::forward;
  ConvProblem problem = problem_of(context, pass, x.dtype, x.shape, w.shape, y.shape, window);
  problem.residual = bool(residual);
  problem.relu = activation == Activation::relu;
  if (shift && !fusible(problem)) return false;
  return run(context, problem,
             {{kTensorX, x.data},
              {kTensorW, w.data},
              {kTensorY, y.data},
              {kTensorShift, shift.data},
              {kTensorResidual, residual.data}});
}

}  // namespace

void conv2d(Context& context, In x, In w, Out y, Window window) {
  if (for_library(x.dtype, x.shape, w.shape, y.shape) &&
      forward(context, x, w, {}, {}, y, window, Activation::none))
    return;
  plain::conv2d(context, x, w, y, window);
}

void conv2d_stats(Context& context, In x, In w, Out y, Out mean, Out variance, Window window) {
  // One group's sums are the whole map's. They lie where mean and variance will.
  bool fused = x.dtype == DType::bf16 && !environment().unfused && mean.count() == y.shape[3] && for_library(x.dtype, x.shape, w.shape, y.shape);
  std::optional<Stem> stem;
  if (fused && is_stem(x.dtype, x.shape[3])) {
    stem.emplace(context, x, w.shape);
    plain::pad_last(context, w, stem->w);
    x = stem->x, w = {stem->w.data, stem->w.shape, w.dtype};
  }
  auto pair = [&] {
    conv2d(context, x, w, y, window);
    batch_norm_stats(context, {y.data, y.shape, y.dtype}, mean, variance);
  };
  if (fused && run(context, problem_of(context, ConvPass::stats, x.dtype, x.shape, w.shape, y.shape, window),
                   {{kTensorX, x.data}, {kTensorW, w.data}, {kTensorY, y.data}, {kTensorSum, mean.data}, {kTensorSquares, variance.data}},
                   [&] { plain::finish_stats(context, y.count() / y.shape[3], mean, variance); }, pair))
    return;
  pair();
}

void conv2d_frozen(Context& context, In x, In w, In shift, In residual, Out y, Window window,
                   Activation activation, FilterOrder*) {
  if (for_library(x.dtype, x.shape, w.shape, y.shape)) {
    if (forward(context, x, w, shift, residual, y, window, activation)) return;
    if (forward(context, x, w, {}, {}, y, window, Activation::none))
      return plain::finish_frozen(context, shift, residual, y, activation);
  }
  plain::conv2d_frozen(context, x, w, shift, residual, y, window, activation);
}

// No source: sums_gradient is null.
void conv2d_dx(Context& context, In dy, In w, In onto, Out dx, Window window, NormSource) {
  if (for_library(dy.dtype, dx.shape, w.shape, dy.shape)) {
    ConvProblem problem = problem_of(context, ConvPass::dx, dy.dtype, dx.shape, w.shape, dy.shape, window);
    problem.onto = bool(onto);
    if (onto && onto.data != dx.data) {
      auto bytes = size_t(dx.count() * size_of(dx.dtype));
      check(cudaMemcpyAsync(dx.data, onto.data, bytes, cudaMemcpyDeviceToDevice, stream(context)),
            "cudaMemcpyAsync");
      onto.data = dx.data;
    }
    if (run(context, problem, {{kTensorX, dx.data}, {kTensorW, w.data}, {kTensorY, dy.data}})) return;
  }
  plain::conv2d_dx(context, dy, w, onto, dx, window);
}

void conv2d_dw(Context& context, In x, In dy, Out dw, Window window) {
  if (for_library(x.dtype, x.shape, dw.shape, dy.shape)) {
    In image = x;
    Out filter = dw;
    if (is_stem(x.dtype, x.shape[3])) {
      Stem stem(context, x, dw.shape);
      image = stem.x, filter = stem.w;
    }
    ConvProblem problem =
        problem_of(context, ConvPass::dw, x.dtype, image.shape, filter.shape, dy.shape, window);
    if (run(context, problem, {{kTensorX, image.data}, {kTensorW, filter.data}, {kTensorY, dy.data}})) {
      if (filter.data != dw.data) plain::pad_last(context, {filter.data, filter.shape, filter.dtype}, dw);
      return;
    }
  }
  plain::conv2d_dw(context, x, dy, dw, window);
}

}  // namespace plumage::cuda
