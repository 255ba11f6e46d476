// A module's state in and out of named tensors, in torchvision's names and layouts (convolution weights
// OIHW).
#pragma once
#include <string>
#include <vector>

#include "nn/module.h"
#include "nn/weights/safetensors.h"

namespace plumage {

struct LoadReport {
  int64_t matched = 0;
  std::vector<std::string> missing;     ///< wanted by the module, absent in the file
  std::vector<std::string> unexpected;  ///< in the file (under the prefix), unknown to the module
  std::vector<std::string> mismatched;  ///< "name: file [..], module [..]"
};

struct LoadOptions {
  std::string prefix;  ///< only names under it, which is cut off; "encoder" and "encoder." are the same
  std::vector<std::string> allow_missing;  ///< patterns with * of names that may be missing
  std::vector<std::string> allow_unexpected;
  std::string file_name;  ///< for messages
};

/// Fills the module by name, strictly: throws InputError with the counts and the first few names unless every
/// name matches or is allowed. A file that fills nothing is an error. num_batches_tracked is passed over.
LoadReport load_state(Module& module, const std::map<std::string, Tensor>& tensors,
                      const LoadOptions& options = {});

/// The module's state under `prefix`, convolution weights as OIHW.
void store_state(Module& module, const std::string& prefix, std::map<std::string, Tensor>& tensors);

/// On the CPU, in memory of its own, as files hold it: convolution weights OIHW.
Tensor as_stored(const Tensor& value);
/// [K,R,S,C] -> [K,C,R,S] and back.
Tensor to_oihw(const Tensor& w);
Tensor from_oihw(const Tensor& w);

}  // namespace plumage
