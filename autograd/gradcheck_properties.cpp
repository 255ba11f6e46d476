// What must hold for any backward, checked without differences: the same twice, nothing written to, linear in
// the cotangent, sums where an input is used twice.
#include <cmath>
#include <cstring>

#include "autograd/checked_function.h"
#include "autograd/tape.h"
#include "tensor/ops.h"

namespace plumage {

namespace {

/// Empty if a's bits are b's, else which element of `what` differs: "output 0, element [1] WRONG: first 1,
/// then 2".
std::string different(const Tensor& now, const Tensor& before, const char* what, size_t number,
                      const char* wrong) {
  if (!(now.shape() == before.shape()))
    return message(what, ' ', number, ' ', wrong, ": shape ", before.shape(), ", then ", now.shape());
  auto a = before.span<double>(), b = now.span<double>();
  for (size_t e = 0; e < a.size(); ++e)
    if (std::memcmp(&a[e], &b[e], sizeof(double)) != 0)
      return message(what, ' ', number, ", ", element_name(now.shape(), int64_t(e)), ' ', wrong, ": ",
                     number_pair("first", a[e], "then", b[e]));
  return "";
}

std::string different(const Tensors& now, const Tensors& before, const char* what, const char* wrong) {
  if (now.size() != before.size()) return message("f gave ", before.size(), " outputs, then ", now.size());
  for (size_t k = 0; k < now.size(); ++k)
    if (std::string found = different(now[k], before[k], what, k, wrong); !found.empty()) return found;
  return "";
}

Tensors values_of(const std::vector<Var>& list) {
  Tensors out;
  for (const Var& v : list) out.push_back(v.value());
  return out;
}

/// Empty if got = a * x + b * y up to rounding. `size`: of the sums that the gradients came from.
std::string not_the_sum(const Tensor& got, double a, const Tensor& x, double b, const Tensor& y, double size,
                        size_t input, const char* property) {
  Tensor want = ops::add(ops::scale(x, a), ops::scale(y, b));
  std::span<const double> g = got.span<double>(), w = want.span<double>();
  double largest = 0;
  for (double v : w) largest = std::max(largest, std::fabs(v));
  for (size_t e = 0; e < w.size(); ++e)
    if (!(std::fabs(g[e] - w[e]) <= 1e-9 * largest + 1e-12 * size))
      return message(property, ": input ", input, ", ", element_name(got.shape(), int64_t(e)), ": ",
                     number_pair("got", g[e], "wanted", w[e]));
  return "";
}

/// The same gradients twice, and nothing that f or backward was given is written to.
std::string unclean(const CheckedFunction& f, const Tensors& c, const Tensors& g) {
  std::vector<Var> x = f.leaves(), y = f.call(x);
  std::string found = different(values_of(x), f.inputs(), "input", "was changed by f");
  if (found.empty()) found = different(values_of(y), f.base(), "output", "differs between two calls");
  if (!found.empty()) return found;
  Tensors before = copies(c), again = CheckedFunction::pull_back(x, y, c, /*consume=*/false);
  found = different(values_of(x), f.inputs(), "input", "was changed by backward");
  if (found.empty()) found = different(values_of(y), f.base(), "output", "was changed by backward");
  if (found.empty()) found = different(c, before, "cotangent", "was changed by backward");
  if (found.empty()) found = different(again, g, "gradient of input", "differs between two calls");
  return found;
}

std::string not_linear(const CheckedFunction& f, const Tensors& c, const Tensors& g, const Tensors& c2,
                       const Tensors& g2) {
  Tensors mixed;
  for (size_t k = 0; k < c.size(); ++k)
    mixed.push_back(ops::add(ops::scale(c[k], 2), ops::scale(c2[k], -0.5)));
  Tensors got = f.gradients(mixed);
  for (size_t i = 0; i < got.size(); ++i) {
    std::string found =
        not_the_sum(got[i], 2, g[i], -0.5, g2[i], f.size_of_sum(mixed), i, "not linear in the cotangent");
    if (!found.empty()) return found;
  }
  return "";
}

/// f called twice on the same Vars.
std::string not_the_sum_of_two_uses(const CheckedFunction& f, const Tensors& c, const Tensors& g,
                                    const Tensors& c2, const Tensors& g2) {
  std::vector<Var> x = f.leaves(), y = f.call(x), second = f.call(x);
  y.insert(y.end(), second.begin(), second.end());
  Tensors both = c;
  both.insert(both.end(), c2.begin(), c2.end());
  Tensors got = CheckedFunction::pull_back(x, y, both);
  for (size_t i = 0; i < got.size(); ++i) {
    std::string found =
        not_the_sum(got[i], 1, g[i], 1, g2[i], f.size_of_sum(both), i, "used twice, not the sum");
    if (!found.empty()) return found;
  }
  return "";
}

/// f(x, x): where inputs i and j have one shape, one Var in both places gets the sum of what each place gets.
std::string not_the_sum_when_shared(const CheckedFunction& f, const Tensors& c, size_t i, size_t j) {
  std::vector<Var> apart = f.leaves(), shared = f.leaves(), y, y_shared;
  apart[j] = Var(f.inputs()[i].clone(), true);
  shared[j] = shared[i];
  try {
    y = f.call(apart);
    y_shared = f.call(shared);
  } catch (const Error&) {
    return "";  // f does not take the same values in both places
  }
  if (y.size() != c.size()) return "";
  for (size_t k = 0; k < y.size(); ++k)
    if (!(y[k].shape() == c[k].shape()) || !std::isfinite(norm(y[k].value()))) return "";
  Tensors g = CheckedFunction::pull_back(apart, y, c), got = CheckedFunction::pull_back(shared, y_shared, c);
  return not_the_sum(got[i], 1, g[i], 1, g[j], f.size_of_sum(c), i, "one Var as two inputs, not the sum");
}

std::string first_broken(const CheckedFunction& f) {
  Tensors c = f.random_cotangents(0), c2 = f.random_cotangents(1);
  Tensors before = copies(c), g = f.gradients(c);
  std::string found = different(c, before, "cotangent", "was changed by backward");
  if (!found.empty()) return found;
  Tensors g2 = f.gradients(c2);
  found = unclean(f, c, g);
  if (found.empty()) found = not_linear(f, c, g, c2, g2);
  if (found.empty()) found = not_the_sum_of_two_uses(f, c, g, c2, g2);
  for (size_t i = 0; i < f.inputs().size(); ++i)  // one pair is enough
    for (size_t j = i + 1; j < f.inputs().size(); ++j)
      if (found.empty() && f.inputs()[i].shape() == f.inputs()[j].shape())
        return not_the_sum_when_shared(f, c, i, j);
  return found;
}

}  // namespace

std::string broken_property(const CheckedFunction& f) {
  try {
    return first_broken(f);
  } catch (const Error& error) {
    return message("backward threw: ", error.what());
  }
}

}  // namespace plumage
