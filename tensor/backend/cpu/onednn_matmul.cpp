// Matrix products by oneDNN; transposes are strides. One primitive serves all matrices of a batch.
#include "tensor/backend/cpu/gemm.h"

#ifdef PLUMAGE_HAS_ONEDNN
#include "tensor/backend/cpu/onednn.h"

namespace plumage::cpu::onednn {
namespace {

using dnnl::memory;

enum { kMatmul = 4 };

Planned plan_for(OneDnn& dnn, memory::data_type type, memory::data_type result, memory::dims a, memory::dims b, bool transpose_a, bool transpose_b) {
  int64_t batch = a[0], m = a[1], k = a[2], n = b[2];
  Planned plan;
  plan.source = {{batch, m, k}, type, transpose_a ? memory::dims{m * k, 1, m} : memory::dims{m * k, k, 1}};
  plan.weights = {{batch, k, n}, type, transpose_b ? memory::dims{k * n, 1, k} : memory::dims{k * n, n, 1}};
  plan.result = {{batch, m, n}, result, memory::dims{m * n, n, 1}};
  dnnl::matmul::primitive_desc d(dnnl::matmul::desc(plan.source, plan.weights, plan.result), own_scratchpad(), dnn.engine);
  plan.scratchpad = d.scratchpad_desc();
  plan.primitive = dnnl::matmul(d);
  return plan;
}

}  // namespace

bool matmul(Context& context, In a, In b, Out y, const Product& p) {
  auto [batch, m, n, k, transpose_a, transpose_b] = p;
  OneDnn& dnn = OneDnn::of(context);
  PrimitiveKey key{kMatmul, int64_t(a.dtype), int64_t(y.dtype), context.threads(), batch, m, n, k, transpose_a, transpose_b};
  auto found = dnn.planned.find(key);
  if (found == dnn.planned.end())
    found = dnn.planned.emplace(key, plan_for(dnn, onednn_type(a.dtype), onednn_type(y.dtype), {batch, m, k}, {batch, k, n}, transpose_a, transpose_b)).first;
  Planned& plan = found->second;
  plan.primitive.execute(
      dnn.stream, {{DNNL_ARG_SRC, dnn.memory(plan.source, a.data)}, {DNNL_ARG_WEIGHTS, dnn.memory(plan.weights, b.data)},
                   {DNNL_ARG_DST, dnn.memory(plan.result, y.data)},
                   {DNNL_ARG_SCRATCHPAD, dnn.memory(plan.scratchpad, context.scratch(int64_t(plan.scratchpad.get_size())))}});
  return true;
}

}  // namespace plumage::cpu::onednn

#else
namespace plumage::cpu::onednn {
bool matmul(Context&, In, In, Out, const Product&) { return false; }
}  // namespace plumage::cpu::onednn
#endif  // PLUMAGE_HAS_ONEDNN
