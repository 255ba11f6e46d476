// Rows of the matrix product.
#include "tests/op_cases/op_case.h"

namespace plumage::op_cases {
namespace {

enum class Bias : uint8_t { none, of_the_type, f32 };

/// B = 0: no batch dimension.
Row matmul_row(int64_t B, int64_t M, int64_t K, int64_t N, bool transpose_a, bool transpose_b,
               const char* note = "", Bias bias = Bias::none) {
  auto shape = [B](int64_t rows, int64_t columns, bool transposed) {
    if (transposed) std::swap(rows, columns);
    return B ? Shape{B, rows, columns} : Shape{rows, columns};
  };
  std::vector<Input> inputs = {{shape(M, K, transpose_a)}, {shape(K, N, transpose_b)}};
  if (bias != Bias::none)
    inputs.push_back({{N}, Domain::normal, bias == Bias::f32 ? Role::parameter : Role::data});
  const char* plus = bias == Bias::none ? "" : bias == Bias::f32 ? " + bias in f32" : " + bias";
  return {.name = message("matmul ", shape(M, K, transpose_a), transpose_a ? "^T x " : " x ",
                          shape(K, N, transpose_b), transpose_b ? "^T" : "", plus, note),
          .op = Op::matmul,
          .inputs = inputs,
          .apply =
              [=](const std::vector<Var>& x) {
                return std::vector{matmul(x[0], x[1], transpose_a, transpose_b, x.size() > 2 ? x[2] : Var())};
              },
          .formula =
              [=, y_shape = shape(M, N, false)](const std::vector<Values>& x) {
                Values y(y_shape);  // a column of a times a row of b after the other
                for (int64_t b = 0; b < std::max<int64_t>(B, 1); ++b)
                  for (int64_t k = 0; k < K; ++k)
                    for (int64_t m = 0; m < M; ++m)
                      for (int64_t n = 0; n < N; ++n)
                        y[(b * M + m) * N + n] += x[0][b * M * K + (transpose_a ? k * M + m : m * K + k)] *
                                                  x[1][b * K * N + (transpose_b ? n * K + k : k * N + n)];
                for (int64_t i = 0; bias != Bias::none && i < y.count(); ++i) y[i] += x[2][i % N];
                return std::vector{y};
              },
          .tolerance = Tolerance::sum,
          .gradient = M * K * N > 1000000 ? Gradient::compared : Gradient::checked,
          .empty = M * N == 0};
}

}  // namespace

Family matmul_family() {
  Family family{"matmul", {}, {}};
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      family.rows.push_back(matmul_row(0, 1, 1, 1, ta, tb));
      family.rows.push_back(matmul_row(0, 5, 7, 11, ta, tb));
      family.rows.push_back(matmul_row(0, 17, 33, 15, ta, tb));
      family.rows.push_back(matmul_row(0, 63, 31, 65, ta, tb));
      family.rows.push_back(matmul_row(3, 7, 5, 13, ta, tb));
    }
  family.rows.push_back(with_nan(matmul_row(0, 17, 15, 33, false, true)));
  family.rows.push_back(matmul_row(0, 1, 65, 7, false, true));
  family.rows.push_back(matmul_row(0, 65, 7, 1, false, false));
  family.rows.push_back(matmul_row(0, 0, 5, 7, false, false));
  family.rows.push_back(matmul_row(0, 5, 0, 7, false, false));
  family.rows.push_back(matmul_row(0, 5, 7, 0, true, true));
  family.rows.push_back(matmul_row(0, 16, 2048, 128, false, true, " (ResNet-50 to the MoCo head)"));
  family.rows.push_back(matmul_row(0, 32, 128, 1000, false, false, " (queries and queue)"));

  for (Bias bias : {Bias::of_the_type, Bias::f32}) {
    family.rows.push_back(matmul_row(0, 5, 7, 11, false, true, "", bias));
    family.rows.push_back(matmul_row(0, 33, 17, 16, false, true, "", bias));
    family.rows.push_back(matmul_row(0, 31, 65, 63, true, false, "", bias));
    family.rows.push_back(matmul_row(3, 7, 5, 13, false, false, "", bias));
    family.rows.push_back(matmul_row(0, 5, 0, 7, false, true, "", bias));
    family.rows.push_back(matmul_row(0, 0, 5, 7, false, true, "", bias));
    family.rows.push_back(with_nan(matmul_row(0, 17, 15, 33, false, true, "", bias)));
  }
  family.rows.push_back(matmul_row(0, 16, 512, 128, false, true, " (a head)", Bias::f32));

  Tensor a = Tensor::zeros({2, 3}), b = Tensor::zeros({4, 5}), c = Tensor::zeros({2, 2, 3}),
         d = Tensor::zeros({3, 3, 2});
  family.errors = {
      {"matmul inner sizes", {"matmul", "[2, 3]", "[4, 5]"}, [=] { ops::matmul(a, b); }},
      {"matmul ranks", {"matmul", "[2, 3]", "[2, 2, 3]"}, [=] { ops::matmul(a, c); }},
      {"matmul batch sizes", {"matmul", "2", "3"}, [=] { ops::matmul(c, d); }},
      {"matmul of vectors", {"matmul", "[6]"}, [=] { ops::matmul(a.reshape({6}), a.reshape({6})); }},
      {"matmul types",
       {"matmul", "b", "f32", "bf16"},
       [=] {
         ops::matmul(a, Tensor::zeros({3, 2}, DType::bf16));
       }},
      {"matmul bias shape",
       {"matmul", "bias", "[5]", "[4]"},
       [=] { ops::matmul(a, b.slice(0, 3), false, false, Tensor::zeros({4})); }},
      {"matmul bias type",
       {"matmul", "bias", "f32", "f64"},
       [=] { ops::matmul(a, b.slice(0, 3), false, false, Tensor::zeros({5}, DType::f64)); }},
      {"matmul of integers",
       {"matmul", "a", "i32"},
       [] {
         ops::matmul(Tensor::zeros({2, 2}, DType::i32), Tensor::zeros({2, 2}, DType::i32));
       }},
  };
  return family;
}

}  // namespace plumage::op_cases
