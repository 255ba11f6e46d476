// Running a plan of the simulated cuDNN: the graph's operations one after the other, in f32, with the
// roundings that the engine is known for.
#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <numeric>

#include "tests/cuda_sim/device.h"
#include "tests/cuda_sim/dnn_descriptor.h"
#include "tests/cuda_sim/library_memory.h"
#include "tests/cuda_sim/numbers.h"
#include "tests/cuda_sim/order.h"
#include "tests/cuda_sim/stream.h"

namespace cuda_sim {
namespace {

using Numbers = std::vector<float>;  // N, H, W, C

Number number_of(const DnnTensor& t) { return t.type == CUDNN_DATA_BFLOAT16 ? Number::bf16 : Number::f32; }
size_t bytes_of(const DnnTensor& t) { return static_cast<size_t>(t.count()) * bytes_of(number_of(t)); }

struct Run {
  DescriptorRef plan;
  std::map<int64_t, void*> memory;   // by tensor
  std::map<int64_t, float> numbers;  // by value, read at the call
  void* workspace = nullptr;
  uint64_t seed = 0;
  std::map<int64_t, Numbers> within;  // virtual tensors

  const Engine& engine() const { return *plan->engine; }
  Numbers read(const Descriptor& d) const {
    DnnTensor t(d);
    if (t.by_value) return {numbers.at(t.id)};
    if (t.is_virtual) return within.at(t.id);
    library_reads("cudnnBackendExecute", "a tensor that is read", memory.at(t.id), bytes_of(t));
    Numbers out(static_cast<size_t>(t.count()));
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = load(memory.at(t.id), number_of(t), static_cast<int64_t>(i));
    return out;
  }
  void write(const Descriptor& d, Numbers values) {
    DnnTensor t(d);
    if (t.is_virtual) {
      if (t.type == CUDNN_DATA_BFLOAT16)
        for (float& v : values) v = round_to_bf16(v);
      within[t.id] = std::move(values);
      return;
    }
    library_writes("cudnnBackendExecute", "a tensor that is written", memory.at(t.id), bytes_of(t));
    for (size_t i = 0; i < values.size(); ++i)
      store(memory.at(t.id), number_of(t), static_cast<int64_t>(i), values[i]);
  }
};

struct Conv {
  int64_t N, H, W, C, K, R, S, P, Q, pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w;
  Conv(const Descriptor& op, const ConvNames& names) {
    DnnTensor x(*op.ref(names.x)), w(*op.ref(names.w)), y(*op.ref(names.y));
    N = x.sizes[0], C = x.sizes[1], H = x.sizes[2], W = x.sizes[3];
    K = w.sizes[0], R = w.sizes[2], S = w.sizes[3], P = y.sizes[2], Q = y.sizes[3];
    const Descriptor& window = *op.ref(names.window);
    auto pair = [&](cudnnBackendAttributeName_t name) { return window.all<int64_t>(name); };
    pad_h = pair(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS)[0],
    pad_w = pair(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS)[1];
    stride_h = pair(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES)[0],
    stride_w = pair(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES)[1];
    dilation_h = pair(CUDNN_ATTR_CONVOLUTION_DILATIONS)[0],
    dilation_w = pair(CUDNN_ATTR_CONVOLUTION_DILATIONS)[1];
  }
  // Calls with the offsets of x[n,h,w,:], of w[.,r,s,.] (r * S + s) and of y[n,p,q,:], where x is inside the
  // image.
  template <class Body>
  void each(int64_t n, Body body) const {
    for (int64_t p = 0; p < P; ++p)
      for (int64_t q = 0; q < Q; ++q)
        for (int64_t r = 0; r < R; ++r)
          for (int64_t s = 0; s < S; ++s) {
            int64_t h = p * stride_h + r * dilation_h - pad_h, w = q * stride_w + s * dilation_w - pad_w;
            if (h < 0 || h >= H || w < 0 || w >= W) continue;
            body(((n * H + h) * W + w) * C, r * S + s, ((n * P + p) * Q + q) * K);
          }
  }
};

// y [N,P,Q,K] of x [N,H,W,C], w [K,R,S,C]
Numbers forward(const Conv& c, const Numbers& x, const Numbers& w, bool coarse) {
  Numbers turned(w.size()), y(static_cast<size_t>(c.N * c.P * c.Q * c.K), 0);  // turned: [R,S,C,K]
  for (int64_t k = 0; k < c.K; ++k)
    for (int64_t i = 0; i < c.R * c.S * c.C; ++i)
      turned[static_cast<size_t>(i * c.K + k)] = w[static_cast<size_t>(k * c.R * c.S * c.C + i)];
  for (int64_t n = 0; n < c.N; ++n)
    c.each(n, [&](int64_t at_x, int64_t rs, int64_t at_y) {
      float* to = &y[static_cast<size_t>(at_y)];
      for (int64_t i = 0; i < c.C; ++i) {
        float value = x[static_cast<size_t>(at_x + i)];
        const float* from = &turned[static_cast<size_t>((rs * c.C + i) * c.K)];
        for (int64_t k = 0; k < c.K; ++k) to[k] += value * from[k];
      }
      if (coarse)
        for (int64_t k = 0; k < c.K; ++k) to[k] = round_to_bf16(to[k]);
    });
  return y;
}

// dx [N,H,W,C] of dy [N,P,Q,K], w [K,R,S,C]
Numbers backward_data(const Conv& c, const Numbers& dy, const Numbers& w, bool coarse) {
  Numbers dx(static_cast<size_t>(c.N * c.H * c.W * c.C), 0);
  for (int64_t n = 0; n < c.N; ++n)
    c.each(n, [&](int64_t at_x, int64_t rs, int64_t at_y) {
      float* to = &dx[static_cast<size_t>(at_x)];
      for (int64_t k = 0; k < c.K; ++k) {
        float value = dy[static_cast<size_t>(at_y + k)];
        const float* from = &w[static_cast<size_t>((k * c.R * c.S + rs) * c.C)];
        for (int64_t i = 0; i < c.C; ++i) to[i] += value * from[i];
      }
      if (coarse)
        for (int64_t i = 0; i < c.C; ++i) to[i] = round_to_bf16(to[i]);
    });
  return dx;
}

// dw [K,R,S,C] of x [N,H,W,C], dy [N,P,Q,K]; `images` is the order in which their parts are added.
Numbers backward_filter(const Conv& c, const Numbers& x, const Numbers& dy,
                        const std::vector<int64_t>& images, bool coarse) {
  Numbers dw(static_cast<size_t>(c.K * c.R * c.S * c.C), 0), part(dw.size());
  for (int64_t n : images) {
    std::fill(part.begin(), part.end(), 0.0f);
    c.each(n, [&](int64_t at_x, int64_t rs, int64_t at_y) {
      const float* from = &x[static_cast<size_t>(at_x)];
      for (int64_t k = 0; k < c.K; ++k) {
        float value = dy[static_cast<size_t>(at_y + k)],
              *to = &part[static_cast<size_t>((k * c.R * c.S + rs) * c.C)];
        for (int64_t i = 0; i < c.C; ++i) to[i] += value * from[i];
      }
    });
    for (size_t i = 0; i < dw.size(); ++i) dw[i] = coarse ? round_to_bf16(dw[i] + part[i]) : dw[i] + part[i];
  }
  return dw;
}

void run_convolution(Run& run, const Descriptor& op, const ConvNames& names) {
  Conv c(op, names);
  bool coarse = run.engine().has(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION);
  auto read = [&](cudnnBackendAttributeName_t name) {
    Numbers values = run.read(*op.ref(name));
    if (run.engine().has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS))
      for (float& v : values) v = round_to_tf32(v);
    return values;
  };
  // alpha times the sums, plus beta times what was there.
  auto write = [&](cudnnBackendAttributeName_t name, Numbers sums) {
    float alpha = op.one<float>(names.alpha), beta = op.one<float>(names.beta);
    if (alpha != 1)
      for (float& v : sums) v *= alpha;
    if (beta != 0) {
      Numbers before = run.read(*op.ref(name));
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += beta * before[i];
    }
    run.write(*op.ref(name), std::move(sums));
  };
  switch (op.type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return write(names.y, forward(c, read(names.x), read(names.w), coarse));
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      return write(names.x, backward_data(c, read(names.y), read(names.w), coarse));
    default:
      break;
  }
  std::vector<int64_t> images(static_cast<size_t>(c.N));
  std::iota(images.begin(), images.end(), 0);
  if (run.engine().has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) {  // whoever comes first adds first
    Order order(run.seed);
    for (size_t i = 0; i < images.size(); ++i)
      std::swap(images[i], images[i + order.below(images.size() - i)]);
  }
  write(names.w, backward_filter(c, read(names.x), read(names.y), images, coarse));
}

// An input of a pointwise function, spread over y's sizes.
struct Spread {
  Numbers values;
  int64_t step[4] = {};  // of N, H, W, C; 0 where the size is 1
  Spread(const Run& run, const DescriptorRef& d) {
    if (!d) return;
    DnnTensor t(*d);
    values = run.read(*d);
    int64_t N = t.sizes[0], C = t.sizes[1], H = t.sizes[2], W = t.sizes[3];
    step[0] = N == 1 ? 0 : H * W * C, step[1] = H == 1 ? 0 : W * C, step[2] = W == 1 ? 0 : C,
    step[3] = C == 1 ? 0 : 1;
  }
  float at(int64_t n, int64_t h, int64_t w, int64_t c) const {
    return values.empty()
               ? 0
               : values[static_cast<size_t>(n * step[0] + h * step[1] + w * step[2] + c * step[3])];
  }
};

float pointwise(cudnnPointwiseMode_t mode, float x, float b, float t) {
  switch (mode) {
    case CUDNN_POINTWISE_ADD:
      return x + b;
    case CUDNN_POINTWISE_MUL:
      return x * b;
    case CUDNN_POINTWISE_SUB:
      return x - b;
    case CUDNN_POINTWISE_MIN:
      return x < b ? x : b;
    case CUDNN_POINTWISE_MAX:
      return x > b ? x : b;
    case CUDNN_POINTWISE_RELU_FWD:
      return x > 0 ? x : 0;  // NaN becomes 0: nothing is promised
    case CUDNN_POINTWISE_CMP_GT:
      return x > b;
    case CUDNN_POINTWISE_CMP_LE:
      return x <= b;
    case CUDNN_POINTWISE_BINARY_SELECT:
      return t != 0 ? x : b;
  }
  return std::numeric_limits<float>::quiet_NaN();
}

void run_pointwise(Run& run, const Descriptor& op) {
  auto mode = op.ref(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR)
                  ->one<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
  Spread x(run, op.ref(CUDNN_ATTR_OPERATION_POINTWISE_XDESC)),
      b(run, op.ref(CUDNN_ATTR_OPERATION_POINTWISE_BDESC)),
      t(run, op.ref(CUDNN_ATTR_OPERATION_POINTWISE_TDESC));
  DnnTensor y(*op.ref(CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
  Numbers out;
  for (int64_t n = 0; n < y.sizes[0]; ++n)
    for (int64_t h = 0; h < y.sizes[2]; ++h)
      for (int64_t w = 0; w < y.sizes[3]; ++w)
        for (int64_t c = 0; c < y.sizes[1]; ++c)
          out.push_back(pointwise(mode, x.at(n, h, w, c), b.at(n, h, w, c), t.at(n, h, w, c)));
  run.write(*op.ref(CUDNN_ATTR_OPERATION_POINTWISE_YDESC), std::move(out));
}

// Sums over N, H, W in f32, which lose digits of what is small beside the mean, as the real ones do.
void run_statistics(Run& run, const Descriptor& op) {
  const Descriptor& in = *op.ref(CUDNN_ATTR_OPERATION_GENSTATS_XDESC);
  auto channels = static_cast<size_t>(DnnTensor(in).sizes[1]);
  Numbers x = run.read(in), sum(channels, 0), squares(channels, 0);
  for (size_t i = 0; i < x.size(); ++i) {
    sum[i % channels] += x[i];
    squares[i % channels] += x[i] * x[i];
  }
  run.write(*op.ref(CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC), std::move(sum));
  run.write(*op.ref(CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC), std::move(squares));
}

void run_plan(Run run) {
  scribble("cudnnBackendExecute", run.workspace, static_cast<size_t>(run.engine().workspace));
  run.seed = next_seed();
  for (const DescriptorRef& op : run.plan->graph->refs(CUDNN_ATTR_OPERATIONGRAPH_OPS)) {
    if (const ConvNames* names = conv_names(op->type))
      run_convolution(run, *op, *names);
    else if (op->type == CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR)
      run_statistics(run, *op);
    else
      run_pointwise(run, *op);
  }
}

// Every tensor of the plan that lies in memory has a pointer, aligned as was promised.
cudnnStatus_t bind(Run& run, const Descriptor& pack) {
  auto ids = pack.all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  auto pointers = pack.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  std::map<int64_t, void*> given;
  for (size_t i = 0; i < ids.size(); ++i) given[ids[i]] = pointers[i];
  for (const DescriptorRef& op : run.plan->graph->refs(CUDNN_ATTR_OPERATIONGRAPH_OPS))
    for (const auto& [name, value] : op->values)
      for (const DescriptorRef& part : value.descriptors) {
        if (part->type != CUDNN_BACKEND_TENSOR_DESCRIPTOR) continue;
        DnnTensor t(*part);
        if (t.is_virtual) continue;
        void* pointer = given.count(t.id) ? given[t.id] : nullptr;
        if (!pointer)
          return refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "no memory for tensor %lld",
                        static_cast<long long>(t.id));
        if (!aligned(pointer, static_cast<size_t>(t.alignment)))
          return refuse(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, "tensor %lld is not aligned to %lld bytes",
                        static_cast<long long>(t.id), static_cast<long long>(t.alignment));
        if (t.by_value)
          run.numbers[t.id] = *static_cast<const float*>(pointer);
        else
          run.memory[t.id] = pointer;
      }
  run.workspace = pack.one<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  if (run.engine().workspace && !run.workspace)
    return refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "the plan wants a workspace of %lld bytes",
                  static_cast<long long>(run.engine().workspace));
  if (!aligned(run.workspace, 16))
    return refuse(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, "the workspace is not aligned to 16 bytes");
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace
}  // namespace cuda_sim

using namespace cuda_sim;

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan_handle,
                                  cudnnBackendDescriptor_t pack_handle) {
  std::lock_guard lock(device_lock());
  Unwatched unwatched;
  auto plan = find_descriptor(plan_handle), pack = find_descriptor(pack_handle);
  if (!handle || !plan || !pack)
    return refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "a handle, a plan and a variant pack are wanted");
  if (plan->type != CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR ||
      pack->type != CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)
    return refuse(CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE, "a plan and a variant pack are wanted");
  if (!plan->finalized || !pack->finalized)
    return refuse(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "the plan or the variant pack is not finalized");
  Run run;
  run.plan = plan;
  if (cudnnStatus_t status = bind(run, *pack); status != CUDNN_STATUS_SUCCESS) return status;
  auto stream = find_stream(handle->stream);
  if (!stream) return refuse(CUDNN_STATUS_EXECUTION_FAILED_CUDART, "the handle's stream is none");
  cudaError_t error = submit(*stream, {[run] { run_plan(run); }});
  return error == cudaSuccess ? CUDNN_STATUS_SUCCESS
                              : refuse(CUDNN_STATUS_EXECUTION_FAILED_CUDART, "%s", cudaGetErrorString(error));
}
