// The classes and functions that a pickle of weights may name. None is ever called: each stands for one of a
// few harmless things that the interpreter does instead.
#pragma once
#include <cstdint>
#include <string>

#include "nn/weights/stored_tensor.h"

namespace plumage {

/// What calling it makes.
enum class GlobalRole : uint8_t {
  dictionary,  ///< OrderedDict and its like
  list,        ///< torch.Size, set
  record,     ///< something that weights do not need (a Namespace of options, a NumPy scalar): a mark that it
              ///< was there
  tensor_v1,  ///< torch._utils._rebuild_tensor(storage, offset, size, stride)
  tensor_v2,  ///< .. with requires_grad and hooks behind
  tensor_v3,  ///< .. and the dtype as the seventh
  first_argument,   ///< a Parameter of a tensor: the tensor
  typed_call,       ///< torch._tensor._rebuild_from_type_v2(function, type, arguments, state)
  element_type,     ///< torch.FloatStorage, torch.float32: not called
  untyped_storage,  ///< torch.storage.UntypedStorage: not called
};

struct KnownGlobal {
  GlobalRole role;
  StoredType type;  ///< of an element_type
};

/// Whether `module`.`name` is on the list, and as what.
bool find_global(const std::string& module, const std::string& name, KnownGlobal* found);

}  // namespace plumage
