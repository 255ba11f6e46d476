// Convolution by oneDNN: our images are its nhwc, our filters [K,R,S,C] its ohwi, reordered into the blocked order
// that its kernels want (a small copy beside the arithmetic). Next: tensor/backend/cpu/im2col.cpp.
#include "tensor/backend/cpu/conv.h"

#ifdef PLUMAGE_HAS_ONEDNN
#include <limits>

#include "tensor/backend/cpu/onednn.h"

namespace plumage::cpu::onednn {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

enum Direction { kForward = 1, kGradientOfData = 2, kGradientOfFilters = 3, kFrozen = 8 };  // 4: matmul; kFrozen to kFrozen + 3

struct Shapes {
  memory::desc x, w, y, our_w, our_dw;
  memory::dims strides, pads;
};

Shapes describe(const Shape& x, const Shape& w, const Shape& y, DType type, DType w_type, Window window) {
  auto t = onednn_type(type);
  memory::dims x_dims{x[0], x[3], x[1], x[2]}, w_dims{w[0], w[3], w[1], w[2]}, y_dims{y[0], y[3], y[1], y[2]};
  // The type of the filters' gradient may be f32 beside bf16 images.
  return {{x_dims, t, Tag::nhwc}, {w_dims, onednn_type(w_type), Tag::any}, {y_dims, t, Tag::nhwc},
          {w_dims, onednn_type(w_type), Tag::ohwi}, {}, {window.stride, window.stride}, {window.pad, window.pad}};
}

// oneDNN wants the padding that is really used at the right and bottom; rows that no window reaches make it negative.
memory::dims right_pads(const Shape& x, const Shape& w, const Shape& y, Window window) {
  auto pad = [&](int64_t in, int64_t kernel, int64_t out) { return (out - 1) * window.stride + kernel - in - window.pad; };
  return {pad(x[1], w[1], y[1]), pad(x[2], w[2], y[2])};
}

template <class Descriptor>
void finish(OneDnn& dnn, Planned& plan, const Descriptor& d, bool gradient_of_filters) {
  plan.usable = std::string_view(d.impl_info_str()).find("ref") == std::string_view::npos;
  plan.scratchpad = d.scratchpad_desc();
  if (plan.weights == plan.our_weights) return;
  plan.reorder = gradient_of_filters
                     ? dnnl::reorder(dnnl::reorder::primitive_desc(dnn.engine, plan.weights, dnn.engine, plan.our_weights))
                     : dnnl::reorder(dnnl::reorder::primitive_desc(dnn.engine, plan.our_weights, dnn.engine, plan.weights));
}

Planned plan_for(OneDnn& dnn, Direction direction, const Shapes& s, const memory::dims& right) {
  auto direct = dnnl::algorithm::convolution_direct;
  auto attributes = own_scratchpad();
  Planned plan;
  plan.our_weights = s.our_w;
  dnnl::convolution_forward::primitive_desc forward(
      {dnnl::prop_kind::forward_training, direct, s.x, s.w, s.y, s.strides, s.pads, right}, attributes, dnn.engine);
  if (direction == kForward) {
    plan.weights = forward.weights_desc();
    finish(dnn, plan, forward, false);
    plan.primitive = dnnl::convolution_forward(forward);
  } else if (direction == kGradientOfData) {
    dnnl::convolution_backward_data::primitive_desc d({direct, s.x, s.w, s.y, s.strides, s.pads, right}, attributes,
                                                      dnn.engine, forward);
    plan.weights = d.weights_desc();
    finish(dnn, plan, d, false);
    plan.primitive = dnnl::convolution_backward_data(d);
  } else {
    dnnl::convolution_backward_weights::primitive_desc d({direct, s.x, s.w, s.y, s.strides, s.pads, right}, attributes,
                                                         dnn.engine, forward);
    plan.weights = d.diff_weights_desc();
    finish(dnn, plan, d, true);
    plan.primitive = dnnl::convolution_backward_weights(d);
  }
  plan.source = s.x;
  plan.result = s.y;
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
  Planned plan;
  plan.our_weights = s.our_w;
  plan.weights = d.weights_desc();
  plan.source = s.x;
  plan.result = s.y;
  finish(dnn, plan, d, false);
  plan.primitive = dnnl::convolution_forward(d);
  return plan;
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
    Shapes shapes = describe(x, w, y, type, w_type, window);
    memory::dims right = right_pads(x, w, y, window);
    if (direction >= kFrozen) plan = frozen_plan(dnn, shapes, right, direction & 1, direction & 2);
    else if (trusted(direction, type, x, w, window)) plan = plan_for(dnn, Direction(direction), shapes, right);
  } catch (const dnnl::error&) {  // a case that oneDNN refuses: not usable
  }
  return dnn.planned.emplace(key, std::move(plan)).first->second;
}

// Runs a plan whose filters are read: forward, or gradient of the images.
void run(Context& context, OneDnn& dnn, const Planned& plan, int images_in, const void* in, const void* w, int images_out, void* out,
         const Epilogue* epilogue = nullptr) {
  memory weights = dnn.memory(plan.our_weights, w);
  if (plan.reorder) {
    memory reordered = dnn.memory(plan.weights, context.scratch(int64_t(plan.weights.get_size()), kScratchWeights));
    plan.reorder.execute(dnn.stream, {{DNNL_ARG_FROM, weights}, {DNNL_ARG_TO, reordered}});
    weights = reordered;
  }
  bool forward = images_out == DNNL_ARG_DST;
  std::unordered_map<int, memory> arguments{
      {images_in, dnn.memory(forward ? plan.source : plan.result, in)}, {DNNL_ARG_WEIGHTS, weights},
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

}  // namespace

bool conv2d(Context& context, In x, In w, Out y, Window window, const Epilogue* epilogue) {
  OneDnn& dnn = OneDnn::of(context);
  int direction = epilogue ? kFrozen + (epilogue->residual ? 1 : 0) + (epilogue->relu ? 2 : 0) : kForward;
  Planned& plan = find(context, dnn, direction, x.shape, w.shape, y.shape, x.dtype, w.dtype, window);
  if (plan.usable) run(context, dnn, plan, DNNL_ARG_SRC, x.data, w.data, DNNL_ARG_DST, y.data, epilogue);
  return plan.usable;
}

bool conv2d_dx(Context& context, In dy, In w, Out dx, Window window) {
  OneDnn& dnn = OneDnn::of(context);
  Planned& plan = find(context, dnn, kGradientOfData, dx.shape, w.shape, dy.shape, dy.dtype, w.dtype, window);
  if (plan.usable) run(context, dnn, plan, DNNL_ARG_DIFF_DST, dy.data, w.data, DNNL_ARG_DIFF_SRC, dx.data);
  return plan.usable;
}

bool conv2d_dw(Context& context, In x, In dy, Out dw, Window window) {
  OneDnn& dnn = OneDnn::of(context);
  Planned& plan = find(context, dnn, kGradientOfFilters, x.shape, dw.shape, dy.shape, x.dtype, dw.dtype, window);
  if (!plan.usable) return false;
  memory ours = dnn.memory(plan.our_weights, dw.data), weights = ours;
  if (plan.reorder)
    weights = dnn.memory(plan.weights, context.scratch(int64_t(plan.weights.get_size()), kScratchWeights));
  plan.primitive.execute(
      dnn.stream, {{DNNL_ARG_SRC, dnn.memory(plan.source, x.data)}, {DNNL_ARG_DIFF_DST, dnn.memory(plan.result, dy.data)},
                   {DNNL_ARG_DIFF_WEIGHTS, weights},
                   {DNNL_ARG_SCRATCHPAD, dnn.memory(plan.scratchpad, context.scratch(int64_t(plan.scratchpad.get_size())))}});
  if (plan.reorder) plan.reorder.execute(dnn.stream, {{DNNL_ARG_FROM, weights}, {DNNL_ARG_TO, ours}});
  return true;
}

}  // namespace plumage::cpu::onednn

#else
namespace plumage::cpu::onednn {
bool conv2d(Context&, In, In, Out, Window, const Epilogue*) { return false; }
bool conv2d_dx(Context&, In, In, Out, Window) { return false; }
bool conv2d_dw(Context&, In, In, Out, Window) { return false; }
}  // namespace plumage::cpu::onednn
#endif  // PLUMAGE_HAS_ONEDNN
