// cuDNN's and cuBLASLt's handles of one device, and the plans made with them. Lives in Context::primitives.
#pragma once
#include <cublasLt.h>

#include "tensor/backend/cuda/device.h"
#include "tensor/backend/cuda/plan_cache.h"
#include "tensor/context.h"

namespace plumage::cuda {

/// A product as cuBLASLt sees it; also the key under which its algorithm is kept.
struct MatmulProblem {
  DType dtype = DType::f32, y_dtype = DType::f32;
  int64_t batch = 1, M = 0, N = 0, K = 0;
  bool transpose_a = false, transpose_b = false, bias = false, tf32 = false;
  int64_t alignment = 16;
  auto operator<=>(const MatmulProblem&) const = default;
};
class MatmulPlan;  // matmul.cpp

class Library {
 public:
  static Library& of(Context& context);
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  cudnnHandle_t cudnn = nullptr;
  cublasLtHandle_t cublas = nullptr;
  std::unique_ptr<PlanCache> convolutions;
  std::map<MatmulProblem, std::shared_ptr<MatmulPlan>> products;

 private:
  explicit Library(Context& context);
};

/// Context::scratch is shared by all that runs on a device: slots 0 and 1 are the own kernels', these the
/// libraries'.
enum ScratchSlot : int { kWorkspaceSlot = 2, kStagingSlot = 3 };

/// The largest power of two up to 16 that divides every address; null pointers do not count.
int64_t common_alignment(std::initializer_list<const void*> pointers);

void check(cublasStatus_t status, const char* what);

std::string cudnn_version();  ///< "9.19.0", of the library that is loaded
std::string cublas_version();

}  // namespace plumage::cuda
