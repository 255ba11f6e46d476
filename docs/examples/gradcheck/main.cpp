// A function of one's own with its gradient, checked by gradcheck: once right, once with the mistake that is made most.
// Layer normalisation of rows without parameters: y = (x - mean) / std, x [R, C].
#include <cstdio>

#include "autograd/functions.h"
#include "autograd/gradcheck.h"
#include "autograd/tape.h"

using namespace plumage;

namespace {

// [R, C] -> [R, 1]
Tensor row_mean(const Tensor& x) { return ops::scale(ops::sum_to(x, {x.size(0), 1}), 1.0 / double(x.size(1))); }

Var layer_norm(const Var& x, bool forget_the_mean) {
  Tensor centred = ops::sub(x.value(), row_mean(x.value()));                   // [R, C]
  Tensor variance = row_mean(ops::mul(centred, centred));                      // [R, 1]
  Tensor std = ops::unary(UnaryFn::sqrt, ops::affine(variance, 1, 1e-5));      // [R, 1]
  Tensor y = ops::div(centred, std);                                           // [R, C]
  // dx = (dy - mean(dy) - y * mean(dy * y)) / std
  return record("layer_norm", y, {x}, [y, std, forget_the_mean](const Tensor& dy, Gradients& d) {
    Tensor inner = ops::sub(dy, ops::mul(y, row_mean(ops::mul(dy, y))));
    if (!forget_the_mean) inner = ops::sub(inner, row_mean(dy));
    d.add(0, ops::div(inner, std));
  });
}

}  // namespace

int main() {
  Tensor x = ops::normal({3, 5}, {/*seed=*/1}, 0, 1, DType::f64);
  for (bool forget_the_mean : {false, true}) {
    GradcheckReport report =
        gradcheck([&](const std::vector<Var>& in) { return std::vector{layer_norm(in[0], forget_the_mean)}; }, {x});
    if (report.ok) {
      std::printf("right: %lld derivatives agree, largest difference %.0e\n", (long long)report.compared, report.worst);
    } else {
      std::printf("wrong: %s\n", report.failure.c_str());
    }
    if (report.ok == forget_the_mean) return 1;
  }
}
