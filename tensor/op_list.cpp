#include "tensor/backend/kernels.h"

namespace plumage {

std::span<const OpInfo> op_list() {
  static constexpr OpInfo list[] = {
#define OP(name, arguments, keeps) {Op::name, #name, #arguments, keeps},
#include "tensor/ops.def"
#undef OP
  };
  return list;
}

}  // namespace plumage
