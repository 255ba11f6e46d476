// cuDNN's backend descriptors: boxes of named attributes, filled, finalized, and then only read.
// Next: dnn_graph.cpp, what finalizing checks.
#pragma once
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "cudnn_graph.h"

namespace cuda_sim {

struct Descriptor;
using DescriptorRef = std::shared_ptr<const Descriptor>;

struct Engine {
  int64_t id = 0, workspace = 0;
  std::vector<cudnnBackendNumericalNote_t> numerical;
  std::vector<cudnnBackendBehaviorNote_t> behaviour;
  bool refuses_plan = false;  ///< listed, but cannot be made after all
  bool has(cudnnBackendNumericalNote_t note) const {
    for (auto n : numerical)
      if (n == note) return true;
    return false;
  }
};

struct Value {
  int64_t count = 0;
  std::vector<char> bytes;
  std::vector<DescriptorRef> descriptors;
};

struct Descriptor {
  cudnnBackendDescriptorType_t type;
  bool finalized = false;
  std::map<cudnnBackendAttributeName_t, Value> values;
  // What finalizing (or, for engines and their configurations, the heuristics) puts in.
  std::vector<DescriptorRef> results;  // of heuristics: configurations
  std::shared_ptr<const Engine> engine;
  DescriptorRef graph;

  bool has(cudnnBackendAttributeName_t name) const { return values.count(name) != 0; }
  /// All values of an attribute, none if it was not set.
  template <class T>
  std::vector<T> all(cudnnBackendAttributeName_t name) const {
    auto it = values.find(name);
    if (it == values.end()) return {};
    std::vector<T> out(static_cast<size_t>(it->second.count));
    for (size_t i = 0; i < out.size(); ++i)
      std::memcpy(&out[i], it->second.bytes.data() + i * sizeof(T), sizeof(T));
    return out;
  }
  template <class T>
  T one(cudnnBackendAttributeName_t name, T otherwise = T{}) const {
    auto it = values.find(name);
    if (it != values.end() && it->second.bytes.size() >= sizeof(T))
      std::memcpy(&otherwise, it->second.bytes.data(), sizeof(T));
    return otherwise;
  }
  std::vector<DescriptorRef> refs(cudnnBackendAttributeName_t name) const {
    auto it = values.find(name);
    return it == values.end() ? std::vector<DescriptorRef>{} : it->second.descriptors;
  }
  DescriptorRef ref(cudnnBackendAttributeName_t name) const {
    auto list = refs(name);
    return list.empty() ? nullptr : list[0];
  }
};

/// A tensor descriptor, read: sizes as N, C, H, W.
struct DnnTensor {
  int64_t id, alignment;
  std::vector<int64_t> sizes, strides;
  cudnnDataType_t type;
  bool is_virtual, by_value;
  explicit DnnTensor(const Descriptor& d)
      : id(d.one<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID)),
        alignment(d.one<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT)),
        sizes(d.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS)),
        strides(d.all<int64_t>(CUDNN_ATTR_TENSOR_STRIDES)),
        type(d.one<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE)),
        is_virtual(d.one<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL)),
        by_value(d.one<bool>(CUDNN_ATTR_TENSOR_IS_BY_VALUE)) {}
  int64_t count() const { return sizes[0] * sizes[1] * sizes[2] * sizes[3]; }
  /// Dense, channels fastest: N, H, W, C.
  bool is_nhwc() const {
    auto same = [&](int i, int64_t stride) {
      return sizes[static_cast<size_t>(i)] == 1 || strides[static_cast<size_t>(i)] == stride;
    };
    return same(1, 1) && same(3, sizes[1]) && same(2, sizes[1] * sizes[3]) &&
           same(0, sizes[1] * sizes[2] * sizes[3]);
  }
};

/// The names under which the three convolutions keep their parts: the window, x or dx, w or dw, y or dy.
struct ConvNames {
  cudnnBackendAttributeName_t window, x, w, y, alpha, beta;
};
/// Null for an operation that is no convolution.
const ConvNames* conv_names(cudnnBackendDescriptorType_t type);

/// Keeps the words for cudnnGetLastErrorString; hands the status on.
cudnnStatus_t refuse(cudnnStatus_t status, const char* format, ...) __attribute__((format(printf, 2, 3)));

/// Checks a descriptor that is about to be finalized, and fills in what follows from its attributes.
cudnnStatus_t finalize(Descriptor& descriptor);
/// The engines for a graph, the one held for the fastest first; none is NOT_SUPPORTED.
cudnnStatus_t choose_engines(Descriptor& heuristics);

/// The descriptor behind a handle; null if there is none.
std::shared_ptr<Descriptor> find_descriptor(cudnnBackendDescriptor_t handle);

}  // namespace cuda_sim

struct cudnnContext {
  cudaStream_t stream = nullptr;
};
