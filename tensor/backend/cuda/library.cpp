#include "tensor/backend/cuda/library.h"

#include "tensor/env.h"

namespace plumage::cuda {
namespace {

// Names what a choice of engines holds for: "cuDNN 9.19.0, NVIDIA H100 80GB HBM3, sm 9.0, 132
// multiprocessors".
std::string head_of(const cudaDeviceProp& p) {
  return message("cuDNN ", cudnn_version(), ", ", p.name, ", sm ", p.major, ".", p.minor, ", ",
                 p.multiProcessorCount, " multiprocessors");
}

}  // namespace

Library& Library::of(Context& context) {
  if (!context.primitives) context.primitives = std::shared_ptr<Library>(new Library(context));
  return *static_cast<Library*>(context.primitives.get());
}

Library::Library(Context& context) {
  stream(context);  // the handles belong to the device that is current
  check(cudnnCreate(&cudnn), "cudnnCreate");
  check(cublasLtCreate(&cublas), "cublasLtCreate");
  convolutions = std::make_unique<PlanCache>(device_properties(context.device().index),
                                             head_of(properties(context)), environment().plans);
}

Library::~Library() {
  products.clear();
  convolutions.reset();
  if (cublas) cublasLtDestroy(cublas);
  if (cudnn) cudnnDestroy(cudnn);
}

int64_t common_alignment(std::initializer_list<const void*> pointers) {
  uintptr_t bits = 16;
  for (const void* p : pointers) bits |= reinterpret_cast<uintptr_t>(p);
  return int64_t(bits & -bits);
}

std::string cudnn_version() {
  size_t v = cudnnGetVersion();
  return message(v / 10000, ".", v / 100 % 100, ".", v % 100);
}

std::string cublas_version() {
  size_t v = cublasLtGetVersion();
  return message(v / 10000, ".", v / 100 % 100, ".", v % 100);
}

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw MachineError(message("cuBLASLt: ", what, ": ", cublasLtGetStatusString(status)));
}

}  // namespace plumage::cuda
