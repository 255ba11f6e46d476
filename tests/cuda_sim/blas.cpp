// cuBLASLt's products by plain loops. Matrices lie column after column: element (row, column) of a matrix
// with leading dimension ld is at row + column * ld. Refused is what the library's manual says it refuses.
#include "cublasLt.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <vector>

#include "tests/cuda_sim/capture.h"
#include "tests/cuda_sim/device.h"
#include "tests/cuda_sim/library_memory.h"
#include "tests/cuda_sim/numbers.h"
#include "tests/cuda_sim/order.h"
#include "tests/cuda_sim/stream.h"

struct cublasLtContext {
  int unused = 0;
};
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type;
  int64_t rows, columns, ld;
  int32_t batch = 1;
  int64_t batch_stride = 0;
};
struct cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute;
  int32_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
};
struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspace = 0;
  uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of A, B, C, D
};

namespace cuda_sim {

void scribble(const char* call, void* workspace, size_t bytes) {
  library_writes(call, "workspace", workspace, bytes);
  if (bytes) std::memset(workspace, 0xff, bytes);
}

namespace {

using Layout = cublasLtMatrixLayoutOpaque_t;

// An algorithm, as it lies in cublasLtMatmulAlgo_t's eight words.
struct Algorithm {
  uint32_t magic = 0, reduction = 0;
  uint64_t workspace = 0;
  uint32_t alignment[4] = {};
  uint64_t problem = 0;  // of what it was chosen for
};
struct Stored {
  Algorithm algorithm;
  uint64_t unused[sizeof(cublasLtMatmulAlgo_t) / 8 - sizeof(Algorithm) / 8] = {};
};
constexpr uint32_t kMagic = 0x53494d31;
constexpr int64_t kParts = 4;  // a product that is cut along k is cut into so many

struct Product {
  Layout a, b, c, d;
  cublasLtMatmulDescOpaque_t operation;
  int64_t m() const { return d.rows; }
  int64_t n() const { return d.columns; }
  int64_t k() const { return operation.transpose_a == CUBLAS_OP_N ? a.columns : a.rows; }
  const void* bias() const { return operation.epilogue == CUBLASLT_EPILOGUE_BIAS ? operation.bias : nullptr; }
};

bool is_number(cudaDataType_t type) { return type == CUDA_R_32F || type == CUDA_R_16BF; }
Number number_of(cudaDataType_t type) { return type == CUDA_R_32F ? Number::f32 : Number::bf16; }

cublasStatus_t check(const Product& p) {
  if (p.operation.compute != CUBLAS_COMPUTE_32F && p.operation.compute != CUBLAS_COMPUTE_32F_FAST_TF32)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (!is_number(p.a.type) || p.a.type != p.b.type || p.c.type != p.d.type)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (!is_number(p.d.type) || (p.a.type == CUDA_R_32F && p.d.type != CUDA_R_32F))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  auto rows = [](const Layout& x, int32_t op) { return op == CUBLAS_OP_N ? x.rows : x.columns; };
  auto columns = [](const Layout& x, int32_t op) { return op == CUBLAS_OP_N ? x.columns : x.rows; };
  const auto& op = p.operation;
  if (op.epilogue != CUBLASLT_EPILOGUE_DEFAULT && op.epilogue != CUBLASLT_EPILOGUE_BIAS)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (op.epilogue == CUBLASLT_EPILOGUE_BIAS && !op.bias) return CUBLAS_STATUS_INVALID_VALUE;
  if (rows(p.a, op.transpose_a) != p.d.rows || columns(p.b, op.transpose_b) != p.d.columns)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (columns(p.a, op.transpose_a) != rows(p.b, op.transpose_b)) return CUBLAS_STATUS_INVALID_VALUE;
  if (p.c.rows != p.d.rows || p.c.columns != p.d.columns) return CUBLAS_STATUS_INVALID_VALUE;
  for (const Layout* x : {&p.a, &p.b, &p.c, &p.d}) {
    if (x->rows < 1 || x->columns < 1 || x->ld < x->rows) return CUBLAS_STATUS_INVALID_VALUE;
    if (x->batch != p.d.batch || x->batch < 1) return CUBLAS_STATUS_INVALID_VALUE;
  }
  return CUBLAS_STATUS_SUCCESS;
}

uint64_t fingerprint(const Product& p) {
  uint64_t hash = 1469598103934665603u;
  auto mix = [&](uint64_t v) { hash = (hash ^ v) * 1099511628211u; };
  for (const Layout* x : {&p.a, &p.b, &p.c, &p.d})
    for (int64_t v : {int64_t{x->type}, x->rows, x->columns, x->ld, int64_t{x->batch}, x->batch_stride})
      mix(static_cast<uint64_t>(v));
  mix(p.operation.compute), mix(static_cast<uint64_t>(p.operation.transpose_a)),
      mix(static_cast<uint64_t>(p.operation.transpose_b)), mix(p.operation.epilogue);
  return hash;
}

size_t extent(const Layout& x) {
  int64_t last = (x.batch - 1) * x.batch_stride + (x.columns - 1) * x.ld + x.rows;
  return static_cast<size_t>(last) * bytes_of(number_of(x.type));
}

// One matrix as [rows of op(x)] [columns of op(x)], in f32.
std::vector<float> gather(const Layout& x, const void* data, int64_t batch, bool transpose, bool tf32) {
  int64_t rows = transpose ? x.columns : x.rows, columns = transpose ? x.rows : x.columns;
  std::vector<float> out(static_cast<size_t>(rows * columns));
  float* o = out.data();
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      int64_t at = batch * x.batch_stride + (transpose ? j + i * x.ld : i + j * x.ld);
      float value = load(data, number_of(x.type), at);
      *o++ = tf32 ? round_to_tf32(value) : value;
    }
  return out;
}

struct Call {
  Product p;
  Algorithm algorithm;
  float alpha, beta;
  const void *A, *B, *C;
  void *D, *workspace;
};

// The sums of one batch, [m][n]: whole, or in parts along k that are then added in the way of the reduction
// scheme.
std::vector<float> sums(const Call& call, const std::vector<float>& a, const std::vector<float>& b,
                        uint64_t seed) {
  int64_t m = call.p.m(), n = call.p.n(), k = call.p.k();
  int64_t parts = call.algorithm.reduction == CUBLASLT_REDUCTION_SCHEME_NONE ? 1 : kParts;
  std::vector<float> total(static_cast<size_t>(m * n), 0), part(total.size());
  std::vector<int64_t> turn(static_cast<size_t>(parts));
  std::iota(turn.begin(), turn.end(), 0);
  if (call.algorithm.reduction == CUBLASLT_REDUCTION_SCHEME_INPLACE) {  // whoever comes first adds first
    Order order(seed);
    for (size_t i = 0; i < turn.size(); ++i) std::swap(turn[i], turn[i + order.below(turn.size() - i)]);
  }
  for (int64_t t : turn) {
    std::fill(part.begin(), part.end(), 0.0f);
    for (int64_t i = 0; i < m; ++i)
      for (int64_t l = t * k / parts; l < (t + 1) * k / parts; ++l) {
        float x = a[static_cast<size_t>(i * k + l)];
        const float* from = &b[static_cast<size_t>(l * n)];
        float* to = &part[static_cast<size_t>(i * n)];
        for (int64_t j = 0; j < n; ++j) to[j] += x * from[j];
      }
    for (size_t i = 0; i < total.size(); ++i) {
      bool rounds =
          call.algorithm.reduction == CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE && call.p.d.type == CUDA_R_16BF;
      total[i] += rounds ? round_to_bf16(part[i]) : part[i];
    }
  }
  return total;
}

void run(const Call& call) {
  const char* name = "cublasLtMatmul";
  const Product& p = call.p;
  library_reads(name, "A", call.A, extent(p.a));
  library_reads(name, "B", call.B, extent(p.b));
  if (call.beta != 0) library_reads(name, "C", call.C, extent(p.c));
  if (p.bias())
    library_reads(name, "bias", p.bias(), static_cast<size_t>(p.d.rows) * bytes_of(number_of(p.d.type)));
  library_writes(name, "D", call.D, extent(p.d));
  scribble(name, call.workspace, call.algorithm.workspace);
  bool tf32 = p.operation.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && p.a.type == CUDA_R_32F;
  uint64_t seed = next_seed();
  for (int64_t batch = 0; batch < p.d.batch; ++batch) {
    std::vector<float> a = gather(p.a, call.A, batch, p.operation.transpose_a != CUBLAS_OP_N, tf32);
    std::vector<float> b = gather(p.b, call.B, batch, p.operation.transpose_b != CUBLAS_OP_N, tf32);
    std::vector<float> total = sums(call, a, b, seed);
    for (int64_t i = 0; i < p.m(); ++i)
      for (int64_t j = 0; j < p.n(); ++j) {
        float value = call.alpha * total[static_cast<size_t>(i * p.n() + j)];
        if (call.beta != 0)
          value += call.beta * load(call.C, number_of(p.c.type), batch * p.c.batch_stride + i + j * p.c.ld);
        if (p.bias()) value += load(p.bias(), number_of(p.d.type), i);
        store(call.D, number_of(p.d.type), batch * p.d.batch_stride + i + j * p.d.ld, value);
      }
  }
}

// The value of an attribute; false if its size is another's.
template <class T>
bool take(T& to, const void* value, size_t bytes) {
  if (!value || bytes != sizeof(T)) return false;
  std::memcpy(&to, value, sizeof to);
  return true;
}
cublasStatus_t valid(bool condition) {
  return condition ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

template <class T>
cublasStatus_t destroy(T* object) {
  if (!object) return CUBLAS_STATUS_INVALID_VALUE;
  delete object;
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace
}  // namespace cuda_sim

using namespace cuda_sim;

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  std::lock_guard lock(device_lock());
  if (device_count() == 0) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
  if (forbidden_in_capture() != cudaSuccess) return CUBLAS_STATUS_ALLOC_FAILED;  // it allocates
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return handle ? destroy(handle) : CUBLAS_STATUS_NOT_INITIALIZED;
}
size_t cublasLtGetVersion() { return 130100; }

const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "unknown status";
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type, uint64_t rows,
                                          uint64_t columns, int64_t leading_dimension) {
  if (!layout) return CUBLAS_STATUS_INVALID_VALUE;
  *layout = new Layout{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), leading_dimension};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) { return destroy(layout); }

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  if (!layout) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
      return valid(take(layout->rows, value, bytes));
    case CUBLASLT_MATRIX_LAYOUT_COLS:
      return valid(take(layout->columns, value, bytes));
    case CUBLASLT_MATRIX_LAYOUT_LD:
      return valid(take(layout->ld, value, bytes));
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
      return valid(take(layout->batch, value, bytes));
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
      return valid(take(layout->batch_stride, value, bytes));
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
      break;
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation, cublasComputeType_t compute_type,
                                        cudaDataType_t scale_type) {
  if (!operation) return CUBLAS_STATUS_INVALID_VALUE;
  if (scale_type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *operation = new cublasLtMatmulDescOpaque_t{compute_type};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) { return destroy(operation); }

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              size_t bytes) {
  if (!operation) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return valid(take(operation->transpose_a, value, bytes));
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return valid(take(operation->transpose_b, value, bytes));
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return valid(take(operation->epilogue, value, bytes));
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return valid(take(operation->bias, value, bytes));
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  if (!preference) return CUBLAS_STATUS_INVALID_VALUE;
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return destroy(preference);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  if (!preference) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return valid(take(preference->workspace, value, bytes));
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return valid(take(preference->reductions, value, bytes));
    default:
      return valid(
          take(preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes));
  }
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int* found) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!operation || !a || !b || !c || !d || !preference || wanted < 1 || !results || !found)
    return CUBLAS_STATUS_INVALID_VALUE;
  *found = 0;
  Product p{*a, *b, *c, *d, *operation};
  if (cublasStatus_t status = check(p); status != CUBLAS_STATUS_SUCCESS) return status;
  // Deep products are cut along k, in whatever way is allowed, the most careless first; it needs memory for
  // the parts.
  uint64_t workspace = static_cast<uint64_t>(p.m() * p.n()) * sizeof(float) * kParts;
  for (uint32_t reduction : {CUBLASLT_REDUCTION_SCHEME_INPLACE, CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE,
                             CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, CUBLASLT_REDUCTION_SCHEME_NONE}) {
    bool whole = reduction == CUBLASLT_REDUCTION_SCHEME_NONE;
    if (!whole && (p.k() < 16 || !(preference->reductions & reduction) || workspace > preference->workspace))
      continue;
    Algorithm algorithm{kMagic, reduction, whole ? 0 : workspace, {}, fingerprint(p)};
    std::copy_n(preference->alignment, 4, algorithm.alignment);
    cublasLtMatmulHeuristicResult_t result{};
    result.algo = std::bit_cast<cublasLtMatmulAlgo_t>(Stored{algorithm});
    result.workspaceSize = algorithm.workspace;
    result.state = CUBLAS_STATUS_SUCCESS;
    result.wavesCount = 1;
    if (*found < wanted) results[(*found)++] = result;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha,
                              const void* A, cublasLtMatrixLayout_t a, const void* B,
                              cublasLtMatrixLayout_t b, const void* beta, const void* C,
                              cublasLtMatrixLayout_t c, void* D, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t workspace_bytes,
                              cudaStream_t stream_handle) {
  std::lock_guard lock(device_lock());
  Unwatched unwatched;
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!operation || !alpha || !A || !a || !B || !b || !beta || !c || !D || !d)
    return CUBLAS_STATUS_INVALID_VALUE;
  Call call{{*a, *b, *c, *d, *operation},
            {},
            *static_cast<const float*>(alpha),
            *static_cast<const float*>(beta),
            A,
            B,
            C,
            D,
            workspace};
  if (call.beta != 0 && !C) return CUBLAS_STATUS_INVALID_VALUE;
  if (C == D && c->ld != d->ld) return CUBLAS_STATUS_INVALID_VALUE;
  if (cublasStatus_t status = check(call.p); status != CUBLAS_STATUS_SUCCESS) return status;
  if (algorithm) {
    call.algorithm = std::bit_cast<Stored>(*algorithm).algorithm;
    if (call.algorithm.magic != kMagic || call.algorithm.problem != fingerprint(call.p))
      return CUBLAS_STATUS_INVALID_VALUE;
    const void* pointers[] = {A, B, C, D};
    for (int i = 0; i < 4; ++i)
      if (!aligned(pointers[i], call.algorithm.alignment[i])) return CUBLAS_STATUS_INVALID_VALUE;
    if (call.p.bias() && !aligned(call.p.bias(), call.algorithm.alignment[3])) return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (call.algorithm.workspace > workspace_bytes) return CUBLAS_STATUS_INVALID_VALUE;
  if (workspace_bytes && (!workspace || !aligned(workspace, 16))) return CUBLAS_STATUS_INVALID_VALUE;
  auto stream = find_stream(stream_handle);
  if (!stream) return CUBLAS_STATUS_EXECUTION_FAILED;
  cudaError_t error = submit(*stream, {[call] { run(call); }});
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
