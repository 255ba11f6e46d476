#include "nn/weights/pickle_globals.h"

#include <cstring>

namespace plumage {

namespace {

struct Listed {
  const char* module;
  const char* name;
  GlobalRole role;
};

constexpr Listed kListed[] = {
    {"collections", "OrderedDict", GlobalRole::dictionary},
    {"collections", "defaultdict", GlobalRole::dictionary},
    {"collections", "Counter", GlobalRole::dictionary},
    {"torch._utils", "_rebuild_tensor", GlobalRole::tensor_v1},
    {"torch._utils", "_rebuild_tensor_v2", GlobalRole::tensor_v2},
    {"torch._utils", "_rebuild_tensor_v3", GlobalRole::tensor_v3},
    {"torch._utils", "_rebuild_parameter", GlobalRole::first_argument},
    {"torch._utils", "_rebuild_parameter_with_state", GlobalRole::first_argument},
    {"torch._tensor", "_rebuild_from_type_v2", GlobalRole::typed_call},
    {"torch", "Tensor", GlobalRole::first_argument},
    {"torch.nn.parameter", "Parameter", GlobalRole::first_argument},
    {"torch.nn.parameter", "Buffer", GlobalRole::first_argument},
    {"torch.storage", "UntypedStorage", GlobalRole::untyped_storage},
    {"torch", "UntypedStorage", GlobalRole::untyped_storage},
    {"torch", "Size", GlobalRole::list},
    {"torch", "device", GlobalRole::record},
    {"torch.torch_version", "TorchVersion", GlobalRole::record},
    // Plain Python values that options and logs are made of.
    {"_codecs", "encode", GlobalRole::record},
    {"argparse", "Namespace", GlobalRole::record},
    {"pathlib", "PosixPath", GlobalRole::record},
    {"pathlib", "WindowsPath", GlobalRole::record},
    {"numpy", "dtype", GlobalRole::record},
    {"numpy", "ndarray", GlobalRole::record},
    {"numpy.core.multiarray", "scalar", GlobalRole::record},
    {"numpy._core.multiarray", "scalar", GlobalRole::record},
    {"numpy.core.multiarray", "_reconstruct", GlobalRole::record},
    {"numpy._core.multiarray", "_reconstruct", GlobalRole::record},
    // What Lightning, solo-learn (OmegaConf) and MMEngine put beside the weights.
    {"pytorch_lightning.utilities.parsing", "AttributeDict", GlobalRole::dictionary},
    {"lightning.pytorch.utilities.parsing", "AttributeDict", GlobalRole::dictionary},
    {"lightning_fabric.utilities.data", "AttributeDict", GlobalRole::dictionary},
    {"lightning.fabric.utilities.data", "AttributeDict", GlobalRole::dictionary},
    {"pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", GlobalRole::record},
    {"omegaconf.dictconfig", "DictConfig", GlobalRole::record},
    {"omegaconf.listconfig", "ListConfig", GlobalRole::record},
    {"omegaconf.base", "ContainerMetadata", GlobalRole::record},
    {"omegaconf.base", "Metadata", GlobalRole::record},
    {"omegaconf.nodes", "AnyNode", GlobalRole::record},
    {"typing", "Any", GlobalRole::record},
    {"mmengine.logging.history_buffer", "HistoryBuffer", GlobalRole::record},
};

// Types of Python's own, under the module's name in either Python.
constexpr Listed kBuiltins[] = {
    {"", "dict", GlobalRole::dictionary},  {"", "list", GlobalRole::list},
    {"", "tuple", GlobalRole::list},       {"", "set", GlobalRole::list},
    {"", "frozenset", GlobalRole::list},   {"", "int", GlobalRole::record},
    {"", "long", GlobalRole::record},      {"", "float", GlobalRole::record},
    {"", "bool", GlobalRole::record},      {"", "str", GlobalRole::record},
    {"", "unicode", GlobalRole::record},   {"", "bytes", GlobalRole::record},
    {"", "bytearray", GlobalRole::record}, {"", "complex", GlobalRole::record},
};

}  // namespace

bool find_global(const std::string& module, const std::string& name, KnownGlobal* found) {
  for (const Listed& listed : kListed)
    if (module == listed.module && name == listed.name) return *found = {listed.role, {}}, true;
  if (module == "builtins" || module == "__builtin__")
    for (const Listed& listed : kBuiltins)
      if (name == listed.name) return *found = {listed.role, {}}, true;
  const StoredTypeInfo* type = nullptr;
  if (module == "torch" || module == "torch.cuda") type = find_torch_storage(name);
  if (!type && module == "torch") type = find_torch_type(name);
  if (!type) return false;
  *found = {GlobalRole::element_type, type->type};
  return true;
}

}  // namespace plumage
