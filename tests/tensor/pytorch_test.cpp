// Kernels against PyTorch's numbers (expected/make_expected.py): what a formula of our own could misread
// twice.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "tensor/context.h"
#include "tensor/ops.h"

using namespace plumage;

namespace {

/// A case's tensors by the part of the name after the point.
std::map<std::string, Tensor> read_case(const std::string& name) {
  std::ifstream file(PLUMAGE_SOURCE_DIR "/tests/tensor/expected/pytorch.txt");
  std::map<std::string, Tensor> found;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    int rank = 0;
    words >> key >> rank;
    if (key.substr(0, key.find('.')) != name) continue;
    Shape shape;
    for (int i = 0; i < rank; ++i) {
      int64_t size = 0;
      words >> size;
      shape.push_back(size);
    }
    std::vector<double> values;
    for (double v; words >> v;) values.push_back(v);
    found[key.substr(name.size() + 1)] = Tensor::from(values, shape);
  }
  REQUIRE_MESSAGE(!found.empty(), "no case " << name << " in expected/pytorch.txt");
  return found;
}

void check_close(const std::string& what, const Tensor& got, const Tensor& want, double tolerance) {
  REQUIRE_MESSAGE(got.shape() == want.shape(),
                  what << ": shape " << got.shape().str() << ", wanted " << want.shape().str());
  std::vector<double> g = got.to_vector(), w = want.to_vector();
  REQUIRE(!w.empty());
  for (size_t i = 0; i < w.size(); ++i)
    CHECK_MESSAGE(std::fabs(g[i] - w[i]) <= tolerance,
                  what << ": element " << i << ": got " << g[i] << ", wanted " << w[i]);
}

using Case = std::map<std::string, Tensor>;
/// Computes "y" and "dx0", "dx1", ... from "x0", "x1", ... and "dy".
using Compute = std::function<Case(Case)>;

/// In f64 (ref) and in f32 (fast).
void check_case(const std::string& name, const Compute& compute) {
  Case want = read_case(name);
  for (DType type : {DType::f64, DType::f32}) {
    Case inputs;
    for (const auto& [key, t] : want)
      if (key[0] == 'x' || key == "dy") inputs[key] = ops::cast(t, type);
    for (const auto& [key, got] : compute(inputs))
      check_close(name + "." + key, got, want.at(key), type == DType::f64 ? 1e-10 : 2e-5);
  }
}

void check_unary(const std::string& name, UnaryFn fn) {
  check_case(name, [fn](Case c) {
    Tensor y = ops::unary(fn, c["x0"]);
    return Case{{"y", y}, {"dx0", ops::unary_bwd(fn, ops::unary_keeps_output(fn) ? y : c["x0"], c["dy"])}};
  });
}

}  // namespace

TEST_CASE("as PyTorch computes it: convolution with a filter that is not square, stride 2") {
  check_case("conv", [](Case c) {
    return Case{{"y", ops::conv2d(c["x0"], c["x1"], 2, 1)},
                {"dx0", ops::conv2d_dx(c["dy"], c["x1"], c["x0"].shape(), 2, 1)},
                {"dx1", ops::conv2d_dw(c["x0"], c["dy"], c["x1"].shape(), 2, 1)}};
  });
}

TEST_CASE("as PyTorch computes it: convolution of a map seen twice as large") {
  check_case("conv_up", [](Case c) {
    return Case{{"y", ops::conv2d(c["x0"], c["x1"], 1, 1, 2)},
                {"dx0", ops::conv2d_dx(c["dy"], c["x1"], c["x0"].shape(), 1, 1, {}, 2)},
                {"dx1", ops::conv2d_dw(c["x0"], c["dy"], c["x1"].shape(), 1, 1, 2)}};
  });
}

TEST_CASE("as PyTorch computes it: pooling, whose maxima tie, and upsampling") {
  check_case("max_pool", [](Case c) {
    auto [y, argmax] = ops::max_pool(c["x0"], 3, 2, 1);
    return Case{{"y", y}, {"dx0", ops::max_pool_bwd(c["dy"], argmax, c["x0"].shape(), 3, 2, 1)}};
  });
  check_case("avg_pool", [](Case c) {
    return Case{{"y", ops::avg_pool(c["x0"], 3, 2, 1)},
                {"dx0", ops::avg_pool_bwd(c["dy"], c["x0"].shape(), 3, 2, 1)}};
  });
  check_case("upsample", [](Case c) {
    return Case{{"y", ops::upsample(c["x0"])}, {"dx0", ops::upsample_bwd(c["dy"])}};
  });
}

TEST_CASE("as PyTorch computes it: batch norm + residual + ReLU") {
  check_case("batch_norm", [](Case c) {
    auto [mean, variance] = ops::batch_norm_stats(c["x0"]);
    ops::NormArguments norm{mean, variance, c["x1"], c["x2"], 1e-5, Activation::relu, true};
    Tensor y = ops::batch_norm_apply(c["x0"], c["x3"], norm);
    ops::NormGradients g = ops::batch_norm_bwd(c["x0"], y, c["dy"], norm, true);
    return Case{{"y", y}, {"dx0", g.dx}, {"dx1", g.dgamma}, {"dx2", g.dbeta}, {"dx3", g.dresidual}};
  });
}

TEST_CASE("as PyTorch computes it: softmax and its kin") {
  check_case("softmax", [](Case c) {
    Tensor y = ops::softmax(c["x0"]);
    return Case{{"y", y}, {"dx0", ops::softmax_bwd(y, c["dy"])}};
  });
  check_case("log_softmax", [](Case c) {
    Tensor y = ops::log_softmax(c["x0"]);
    return Case{{"y", y}, {"dx0", ops::log_softmax_bwd(y, c["dy"])}};
  });
  check_case("logsumexp", [](Case c) {
    Tensor y = ops::logsumexp(c["x0"]);
    return Case{{"y", y}, {"dx0", ops::logsumexp_bwd(c["x0"], y, c["dy"])}};
  });
  check_case("cross_entropy", [](Case c) {
    Tensor labels = Tensor::from(std::vector<int64_t>{3, 0, 4}, {3});
    auto [y, lse] = ops::cross_entropy(c["x0"], labels);
    return Case{{"y", y}, {"dx0", ops::cross_entropy_bwd(c["x0"], labels, lse, c["dy"])}};
  });
}

TEST_CASE("as PyTorch computes it: unit rows, matrix product, pointwise") {
  check_case("l2_normalize", [](Case c) {
    auto [y, norm] = ops::l2_normalize(c["x0"]);
    return Case{{"y", y}, {"dx0", ops::l2_normalize_bwd(y, norm, c["dy"])}};
  });
  check_case("matmul", [](Case c) {  // y = a^T b: da = b dy^T, db = a dy
    return Case{{"y", ops::matmul(c["x0"], c["x1"], true, false)},
                {"dx0", ops::matmul(c["x1"], c["dy"], false, true)},
                {"dx1", ops::matmul(c["x0"], c["dy"])}};
  });
  check_unary("relu", UnaryFn::relu);
  check_unary("sigmoid", UnaryFn::sigmoid);
  check_unary("tanh", UnaryFn::tanh);
  check_unary("abs", UnaryFn::abs);
}

TEST_CASE("as PyTorch computes it: three steps of each optimiser") {
  for (std::string name : {"sgd", "nesterov", "adam", "adamw"})
    for (DType type : {DType::f64, DType::f32}) {
      Case c = read_case(name);
      Tensor p = ops::cast(c["start"], type).clone(), m = Tensor::zeros({4}, type),
             v = Tensor::zeros({4}, type);
      for (int step = 0; step < 3; ++step) {
        Tensor g = ops::cast(c["g" + std::to_string(step)], type);
        if (name.starts_with("adam"))
          ops::adam(std::vector<ops::AdamParameter>{{p, g, m, v, 0.1}},
                    {0.1, 0.8, 0.95, 1e-6, step + 1, name == "adamw"});
        else
          ops::sgd(std::vector<ops::SgdParameter>{{p, g, m, 0.01}},
                   {0.1, name == "sgd" ? 0.9 : 0.8, name == "nesterov", step == 0});
      }
      check_close(name, p, c["end"], type == DType::f64 ? 1e-10 : 1e-5);
    }
}
