#include "tests/op_cases/comparison.h"

#include <cmath>
#include <cstring>
#include <type_traits>

namespace plumage::op_cases {

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), size_t(a.bytes())) == 0);
}

Values values_of(const Tensor& t) {
  Values v(t.shape());
  v.data = t.to_vector();
  return v;
}

Limit limit_of(Tolerance tolerance, DType type) {
  double unit = type == DType::f64 ? 0x1p-52 : type == DType::f32 ? 0x1p-23 : 0x1p-8;
  switch (tolerance) {
    case Tolerance::exact:
      return {0, 0};
    case Tolerance::pointwise:
      return {type == DType::bf16 ? 2 * unit : 8 * unit, 2 * unit};
    case Tolerance::sum:
      return {type == DType::bf16 ? 2 * unit : 64 * unit, (type == DType::bf16 ? 4 : 64) * unit};
    case Tolerance::winograd:
      if (type != DType::f32) return limit_of(Tolerance::sum, type);
      return {64 * unit, 128 * unit};
  }
  return {0, 0};
}

namespace {

double rounded_to(DType type, double v) {
  return visit_any(type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T>)
      return v;
    else
      return double(T(v));
  });
}

double rms(const std::vector<double>& v) {
  double sum = 0, n = 0;
  for (double x : v)
    if (std::isfinite(x)) sum += x * x, ++n;
  return n > 0 ? std::sqrt(sum / n) : 0;
}

}  // namespace

Checker::Checker(const Row& row, Report& report) : row_(row), report_(report), may_be_empty_(row.empty) {
  for (const Input& input : row.inputs) may_be_empty_ = may_be_empty_ || input.shape.count() == 0;
}

void Checker::expect(bool ok, const std::string& property, const std::string& detail) {
  if (ok)
    ++report_.passed;
  else
    report_.failures.push_back(row_.name + ": " + property + ": " + detail);
}

void Checker::compare(const std::string& property, const Tensor& got, const Values& want, Limit limit) {
  if (!(got.shape() == want.shape))
    return expect(false, property, message("shape ", got.shape(), ", wanted ", want.shape));
  if (want.count() == 0 && !may_be_empty_) return expect(false, property, "nothing to compare");
  std::vector<double> g = got.to_vector();
  double spread = rms(want.data);
  for (size_t i = 0; i < g.size(); ++i) {
    double w = rounded_to(got.dtype(), want.data[i]);
    if (g[i] == w || (row_.specials && std::isnan(g[i]) && std::isnan(w))) continue;
    double error = std::fabs(g[i] - w);
    if (!(error <= limit.relative * std::fabs(w) + limit.of_rms * spread) || std::isinf(w))
      return expect(false, property,
                    message("element ", i, " of ", got.shape(), ": got ", g[i], ", wanted ", w));
  }
  expect(true, property, "");
}

}  // namespace plumage::op_cases
