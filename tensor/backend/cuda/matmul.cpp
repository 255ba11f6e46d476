// Matrix products by cuBLASLt; f64, and what it has no algorithm for, by the own kernel. Next:
// kernels/batch_norm.cu.
#include <type_traits>

#include "tensor/backend/cuda/library.h"
#include "tensor/backend/cuda/ops.h"
#include "tensor/backend/cuda/plain.h"

namespace plumage::cuda {
namespace {

constexpr uint64_t kWorkspaceBytes = 32 << 20;  // NVIDIA's advice for sm 9.0

cudaDataType_t data_type(DType type) { return type == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

// Owns one of the library's descriptors.
template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* p) const {
    destroy(p);
  }
};
template <class Handle, auto destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<destroy>>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Operation = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

/// A dense matrix as the library reads it, column after column.
Layout make_layout(DType type, int64_t rows, int64_t columns, int64_t batch) {
  cublasLtMatrixLayout_t raw = nullptr;
  check(cublasLtMatrixLayoutCreate(&raw, data_type(type), uint64_t(rows), uint64_t(columns), rows),
        "describe a matrix");
  Layout layout(raw);
  auto set = [&](cublasLtMatrixLayoutAttribute_t name, const auto& value) {
    check(cublasLtMatrixLayoutSetAttribute(raw, name, &value, sizeof value), "describe a matrix");
  };
  set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, int32_t(batch));
  set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, rows * columns);
  return layout;
}

template <class T>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t name, const T& value) {
  check(cublasLtMatmulDescSetAttribute(operation.get(), name, &value, sizeof value), "describe a product");
}

Operation make_operation(const MatmulProblem& p) {
  cublasLtMatmulDesc_t raw = nullptr;
  check(cublasLtMatmulDescCreate(&raw, p.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "describe a product");
  Operation operation(raw);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSA, int32_t(p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N));
  set(operation, CUBLASLT_MATMUL_DESC_TRANSB, int32_t(p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N));
  if (p.bias) set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t(CUBLASLT_EPILOGUE_BIAS));
  return operation;
}

Preference make_preference(int64_t alignment) {
  cublasLtMatmulPreference_t raw = nullptr;
  check(cublasLtMatmulPreferenceCreate(&raw), "create a preference");
  Preference preference(raw);
  auto set = [&](cublasLtMatmulPreferenceAttributes_t name, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(raw, name, &value, sizeof value), "set a preference");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
  // Partial sums only apart from the result and in f32: other schemes round them, or let the first to come
  // add first.
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  for (auto name : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set(name, uint32_t(alignment));
  return preference;
}

}  // namespace

/// Our matrices lie row after row. Read column after column they are their own transposes, so what is asked
/// for is y^T [N, M] = op(b)^T op(a)^T: the library's first matrix is b, its second a, and the flags stay as
/// they are. A bias along our rows is then one along its columns, which is what its epilogue adds.
class MatmulPlan {
 public:
  /// `bias` stands for those of later calls: the library wants one where an algorithm is chosen.
  MatmulPlan(cublasLtHandle_t handle, const MatmulProblem& p, const void* bias)
      : b_(make_layout(p.dtype, p.transpose_b ? p.K : p.N, p.transpose_b ? p.N : p.K, p.batch)),
        a_(make_layout(p.dtype, p.transpose_a ? p.M : p.K, p.transpose_a ? p.K : p.M, p.batch)),
        y_(make_layout(p.y_dtype, p.N, p.M, p.batch)),
        operation_(make_operation(p)) {
    set_bias(bias);
    Preference preference = make_preference(p.alignment);
    int found = 0;
    cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, operation_.get(), b_.get(), a_.get(), y_.get(), y_.get(),
                                       preference.get(), 1, &algorithm_, &found);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED) check(status, "choose an algorithm");
    usable_ = status == CUBLAS_STATUS_SUCCESS && found == 1 && algorithm_.state == CUBLAS_STATUS_SUCCESS;
  }
  bool usable() const { return usable_; }
  void run(Context& context, cublasLtHandle_t handle, const void* a, const void* b, const void* bias, void* y) const {
    const float one = 1, zero = 0;
    set_bias(bias);
    void* workspace = algorithm_.workspaceSize
                          ? context.scratch(int64_t(algorithm_.workspaceSize), kWorkspaceSlot)
                          : nullptr;
    check(cublasLtMatmul(handle, operation_.get(), &one, b, b_.get(), a, a_.get(), &zero, y, y_.get(), y,
                         y_.get(), &algorithm_.algo, workspace, algorithm_.workspaceSize, stream(context)),
          "matrix product");
  }

 private:
  void set_bias(const void* bias) const {
    if (bias) set(operation_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  Layout b_, a_, y_;
  Operation operation_;
  cublasLtMatmulHeuristicResult_t algorithm_{};
  bool usable_ = false;
};

void matmul(Context& context, In a, In b, In bias, Out y, bool transpose_a, bool transpose_b) {
  MatmulProblem p;
  p.dtype = a.dtype, p.y_dtype = y.dtype, p.bias = bias.data != nullptr;
  p.batch = y.shape.rank() == 3 ? y.shape[0] : 1;
  p.M = y.shape[-2], p.N = y.shape[-1], p.K = a.shape[transpose_a ? -2 : -1];
  p.transpose_a = transpose_a, p.transpose_b = transpose_b;
  p.tf32 = context.tf32 && p.dtype == DType::f32;
  p.alignment = common_alignment({a.data, b.data, bias.data, y.data});
  bool for_library = p.dtype != DType::f64 && y.count() > 0 && p.K > 0 && p.batch <= INT32_MAX;
  if (for_library) {
    Library& library = Library::of(context);
    std::shared_ptr<MatmulPlan>& plan = library.products[p];
    if (!plan) plan = std::make_shared<MatmulPlan>(library.cublas, p, bias.data);
    if (plan->usable()) return plan->run(context, library.cublas, a.data, b.data, bias.data, y.data);
  }
  plain::matmul(context, a, b, bias, y, transpose_a, transpose_b);
}

}  // namespace plumage::cuda
