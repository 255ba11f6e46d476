// Convolution by oneDNN: our images are its nhwc, our filters [K,R,S,C] its ohwi, reordered into the blocked order
// that its kernels want (a small copy beside the arithmetic). Next: tensor/backend/cpu/im2col.cpp.
#include "tensor/backend/cpu/conv.h"

#ifdef PLUMAGE_HAS_ONEDNN
#include <cstring>
#include <limits>

#include "tensor/backend/cpu/onednn.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu::onednn {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

enum Direction { kForward = 1, kGradientOfData = 2, kGradientOfFilters = 3, kFrozen = 8, kOnto = 16 };  // 4: matmul; kFrozen to kFrozen + 3

constexpr int64_t kSlices = 16;                        // of the work that a gradient of filters is
constexpr int64_t kLargeFilters = int64_t{1} << 18;  // from here on they are cut, not the images

struct Shapes {
  memory::desc x, w, y, our_w;
  memory::dims strides, pads;
};

Shapes describe(const Shape& x, const Shape& w, const Shape& y, DType type, Window window) {
  auto t = onednn_type(type);
  memory::dims x_dims{x[0], x[3], x[1], x[2]}, w_dims{w[0], w[3], w[1], w[2]}, y_dims{y[0], y[3], y[1], y[2]};
  return {{x_dims, t, Tag::nhwc}, {w_dims, t, Tag::any}, {y_dims, t, Tag::nhwc}, {w_dims, t, Tag::ohwi}, {window.stride, window.stride}, {window.pad, window.pad}};
}

// oneDNN wants the padding that is really used at the right and bottom; rows that no window reaches make it negative.
memory::dims right_pads(const Shape& x, const Shape& w, const Shape& y, Window window) {
  auto pad = [&](int64_t in, int64_t kernel, int64_t out) { return (out - 1) * window.stride + kernel - in - window.pad; };
  return {pad(x[1], w[1], y[1]), pad(x[2], w[2], y[2])};
}

dnnl::reorder reorder(OneDnn& dnn, const memory::desc& from, const memory::desc& to) {
  return dnnl::reorder(dnnl::reorder::primitive_desc(dnn.engine, from, dnn.engine, to));
}

template <class Descriptor>
void finish(Planned& plan, const Shapes& s, const Descriptor& d) {
  plan.usable = std::string_view(d.impl_info_str()).find("ref") == std::string_view::npos;
  plan.scratchpad = d.scratchpad_desc();
  plan.source = s.x;
  plan.result = s.y;
}

// Forward or gradient of the images; with weights from our order into d's.
template <class Primitive>
Planned reading_plan(OneDnn& dnn, const Shapes& s, const typename Primitive::primitive_desc& d) {
  Planned plan;
  plan.our_weights = s.our_w;
  plan.weights = d.weights_desc();
  if (plan.weights != plan.our_weights) plan.reorder = reorder(dnn, plan.our_weights, plan.weights);
  plan.primitive = Primitive(d);
  finish(plan, s, d);
  return plan;
}

dnnl::convolution_forward::primitive_desc forward(OneDnn& dnn, const Shapes& s, const memory::dims& right) {
  return {{dnnl::prop_kind::forward_training, dnnl::algorithm::convolution_direct, s.x, s.w, s.y, s.strides, s.pads, right},
          own_scratchpad(), dnn.engine};
}

dnnl::convolution_backward_data::primitive_desc gradient_of_data(OneDnn& dnn, const Shapes& s, const memory::dims& right) {
  return {{dnnl::algorithm::convolution_direct, s.x, s.w, s.y, s.strides, s.pads, right}, own_scratchpad(), dnn.engine,
          forward(dnn, s, right)};
}

// oneDNN plans for the threads that OpenMP would start.
struct OneThread {
  int saved = omp_get_max_threads();
  OneThread() { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(saved); }
};

// Computed by one thread, in f32; the filters' own type is the reorder's matter.
Planned gradient_of_filters(OneDnn& dnn, const Shapes& s, const memory::dims& right, DType dw_type) {
  Planned plan;
  memory::desc sums(s.w.dims(), memory::data_type::f32, Tag::any);
  OneThread alone;
  dnnl::convolution_backward_weights::primitive_desc d({dnnl::algorithm::convolution_direct, s.x, sums, s.y, s.strides, s.pads, right},
                                                       own_scratchpad(), dnn.engine, forward(dnn, s, right));
  plan.primitive = dnnl::convolution_backward_weights(d);
  plan.weights = d.diff_weights_desc();
  plan.our_weights = {s.w.dims(), onednn_type(dw_type), Tag::ohwi};
  plan.reorder = reorder(dnn, plan.weights, plan.our_weights);
  finish(plan, s, d);
  return plan;
}

// The way out of a frozen convolution. oneDNN's relu turns NaN into 0, its leaky relu does not: with the smallest slope there is,
// what it leaves of negative numbers is below 1e-37.
Planned frozen_plan(OneDnn& dnn, const Shapes& s, const memory::dims& right, bool residual, bool relu) {
  constexpr float kNoSlope = std::numeric_limits<float>::min();
  dnnl::primitive_attr attributes = own_scratchpad();
  dnnl::post_ops after;
  if (residual) after.append_binary(dnnl::algorithm::binary_add, s.y);
  if (relu) after.append_eltwise(1, dnnl::algorithm::eltwise_relu, kNoSlope, 0);
  attributes.set_post_ops(after);
  memory::desc shift({s.y.dims()[1]}, memory::data_type::f32, Tag::a);
  dnnl::convolution_forward::primitive_desc d(
      {dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, s.x, s.w, shift, s.y, s.strides, s.pads, right},
      attributes, dnn.engine);
  return reading_plan<dnnl::convolution_forward>(dnn, s, d);
}

// The gradient of images of 1x1 filters as a forward convolution with the filters transposed: that can add to what is there.
Planned onto_plan(OneDnn& dnn, Shapes s) {
  std::swap(s.x, s.y);
  int64_t k = s.w.dims()[0], c = s.w.dims()[1];
  s.w = {{c, k, 1, 1}, s.x.data_type(), Tag::any};
  s.our_w = {{c, k, 1, 1}, s.x.data_type(), memory::dims{1, c, 1, 1}};
  dnnl::primitive_attr attributes = own_scratchpad();
  dnnl::post_ops after;
  after.append_sum();
  attributes.set_post_ops(after);
  return reading_plan<dnnl::convolution_forward>(
      dnn, s, {{dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, s.x, s.w, s.y, {1, 1}, {0, 0}, {0, 0}}, attributes, dnn.engine});
}

// Cases that 2.6.3 computes wrongly (found by comparing random shapes with ref): bf16 gradients of images narrower
// than the stride, and of 1x1 filters with an odd number of outputs.
bool trusted(int direction, DType type, const Shape& x, const Shape& w, Window window) {
  if (type != DType::bf16) return true;
  if (direction == kGradientOfFilters) return x[1] >= window.stride && x[2] >= window.stride;
  return direction != kGradientOfData || w[1] > 1 || w[2] > 1 || w[0] % 2 == 0;
}

Planned& find(Context& context, OneDnn& dnn, int direction, const Shape& x, const Shape& w, const Shape& y, DType type,
              DType w_type, Window window) {
  PrimitiveKey key{direction, int64_t(type), int64_t(w_type), context.threads(), x[0], x[1], x[2], x[3], w[0], w[1], w[2],
                   window.stride, window.pad};
  auto found = dnn.planned.find(key);
  if (found != dnn.planned.end()) return found->second;
  Planned plan;
  try {
    Shapes shapes = describe(x, w, y, type, window);
    memory::dims right = right_pads(x, w, y, window);
    if (direction == kOnto) plan = onto_plan(dnn, shapes);
    else if (direction >= kFrozen) plan = frozen_plan(dnn, shapes, right, direction & 1, direction & 2);
    else if (!trusted(direction, type, x, w, window)) plan.usable = false;
    else if (direction == kForward) plan = reading_plan<dnnl::convolution_forward>(dnn, shapes, forward(dnn, shapes, right));
    else if (direction == kGradientOfData)
      plan = reading_plan<dnnl::convolution_backward_data>(dnn, shapes, gradient_of_data(dnn, shapes, right));
    else plan = gradient_of_filters(dnn, shapes, right, w_type);
  } catch (const dnnl::error&) {  // a case that oneDNN refuses: not usable
  }
  return dnn.planned.emplace(key, std::move(plan)).first->second;
}

// Runs a plan whose filters are read: forward, or gradient of the images.
void run(Context& context, OneDnn& dnn, const Planned& plan, int images_in, const void* in, const void* w, int images_out, void* out,
         const Epilogue* epilogue = nullptr, FilterOrder* order = nullptr) {
  if (plan.reorder)
    w = ordered_filters(context, order, &plan, w, int64_t(plan.weights.get_size()), kScratchWeights, [&](void* reordered) {
      plan.reorder.execute(dnn.stream, {{DNNL_ARG_FROM, dnn.memory(plan.our_weights, w)}, {DNNL_ARG_TO, dnn.memory(plan.weights, reordered)}});
    });
  bool forward = images_out == DNNL_ARG_DST;
  std::unordered_map<int, memory> arguments{
      {images_in, dnn.memory(forward ? plan.source : plan.result, in)}, {DNNL_ARG_WEIGHTS, dnn.memory(plan.weights, w)},
      {images_out, dnn.memory(forward ? plan.result : plan.source, out)},
      {DNNL_ARG_SCRATCHPAD, dnn.memory(plan.scratchpad, context.scratch(int64_t(plan.scratchpad.get_size())))}};
  if (epilogue) {
    const In& shift = epilogue->shift;
    arguments[DNNL_ARG_BIAS] = dnn.memory({{shift.count()}, memory::data_type::f32, Tag::a}, shift.data);
    if (epilogue->residual)
      arguments[DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1] = dnn.memory(plan.result, epilogue->residual.data);
  }
  plan.primitive.execute(dnn.stream, arguments);
}

// The gradient of filters is cut into slices by shape alone, each one thread's work, so that its bits do not depend on the number of
// threads; oneDNN's own reduction does not give that.
class Slices {
 public:
  Slices(Context& context, OneDnn& dnn, const Chunks& chunks, const Planned& first, const Planned& last)
      : dnn_(dnn), chunks_(chunks), first_(first), last_(last),
        scratchpad_(round_up(int64_t(std::max(first.scratchpad.get_size(), last.scratchpad.get_size())), 64)),
        scratchpads_(static_cast<std::byte*>(context.scratch(context.threads() * scratchpad_))) {}
  bool usable() const { return first_.usable && last_.usable; }
  const Planned& plan(int64_t i) const { return i + 1 < chunks_.number ? first_ : last_; }
  void run(int64_t i, const void* x, const void* dy, float* sums) const {
    const Planned& p = plan(i);
    p.primitive.execute(dnn_.stream, {{DNNL_ARG_SRC, dnn_.memory(p.source, x)}, {DNNL_ARG_DIFF_DST, dnn_.memory(p.result, dy)},
                                      {DNNL_ARG_DIFF_WEIGHTS, dnn_.memory(p.weights, sums)},
                                      {DNNL_ARG_SCRATCHPAD, dnn_.memory(p.scratchpad, scratchpads_ + omp_get_thread_num() * scratchpad_)}});
  }
  void reorder(int64_t i, float* sums, void* dw) const {
    const Planned& p = plan(i);
    p.reorder.execute(dnn_.stream, {{DNNL_ARG_FROM, dnn_.memory(p.weights, sums)}, {DNNL_ARG_TO, dnn_.memory(p.our_weights, dw)}});
  }

 private:
  OneDnn& dnn_;
  const Chunks& chunks_;
  const Planned &first_, &last_;
  int64_t scratchpad_;
  std::byte* scratchpads_;
};

int64_t floats_of(const Planned& plan) { return round_up(int64_t(plan.weights.get_size()) / 4, 16); }

const std::byte* row(In t, int64_t i) { return static_cast<const std::byte*>(t.data) + i * (t.count() / t.shape[0]) * size_of(t.dtype); }

// Slices of images; their sums are added in order.
bool dw_by_images(Context& context, In x, In dy, Out dw, Window window) {
  OneDnn& dnn = OneDnn::of(context);
  Chunks images(x.shape[0], 1, kSlices);
  auto plan = [&](int64_t i) -> const Planned& {
    Shape x_part = x.shape, dy_part = dy.shape;
    x_part.set(0, images.end(i) - images.begin(i));
    dy_part.set(0, images.end(i) - images.begin(i));
    return find(context, dnn, kGradientOfFilters, x_part, dw.shape, dy_part, x.dtype, dw.dtype, window);
  };
  Slices slices(context, dnn, images, plan(0), plan(images.number - 1));
  if (!slices.usable() || slices.plan(0).weights != slices.plan(images.number - 1).weights) return false;
  int64_t floats = floats_of(slices.plan(0));
  auto* sums = static_cast<float*>(context.scratch(images.number * floats * 4, kScratchPartials));
  parallel(context, images.number, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) slices.run(i, row(x, images.begin(i)), row(dy, images.begin(i)), sums + i * floats);
  });
  parallel(context, floats, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = 1; i < images.number; ++i)
      for (int64_t j = begin; j < end; ++j) sums[j] += sums[i * floats + j];
  }, 16);
  slices.reorder(0, sums, dw.data);
  return true;
}

// Where a filter is one pixel, dw = dy^T x over all pixels: a product, faster than oneDNN's convolution by a tenth to a quarter.
void dw_by_products(Context& context, In x, In dy, Out dw) {
  const int64_t K = dw.shape[0], C = dw.shape[3], area = dy.shape[1] * dy.shape[2], floats = round_up(K * C, 16);
  Chunks images(x.shape[0], 1, kSlices);
  auto* sums = static_cast<float*>(context.scratch(images.number * floats * 4, kScratchPartials));
  parallel(context, images.number, 1, [&](int64_t begin, int64_t end) {
    OneThread alone;  // so that no product is cut
    for (int64_t i = begin; i < end; ++i) {
      int64_t first = images.begin(i) * area, pixels = images.end(i) * area - first;
      dnnl_sgemm('T', 'N', K, C, pixels, 1, dy.as<float>() + first * K, K, x.as<float>() + first * C, C, 0, sums + i * floats, C);
    }
  });
  parallel(context, K * C, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = 1; i < images.number; ++i)
      for (int64_t j = begin; j < end; ++j) sums[j] += sums[i * floats + j];
    std::copy(sums + begin, sums + end, dw.as<float>() + begin);
  }, 16);
}

// Slices of the filters, which need dy's channels apart: little to copy where the filters are large.
bool dw_by_outputs(Context& context, In x, In dy, Out dw, Window window) {
  OneDnn& dnn = OneDnn::of(context);
  Chunks outputs(dw.shape[0], 64, kSlices);
  auto plan = [&](int64_t i) -> const Planned& {
    Shape dw_part = dw.shape, dy_part = dy.shape;
    dw_part.set(0, outputs.end(i) - outputs.begin(i));
    dy_part.set(3, outputs.end(i) - outputs.begin(i));
    return find(context, dnn, kGradientOfFilters, x.shape, dw_part, dy_part, x.dtype, dw.dtype, window);
  };
  Slices slices(context, dnn, outputs, plan(0), plan(outputs.number - 1));
  if (!slices.usable()) return false;
  int64_t floats = floats_of(slices.plan(0)), pixels = dy.count() / dy.shape[3], size = size_of(dy.dtype), pitch = dy.shape[3] * size;
  int64_t part = round_up(pixels * outputs.size * size, 64);
  auto* sums = static_cast<float*>(context.scratch(context.threads() * floats * 4, kScratchPartials));
  auto* parts = static_cast<std::byte*>(context.scratch(context.threads() * part, kScratchColumns));
  parallel(context, outputs.number, 1, [&](int64_t begin, int64_t end) {
    float* sum = sums + omp_get_thread_num() * floats;
    std::byte* dy_part = parts + omp_get_thread_num() * part;
    for (int64_t i = begin; i < end; ++i) {
      int64_t first = outputs.begin(i), width = (outputs.end(i) - first) * size;
      for (int64_t pixel = 0; pixel < pixels; ++pixel)
        std::memcpy(dy_part + pixel * width, dy.as<std::byte>() + pixel * pitch + first * size, size_t(width));
      slices.run(i, x.data, dy_part, sum);
      slices.reorder(i, sum, dw.as<std::byte>() + first * (dw.count() / dw.shape[0]) * size_of(dw.dtype));
    }
  });
  return true;
}

}  // namespace

bool conv2d(Context& context, In x, In w, Out y, Window window, const Epilogue* epilogue, FilterOrder* order) {
  OneDnn& dnn = OneDnn::of(context);
  int direction = epilogue ? kFrozen + (epilogue->residual ? 1 : 0) + (epilogue->relu ? 2 : 0) : kForward;
  Planned& plan = find(context, dnn, direction, x.shape, w.shape, y.shape, x.dtype, w.dtype, window);
  if (plan.usable) run(context, dnn, plan, DNNL_ARG_SRC, x.data, w.data, DNNL_ARG_DST, y.data, epilogue, order);
  return plan.usable;
}

bool conv2d_dx(Context& context, In dy, In w, Out dx, Window window) {
  OneDnn& dnn = OneDnn::of(context);
  Planned& plan = find(context, dnn, kGradientOfData, dx.shape, w.shape, dy.shape, dy.dtype, w.dtype, window);
  if (plan.usable) run(context, dnn, plan, DNNL_ARG_DIFF_DST, dy.data, w.data, DNNL_ARG_DIFF_SRC, dx.data);
  return plan.usable;
}

bool conv2d_dx_onto(Context& context, In dy, In w, Out dx, Window window) {
  if (w.shape[1] * w.shape[2] != 1 || window.stride != 1 || window.pad != 0) return false;
  OneDnn& dnn = OneDnn::of(context);
  Planned& plan = find(context, dnn, kOnto, dx.shape, w.shape, dy.shape, dy.dtype, w.dtype, window);
  if (plan.usable) run(context, dnn, plan, DNNL_ARG_SRC, dy.data, w.data, DNNL_ARG_DST, dx.data);
  return plan.usable;
}

bool conv2d_dw(Context& context, In x, In dy, Out dw, Window window) {
  if (dw.count() >= kLargeFilters) return dw_by_outputs(context, x, dy, dw, window);
  bool one_pixel = dw.shape[1] * dw.shape[2] == 1 && window.stride == 1 && window.pad == 0;
  if (!one_pixel || dw.dtype != DType::f32) return dw_by_images(context, x, dy, dw, window);
  dw_by_products(context, x, dy, dw);
  return true;
}

bool has_wider_vectors() {
#if defined(__x86_64__)
  return kVectorBytes < 64 && __builtin_cpu_supports("avx512f");
#else
  return false;
#endif
}

}  // namespace plumage::cpu::onednn

#else
namespace plumage::cpu::onednn {
bool conv2d(Context&, In, In, Out, Window, const Epilogue*, FilterOrder*) { return false; }
bool conv2d_dx(Context&, In, In, Out, Window) { return false; }
bool conv2d_dx_onto(Context&, In, In, Out, Window) { return false; }
bool conv2d_dw(Context&, In, In, Out, Window) { return false; }
bool has_wider_vectors() { return false; }
}  // namespace plumage::cpu::onednn
#endif  // PLUMAGE_HAS_ONEDNN
