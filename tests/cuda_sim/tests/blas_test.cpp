// Products of the simulated cuBLASLt against a plain loop, and what it must refuse.
#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "cublasLt.h"
#include "tests/cuda_sim/numbers.h"
#include "tests/cuda_sim/tests/planted.h"

namespace {

using cuda_sim::from_bf16;
using cuda_sim::to_bf16;

std::vector<float> numbers(int64_t n, int start) {
  std::vector<float> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>((i * 37 + static_cast<size_t>(start)) % 17) / 7 - 1;
  return x;
}

// y [M, N] = op(a) op(b), all row after row: for the library y^T = op(b)^T op(a)^T.
struct Product {
  int64_t M, N, K;
  bool transpose_a = false, transpose_b = false;
  cudaDataType_t type = CUDA_R_32F;
  uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_NONE;
  size_t workspace_offered = 1 << 20, workspace_given = 1 << 20;
  int64_t ld_a = 0;  // 0: the right one
  bool other_shape_at_run = false;
  uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  int64_t bias_length = -1;  // 0: no pointer; -1: the right one
  std::vector<float> y;

  cublasStatus_t run() {
    std::vector<float> a = numbers(M * K, 1), b = numbers(K * N, 5);
    bool with_bias = epilogue == CUBLASLT_EPILOGUE_BIAS;
    OnDevice<float> A(a), B(b), Y(static_cast<size_t>(M * N));
    OnDevice<float> bias(numbers(bias_length > 0 ? bias_length : N, 9));
    OnDevice<char> workspace(workspace_given ? workspace_given : 1);
    cublasLtHandle_t handle;
    cublasLtCreate(&handle);
    cublasLtMatrixLayout_t la, lb, ly;
    int64_t rows_a = transpose_a ? M : K, rows_b = transpose_b ? K : N;  // as the library counts them
    cublasLtMatrixLayoutCreate(&la, type, static_cast<uint64_t>(rows_a),
                               static_cast<uint64_t>(M * K / rows_a), ld_a ? ld_a : rows_a);
    cublasLtMatrixLayoutCreate(&lb, type, static_cast<uint64_t>(rows_b),
                               static_cast<uint64_t>(K * N / rows_b), rows_b);
    cublasLtMatrixLayoutCreate(&ly, type, static_cast<uint64_t>(N), static_cast<uint64_t>(M), N);
    cublasLtMatmulDesc_t operation;
    cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    int32_t op_a = transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, op_b = transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &op_b, sizeof op_b);
    cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSB, &op_a, sizeof op_a);
    cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (with_bias && bias_length != 0)
      cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias.data,
                                     sizeof bias.data);
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulPreferenceCreate(&preference);
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                         &workspace_offered, 8);
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions,
                                         4);
    cublasLtMatmulHeuristicResult_t algorithm;
    int found = 0;
    cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, operation, lb, la, ly, ly, preference, 1, &algorithm, &found);
    if (status == CUBLAS_STATUS_SUCCESS) {
      if (other_shape_at_run) cublasLtMatrixLayoutSetAttribute(ly, CUBLASLT_MATRIX_LAYOUT_LD, &(++M), 8);
      const float one = 1, zero = 0;
      status = cublasLtMatmul(handle, operation, &one, B.data, lb, A.data, la, &zero, Y.data, ly, Y.data, ly,
                              &algorithm.algo, workspace_given ? workspace.data : nullptr, workspace_given,
                              nullptr);
    }
    cudaDeviceSynchronize();
    y = Y.host();
    for (auto l : {la, lb, ly}) cublasLtMatrixLayoutDestroy(l);
    cublasLtMatmulPreferenceDestroy(preference);
    cublasLtMatmulDescDestroy(operation);
    cublasLtDestroy(handle);
    return status;
  }
  double error() const {
    std::vector<float> a = numbers(M * K, 1), b = numbers(K * N, 5), bias = numbers(N, 9);
    double worst = 0;
    for (int64_t i = 0; i < M; ++i)
      for (int64_t j = 0; j < N; ++j) {
        double sum = epilogue == CUBLASLT_EPILOGUE_BIAS ? static_cast<double>(bias[static_cast<size_t>(j)]) : 0;
        for (int64_t k = 0; k < K; ++k)
          sum += static_cast<double>(a[static_cast<size_t>(transpose_a ? k * M + i : i * K + k)]) *
                 static_cast<double>(b[static_cast<size_t>(transpose_b ? j * K + k : k * N + j)]);
        double difference = std::abs(sum - static_cast<double>(y[static_cast<size_t>(i * N + j)]));
        if (!(difference <= worst)) worst = difference;
      }
    return worst;
  }
};

}  // namespace

TEST_CASE("products of matrices that lie row after row, in all four ways, whole and in parts") {
  for (bool transpose_a : {false, true})
    for (bool transpose_b : {false, true})
      for (uint32_t reductions : {0u, 1u, 2u, 4u}) {
        Product p{5, 7, 33, transpose_a, transpose_b};
        p.reductions = reductions;
        CHECK(p.run() == CUBLAS_STATUS_SUCCESS);
        CHECK(p.error() <= 1e-5);
      }
}

TEST_CASE("a bias, one for each of our columns, is added to whole sums and to those of parts") {
  for (bool transpose_b : {false, true})
    for (uint32_t reductions : {0u, 2u}) {
      Product p{5, 7, 33, false, transpose_b};
      p.reductions = reductions;
      p.epilogue = CUBLASLT_EPILOGUE_BIAS;
      CHECK(p.run() == CUBLAS_STATUS_SUCCESS);
      CHECK(p.error() <= 1e-5);
    }
}

TEST_CASE("planted: a bias that is missing is refused, one for the rows reads past its end") {
  Product p{5, 7, 4};
  p.epilogue = CUBLASLT_EPILOGUE_BIAS;
  p.bias_length = 0;
  CHECK(p.run() == CUBLAS_STATUS_INVALID_VALUE);
  p.epilogue = CUBLASLT_EPILOGUE_RELU;
  CHECK(p.run() == CUBLAS_STATUS_NOT_SUPPORTED);  // not simulated: what it does to NaN is not written down
  Child child = in_child([] {
    Product q{5, 7, 4};
    q.epilogue = CUBLASLT_EPILOGUE_BIAS;
    q.bias_length = 5;
    q.run();
  });
  CHECK(!child.exited_well);
  CHECK_MESSAGE(child.says("cublasLtMatmul: bias: "), child.said);
}

TEST_CASE("planted: a swapped leading dimension is refused, or reads past the matrix") {
  Product p{9, 7, 4};
  p.ld_a = 3;  // less than the matrix is high
  CHECK(p.run() == CUBLAS_STATUS_INVALID_VALUE);
  Child child = in_child([] {
    Product q{9, 7, 4};
    q.ld_a = 9;  // M where K belongs
    q.run();
  });
  CHECK(!child.exited_well);
  CHECK_MESSAGE(child.says("cublasLtMatmul: B: "), child.said);
}

TEST_CASE("planted: too small a workspace is refused; one that is smaller than said is caught") {
  Product p{8, 8, 64};
  p.reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  p.workspace_given = 64;
  CHECK(p.run() == CUBLAS_STATUS_INVALID_VALUE);
  p.workspace_given = 0;
  CHECK(p.run() == CUBLAS_STATUS_INVALID_VALUE);
  p.workspace_offered = 0;  // then an algorithm that needs none
  CHECK(p.run() == CUBLAS_STATUS_SUCCESS);
  CHECK(p.error() <= 1e-5);
}

TEST_CASE("an algorithm is for the product it was chosen for") {
  Product p{5, 7, 3};
  p.other_shape_at_run = true;
  CHECK(p.run() == CUBLAS_STATUS_INVALID_VALUE);
}

TEST_CASE("sums in place are not repeatable, which is why they are not asked for") {
  auto bits = [](uint32_t reductions, uint64_t seed) {
    cuda_sim::set_seed(seed);
    Product p{16, 16, 99};
    p.reductions = reductions;
    CHECK(p.run() == CUBLAS_STATUS_SUCCESS);
    return p.y;
  };
  bool differs = false;
  for (uint64_t seed : {1, 2, 3, 4, 5}) {
    differs |= bits(CUBLASLT_REDUCTION_SCHEME_INPLACE, seed) != bits(CUBLASLT_REDUCTION_SCHEME_INPLACE, 0);
    CHECK(bits(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, seed) ==
          bits(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 0));
  }
  cuda_sim::set_seed(1);
  CHECK(differs);
}

TEST_CASE("rounding to bf16 and to tf32") {
  CHECK(from_bf16(to_bf16(1.0f)) == 1.0f);
  CHECK(to_bf16(1.00390625f) == 0x3f80);  // half way: to even
  CHECK(to_bf16(1.01171875f) == 0x3f82);
  CHECK(std::isnan(from_bf16(to_bf16(NAN))));
  CHECK(std::isinf(from_bf16(to_bf16(3.4e38f))));
  CHECK(cuda_sim::round_to_tf32(1.0f + 0x1p-11f) == 1.0f);
  CHECK(cuda_sim::round_to_tf32(1.0f + 0x1p-10f) == 1.0f + 0x1p-10f);
}
