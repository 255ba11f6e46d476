// The simulated cuDNN: convolutions against plain loops, a fused graph, and what must be refused.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "cudnn_graph.h"
#include "tests/cuda_sim/numbers.h"
#include "tests/cuda_sim/tests/planted.h"

namespace {

using Sizes = std::vector<int64_t>;  // N, C, H, W

// A descriptor that is destroyed with the test, and remembers its first refusal.
struct Box {
  cudnnBackendDescriptor_t raw = nullptr;
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  explicit Box(cudnnBackendDescriptorType_t type) { cudnnBackendCreateDescriptor(type, &raw); }
  Box(Box&& other) noexcept : raw(std::exchange(other.raw, nullptr)), status(other.status) {}
  ~Box() {
    if (raw) cudnnBackendDestroyDescriptor(raw);
  }
  template <class T>
  Box& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const std::vector<T>& values) {
    return keep(
        cudnnBackendSetAttribute(raw, name, type, static_cast<int64_t>(values.size()), values.data()));
  }
  Box& set(cudnnBackendAttributeName_t name, int64_t value) {
    return set<int64_t>(name, CUDNN_TYPE_INT64, {value});
  }
  Box& set(cudnnBackendAttributeName_t name, float value) {
    return set<float>(name, CUDNN_TYPE_FLOAT, {value});
  }
  Box& set(cudnnBackendAttributeName_t name, const Box& part) {
    return set<cudnnBackendDescriptor_t>(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, {part.raw});
  }
  Box& flag(cudnnBackendAttributeName_t name) {
    bool yes = true;
    return keep(cudnnBackendSetAttribute(raw, name, CUDNN_TYPE_BOOLEAN, 1, &yes));
  }
  Box& finish() { return keep(cudnnBackendFinalize(raw)); }
  Box& keep(cudnnStatus_t s) {
    if (status == CUDNN_STATUS_SUCCESS) status = s;
    return *this;
  }
};

enum Ids : int64_t { kX = 1, kW, kY, kShift, kZero, kWithin };

Box tensor(int64_t id, const Sizes& s, cudnnDataType_t type, bool is_virtual = false,
           int64_t alignment = 16) {
  Box t(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  t.set<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, {type});
  t.set<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, s);
  t.set<int64_t>(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, {s[1] * s[2] * s[3], 1, s[1] * s[3], s[1]});
  t.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id).set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment);
  if (is_virtual) t.flag(CUDNN_ATTR_TENSOR_IS_VIRTUAL);
  t.finish();
  return t;
}

Box window(int64_t stride, int64_t pad) {
  Box c(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  c.set<cudnnDataType_t>(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT});
  c.set<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE,
                                {CUDNN_CROSS_CORRELATION});
  c.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t{2});
  c.set<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, {pad, pad});
  c.set<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, {pad, pad});
  c.set<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, {stride, stride});
  c.set<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, {1, 1});
  c.finish();
  return c;
}

Box statistics(const Box& x, const Box& sum, const Box& squares) {
  Box op(CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR);
  op.set<cudnnGenStatsMode_t>(CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_TYPE_GENSTATS_MODE, {CUDNN_GENSTATS_SUM_SQSUM});
  op.set<cudnnDataType_t>(CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT});
  op.set(CUDNN_ATTR_OPERATION_GENSTATS_XDESC, x).set(CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, sum);
  op.set(CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, squares).finish();
  return op;
}

enum class Pass { forward, data, filter };

Box convolution(Pass pass, const Box& win, const Box& x, const Box& w, const Box& y, float beta = 0) {
  if (pass == Pass::forward) {
    Box op(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, win)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w).set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 1.0f)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, beta)
        .finish();
    return op;
  }
  if (pass == Pass::data) {
    Box op(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, win)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, x);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, w)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, y);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 1.0f)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, beta)
        .finish();
    return op;
  }
  Box op(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR);
  op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, win)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, x);
  op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, w)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, y);
  op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, 1.0f)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, beta)
      .finish();
  return op;
}

Box pointwise(cudnnPointwiseMode_t mode, const Box& x, const Box& b, const Box* t, const Box& y) {
  Box function(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  function.set<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, {mode}).finish();
  Box op(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  op.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function).set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
  op.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b).set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  if (t) op.set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, *t);
  op.finish();
  return op;
}

// The configurations for a graph of these operations; their ids go to `ids`.
std::vector<Box> engines(const std::vector<cudnnBackendDescriptor_t>& ops, std::vector<int64_t>* ids,
                         cudnnStatus_t* status = nullptr) {
  Box graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR), device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR),
      heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  graph.set<cudnnBackendDescriptor_t>(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, ops)
      .finish();
  device.set<int32_t>(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, {0}).finish();
  heuristics.set<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE,
                                         {CUDNN_HEUR_MODE_A});
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device)
      .finish();
  if (status) *status = graph.status != CUDNN_STATUS_SUCCESS ? graph.status : heuristics.status;
  int64_t count = 0;
  if (cudnnBackendGetAttribute(heuristics.raw, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                               0, &count, nullptr))
    return {};
  std::vector<Box> configs;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int64_t i = 0; i < count; ++i)
    raw.push_back(configs.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).raw);
  cudnnBackendGetAttribute(heuristics.raw, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                           count, &count, raw.data());
  for (const Box& config : configs) {
    Box engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    int64_t id = -1, one = 0;
    cudnnBackendGetAttribute(config.raw, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &one,
                             &engine.raw);
    cudnnBackendGetAttribute(engine.raw, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &one, &id);
    if (ids) ids->push_back(id);
  }
  return configs;
}

struct Memory {
  std::vector<int64_t> ids;
  std::vector<void*> pointers;
  bool with_workspace = true;
};

// Makes a plan of the configuration and runs it; the first status that is no success.
cudnnStatus_t execute(const Box& config, const Memory& memory) {
  Box plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config).finish();
  if (plan.status != CUDNN_STATUS_SUCCESS) return plan.status;
  int64_t bytes = 0, one = 0;
  cudnnBackendGetAttribute(plan.raw, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &one,
                           &bytes);
  OnDevice<char> workspace(static_cast<size_t>(bytes) + 1);
  Box pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, memory.ids);
  pack.set<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, memory.pointers);
  pack.set<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR,
                  {memory.with_workspace && bytes ? workspace.data : nullptr});
  pack.finish();
  if (pack.status != CUDNN_STATUS_SUCCESS) return pack.status;
  cudnnHandle_t handle;
  cudnnCreate(&handle);
  cudnnStatus_t status = cudnnBackendExecute(handle, plan.raw, pack.raw);
  cudaDeviceSynchronize();
  cudnnDestroy(handle);
  return status;
}

std::vector<float> numbers(int64_t n, int start) {
  std::vector<float> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>((i * 29 + static_cast<size_t>(start)) % 23) / 11 - 1;
  return x;
}

struct Problem {
  int64_t N = 2, C = 3, H = 7, W = 6, K = 4, R = 3, S = 2, stride = 2, pad = 1, P = 4, Q = 4;
  Sizes x() const { return {N, C, H, W}; }
  Sizes w() const { return {K, C, R, S}; }
  Sizes y() const { return {N, K, P, Q}; }
  // The sums that any of the three passes is: over all n, p, q, k, r, s, c with x inside the image.
  void each(const std::function<void(size_t x, size_t w, size_t y)>& body) const {
    for (int64_t n = 0; n < N; ++n)
      for (int64_t p = 0; p < P; ++p)
        for (int64_t q = 0; q < Q; ++q)
          for (int64_t k = 0; k < K; ++k)
            for (int64_t r = 0; r < R; ++r)
              for (int64_t s = 0; s < S; ++s)
                for (int64_t c = 0; c < C; ++c) {
                  int64_t h = p * stride + r - pad, w = q * stride + s - pad;
                  if (h < 0 || h >= H || w < 0 || w >= W) continue;
                  body(static_cast<size_t>(((n * H + h) * W + w) * C + c),
                       static_cast<size_t>(((k * R + r) * S + s) * C + c),
                       static_cast<size_t>(((n * P + p) * Q + q) * K + k));
                }
  }
};

int64_t count(const Sizes& s) { return s[0] * s[1] * s[2] * s[3]; }

double worst(const std::vector<float>& got, const std::vector<double>& wanted) {
  double most = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    double difference = std::abs(static_cast<double>(got[i]) - wanted[i]);
    if (!(difference <= most)) most = difference;
  }
  return most;
}

}  // namespace

TEST_CASE("dnn: the three convolutions by every engine that can be made, against plain loops") {
  Problem p;
  std::vector<float> x = numbers(count(p.x()), 1), w = numbers(count(p.w()), 2), y = numbers(count(p.y()), 3);
  for (Pass pass : {Pass::forward, Pass::data, Pass::filter}) {
    CAPTURE(static_cast<int>(pass));
    std::vector<double> wanted(pass == Pass::forward ? y.size()
                               : pass == Pass::data  ? x.size()
                                                     : w.size(),
                               0);
    p.each([&](size_t i, size_t j, size_t k) {
      if (pass == Pass::forward) wanted[k] += static_cast<double>(x[i]) * static_cast<double>(w[j]);
      if (pass == Pass::data) wanted[i] += static_cast<double>(y[k]) * static_cast<double>(w[j]);
      if (pass == Pass::filter) wanted[j] += static_cast<double>(y[k]) * static_cast<double>(x[i]);
    });
    Box win = window(p.stride, p.pad), tx = tensor(kX, p.x(), CUDNN_DATA_FLOAT),
        tw = tensor(kW, p.w(), CUDNN_DATA_FLOAT), ty = tensor(kY, p.y(), CUDNN_DATA_FLOAT);
    Box op = convolution(pass, win, tx, tw, ty);
    CHECK(op.status == CUDNN_STATUS_SUCCESS);
    std::vector<int64_t> ids;
    std::vector<Box> configs = engines({op.raw}, &ids);
    REQUIRE(configs.size() >= 4);
    int good = 0, refused = 0;
    for (size_t i = 0; i < configs.size(); ++i) {
      OnDevice<float> X(x), W(w), Y(y);
      cudnnStatus_t status = execute(configs[i], {{kX, kW, kY}, {X.data, W.data, Y.data}});
      if (status != CUDNN_STATUS_SUCCESS) {
        ++refused;
        continue;
      }
      double error = worst(pass == Pass::forward ? Y.host()
                           : pass == Pass::data  ? X.host()
                                                 : W.host(),
                           wanted);
      if (ids[i] == 30) {
        CHECK((error > 1e-5 && error < 1e-2));  // it rounds what it multiplies, and that shows
      } else {
        CHECK(error <= 1e-5);
        ++good;
      }
    }
    CHECK(good >= 2);
    CHECK(refused == 1);
  }
}

TEST_CASE("dnn: a gradient of x onto another, by beta and by a fused sum") {
  Problem p;
  std::vector<float> onto = numbers(count(p.x()), 1), w = numbers(count(p.w()), 2),
                     y = numbers(count(p.y()), 3);
  std::vector<double> wanted(onto.begin(), onto.end());
  p.each([&](size_t i, size_t j, size_t k) {
    wanted[i] += static_cast<double>(y[k]) * static_cast<double>(w[j]);
  });
  Box win = window(p.stride, p.pad), tx = tensor(kX, p.x(), CUDNN_DATA_FLOAT),
      tw = tensor(kW, p.w(), CUDNN_DATA_FLOAT), ty = tensor(kY, p.y(), CUDNN_DATA_FLOAT);
  OnDevice<float> X(onto), W(w), Y(y), Z(onto.size());
  Box in_place = convolution(Pass::data, win, tx, tw, ty, 1);
  CHECK(execute(engines({in_place.raw}, nullptr).back(), {{kX, kW, kY}, {X.data, W.data, Y.data}}) ==
        CUDNN_STATUS_SUCCESS);
  CHECK(worst(X.host(), wanted) <= 1e-5);

  OnDevice<float> old(onto);
  Box within = tensor(kWithin, p.x(), CUDNN_DATA_FLOAT, true), sum = tensor(kShift, p.x(), CUDNN_DATA_FLOAT);
  Box dx = convolution(Pass::data, win, within, tw, ty),
      add = pointwise(CUDNN_POINTWISE_ADD, within, tx, nullptr, sum);
  std::vector<Box> fused = engines({dx.raw, add.raw}, nullptr);
  REQUIRE(fused.size() == 1);
  CHECK(execute(fused[0], {{kX, kW, kY, kShift}, {old.data, W.data, Y.data, Z.data}}) ==
        CUDNN_STATUS_SUCCESS);
  CHECK(worst(Z.host(), wanted) <= 1e-2);  // its inputs are rounded to tf32
}

TEST_CASE("dnn: bf16, with sums in f32") {
  Problem p;
  std::vector<float> x = numbers(count(p.x()), 1), w = numbers(count(p.w()), 2);
  std::vector<uint16_t> x16, w16;
  for (float v : x) x16.push_back(cuda_sim::to_bf16(v));
  for (float v : w) w16.push_back(cuda_sim::to_bf16(v));
  std::vector<double> wanted(static_cast<size_t>(count(p.y())), 0);
  p.each([&](size_t i, size_t j, size_t k) {
    wanted[k] +=
        static_cast<double>(cuda_sim::from_bf16(x16[i])) * static_cast<double>(cuda_sim::from_bf16(w16[j]));
  });
  Box win = window(p.stride, p.pad), tx = tensor(kX, p.x(), CUDNN_DATA_BFLOAT16),
      tw = tensor(kW, p.w(), CUDNN_DATA_BFLOAT16), ty = tensor(kY, p.y(), CUDNN_DATA_BFLOAT16);
  Box op = convolution(Pass::forward, win, tx, tw, ty);
  std::vector<int64_t> ids;
  std::vector<Box> configs = engines({op.raw}, &ids);
  bool coarse_shows = false;
  for (size_t i = 0; i < configs.size(); ++i) {
    OnDevice<uint16_t> X(x16), W(w16), Y(wanted.size());
    CHECK(execute(configs[i], {{kX, kW, kY}, {X.data, W.data, Y.data}}) == CUDNN_STATUS_SUCCESS);
    std::vector<uint16_t> y = Y.host();
    bool right = true;
    for (size_t k = 0; k < y.size(); ++k)
      right &= std::abs(static_cast<double>(cuda_sim::from_bf16(y[k])) - wanted[k]) <=
               std::abs(wanted[k]) / 256 + 1e-6;
    if (ids[i] == 40) coarse_shows = !right;
    if (ids[i] != 40) CHECK(right);
  }
  CHECK(coarse_shows);
}

TEST_CASE("dnn: a convolution with the sums of its result and of their squares") {
  Problem p;
  std::vector<uint16_t> x, w;
  for (float v : numbers(count(p.x()), 1)) x.push_back(cuda_sim::to_bf16(v));
  for (float v : numbers(count(p.w()), 2)) w.push_back(cuda_sim::to_bf16(v));
  Box win = window(p.stride, p.pad), tx = tensor(kX, p.x(), CUDNN_DATA_BFLOAT16), tw = tensor(kW, p.w(), CUDNN_DATA_BFLOAT16),
      ty = tensor(kY, p.y(), CUDNN_DATA_BFLOAT16);
  enum : int64_t { kSum = kWithin, kSquares };
  auto sums = [&](int64_t id, const Sizes& sizes, cudnnDataType_t type = CUDNN_DATA_FLOAT) { return tensor(id, sizes, type); };
  Box sum = sums(kSum, {1, p.K, 1, 1}), squares = sums(kSquares, {1, p.K, 1, 1});
  Box conv = convolution(Pass::forward, win, tx, tw, ty), stats = statistics(ty, sum, squares);
  CHECK(stats.status == CUDNN_STATUS_SUCCESS);
  int ran = 0;
  for (const Box& config : engines({conv.raw, stats.raw}, nullptr)) {
    OnDevice<uint16_t> X(x), W(w), Y(static_cast<size_t>(count(p.y())));
    OnDevice<float> S(static_cast<size_t>(p.K)), Q(static_cast<size_t>(p.K));
    if (execute(config, {{kX, kW, kY, kSum, kSquares}, {X.data, W.data, Y.data, S.data, Q.data}}) != CUDNN_STATUS_SUCCESS)
      continue;  // one refuses to be made
    ++ran;
    std::vector<uint16_t> y = Y.host();
    std::vector<double> of_y(static_cast<size_t>(p.K), 0), of_squares(of_y);
    for (size_t i = 0; i < y.size(); ++i) {
      auto v = static_cast<double>(cuda_sim::from_bf16(y[i]));
      of_y[i % of_y.size()] += v, of_squares[i % of_y.size()] += v * v;
    }
    CHECK(worst(S.host(), of_y) <= 1e-4);
    CHECK(worst(Q.host(), of_squares) <= 1e-4);
  }
  CHECK(ran == 2);

  auto refusal = [&](const Box& a, const Box& b) {
    Box other = statistics(ty, a, b);
    CHECK(other.status == CUDNN_STATUS_SUCCESS);  // as the real one: it is found when engines are asked for
    cudnnStatus_t status;
    CHECK(engines({conv.raw, other.raw}, nullptr, &status).empty());
    return status;
  };
  CHECK(refusal(sums(kSum, {1, p.K - 1, 1, 1}), squares) == CUDNN_STATUS_NOT_SUPPORTED_SHAPE);
  CHECK(refusal(sum, sums(kSquares, {p.K, 1, 1, 1})) == CUDNN_STATUS_NOT_SUPPORTED_SHAPE);
  CHECK(refusal(sum, sums(kSquares, {1, p.K, 1, 1}, CUDNN_DATA_BFLOAT16)) == CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE);
  Box alone(CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR);
  CHECK(alone.set(CUDNN_ATTR_OPERATION_GENSTATS_XDESC, ty).finish().status != CUDNN_STATUS_SUCCESS);  // no place for the sums
}

TEST_CASE("dnn: convolution, shift and relu in one graph; NaN passes the select, not the relu") {
  Problem p;
  std::vector<float> x = numbers(count(p.x()), 1), w = numbers(count(p.w()), 2), shift = {0.5f, -0.25f, 0, 2};
  x[0] = NAN;
  std::vector<double> wanted(static_cast<size_t>(count(p.y())), 0);
  p.each([&](size_t i, size_t j, size_t k) {
    wanted[k] += static_cast<double>(x[i]) * static_cast<double>(w[j]);
  });
  for (size_t k = 0; k < wanted.size(); ++k) {
    wanted[k] += static_cast<double>(shift[k % 4]);
    if (wanted[k] <= 0) wanted[k] = 0;
  }
  Box win = window(p.stride, p.pad), tx = tensor(kX, p.x(), CUDNN_DATA_FLOAT),
      tw = tensor(kW, p.w(), CUDNN_DATA_FLOAT), ty = tensor(kY, p.y(), CUDNN_DATA_FLOAT),
      ts = tensor(kShift, {1, p.K, 1, 1}, CUDNN_DATA_FLOAT);
  Box a = tensor(kWithin, p.y(), CUDNN_DATA_FLOAT, true),
      b = tensor(kWithin + 1, p.y(), CUDNN_DATA_FLOAT, true),
      mask = tensor(kWithin + 2, p.y(), CUDNN_DATA_BOOLEAN, true);
  Box zero(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  zero.set<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT});
  zero.set<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, {1, 1, 1, 1})
      .set<int64_t>(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, {1, 1, 1, 1});
  zero.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, int64_t{kZero})
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, int64_t{4})
      .flag(CUDNN_ATTR_TENSOR_IS_BY_VALUE)
      .finish();
  Box conv = convolution(Pass::forward, win, tx, tw, a),
      add = pointwise(CUDNN_POINTWISE_ADD, a, ts, nullptr, b),
      compare = pointwise(CUDNN_POINTWISE_CMP_LE, b, zero, nullptr, mask),
      select = pointwise(CUDNN_POINTWISE_BINARY_SELECT, zero, b, &mask, ty);
  std::vector<Box> configs = engines({conv.raw, add.raw, compare.raw, select.raw}, nullptr);
  REQUIRE(configs.size() == 1);
  OnDevice<float> X(x), W(w), S(shift), Y(wanted.size());
  float nothing = 0;
  CHECK(execute(configs[0], {{kX, kW, kY, kShift, kZero}, {X.data, W.data, Y.data, S.data, &nothing}}) ==
        CUDNN_STATUS_SUCCESS);
  std::vector<float> y = Y.host();
  int nans = 0;
  for (size_t k = 0; k < y.size(); ++k) {
    CHECK(std::isnan(y[k]) == std::isnan(wanted[k]));
    nans += std::isnan(y[k]);
    if (!std::isnan(y[k])) CHECK(std::abs(static_cast<double>(y[k]) - wanted[k]) <= 1e-2);
  }
  CHECK(nans > 0);
  CHECK(engines({add.raw, conv.raw}, nullptr).empty());  // read before it is written
}

TEST_CASE("dnn: what the real one refuses") {
  Problem p;
  Box win = window(p.stride, p.pad), tx = tensor(kX, p.x(), CUDNN_DATA_FLOAT),
      tw = tensor(kW, p.w(), CUDNN_DATA_FLOAT), ty = tensor(kY, p.y(), CUDNN_DATA_FLOAT);
  CHECK(convolution(Pass::forward, win, tx, tw, tensor(kY, {2, 4, 3, 4}, CUDNN_DATA_FLOAT)).status ==
        CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH);
  CHECK(tx.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, int64_t{9}).status == CUDNN_STATUS_BAD_PARAM);  // finalized
  Box x16 = tensor(kX, p.x(), CUDNN_DATA_BFLOAT16), y16 = tensor(kY, p.y(), CUDNN_DATA_BFLOAT16);
  Box dw = convolution(Pass::filter, win, x16, tw, y16);
  cudnnStatus_t status;
  CHECK(engines({dw.raw}, nullptr, &status).empty());
  CHECK(status == CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE);  // f32 gradients from 16-bit inputs
  Box wrong(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  CHECK(wrong.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, 1.0f).status == CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE);
  char words[200];
  cudnnGetLastErrorString(words, sizeof words);
  CHECK(std::string(words).find("attribute 906 is of type 3, not 4") != std::string::npos);

  Box fresh = tensor(kX, p.x(), CUDNN_DATA_FLOAT);
  Box op = convolution(Pass::forward, win, fresh, tw, ty);
  std::vector<int64_t> ids;
  std::vector<Box> configs = engines({op.raw}, &ids);
  OnDevice<float> X(static_cast<size_t>(count(p.x())) + 1), W(static_cast<size_t>(count(p.w()))),
      Y(static_cast<size_t>(count(p.y())));
  size_t with_workspace = 0;
  while (ids[with_workspace] != 2) ++with_workspace;
  Memory memory{{kX, kW, kY}, {X.data, W.data, Y.data}};
  CHECK(execute(configs[with_workspace], memory) == CUDNN_STATUS_SUCCESS);
  memory.with_workspace = false;
  CHECK(execute(configs[with_workspace], memory) == CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  memory = {{kX, kW, kY}, {X.data + 1, W.data, Y.data}};
  CHECK(execute(configs[0], memory) == CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER);
  memory = {{kX, kY}, {X.data, Y.data}};
  CHECK(execute(configs[0], memory) == CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  memory = {{kX, kW, kW}, {X.data, W.data, Y.data}};
  CHECK(execute(configs[0], memory) == CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES);
  Child child = in_child([&] {
    OnDevice<float> small(8);
    execute(configs[0], {{kX, kW, kY}, {X.data, W.data, small.data}});
  });
  CHECK(!child.exited_well);
  CHECK_MESSAGE(child.says("cudnnBackendExecute: a tensor that is written: 512 bytes"), child.said);

  cudaStream_t stream;
  cudaGraph_t graph;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  CHECK(execute(configs[0], memory) ==
        CUDNN_STATUS_EXECUTION_FAILED_CUDART);  // a plan is made during capture
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
  cudaStreamDestroy(stream);
  cudaGetLastError();
}
