// oneDNN as this backend uses it: one engine and stream, primitives kept by shape, scratch memory from Context.
// Included by onednn_*.cpp alone. Written for version 2.6 and 2.7.
#pragma once
#include <array>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>

#include "tensor/backend/cpu/parallel.h"

namespace plumage::cpu {

/// What tells primitives apart: kind, type, sizes, threads.
using PrimitiveKey = std::array<int64_t, 14>;

/// A primitive with the memory formats that it wants. Where `weights` differs from `our_weights`, a reorder
/// goes before it (into scratch); for the gradient of the weights always after it.
struct Planned {
  dnnl::primitive primitive, reorder;
  dnnl::memory::desc source, weights, our_weights, result, scratchpad;
  bool usable = false;  ///< false: oneDNN has only its reference implementation
};

struct OneDnn {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<PrimitiveKey, Planned> planned;

  static OneDnn& of(Context& context) {
    if (!context.primitives) context.primitives = std::make_shared<OneDnn>();
    return *static_cast<OneDnn*>(context.primitives.get());
  }
  dnnl::memory memory(const dnnl::memory::desc& desc, const void* data) {
    return dnnl::memory(desc, engine, const_cast<void*>(data));
  }
};

enum ScratchSlot { kScratchpad = 0, kScratchWeights = 1, kScratchColumns = 2, kScratchPartials = 3 };

inline dnnl::primitive_attr own_scratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

inline dnnl::memory::data_type onednn_type(DType t) {
  return t == DType::bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

}  // namespace plumage::cpu
