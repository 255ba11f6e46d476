#include "tests/op_cases/op_runner.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "autograd/tape.h"
#include "tensor/context.h"
#include "tests/op_cases/guarded_kernels.h"

namespace plumage::op_cases {
namespace {

// --- inputs

uint64_t seed_of(const std::string& name) {  // FNV-1a
  uint64_t h = 14695981039346656037ull;
  for (char c : name) h = (h ^ uint8_t(c)) * 1099511628211ull;
  return h;
}

std::vector<double> numbers(Domain domain, int64_t n, PhiloxKey key) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const double special[] = {nan, inf, -inf, 0.0, -0.0, 1e30, -1e30, 1e-30, 88.0, -88.0};
  std::vector<double> out(static_cast<size_t>(n));
  std::vector<size_t> order(out.size());
  std::iota(order.begin(), order.end(), size_t(0));
  PhiloxStream shuffle({key.seed + 1, key.purpose, key.step});
  for (size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[size_t(shuffle.integer(int64_t(i)))]);
  for (size_t i = 0; i < out.size(); ++i) {
    double z = philox_normal(key, i), u = philox_uniform({key.seed + 2, key.purpose, key.step}, i);
    switch (domain) {
      case Domain::normal:
        out[i] = z;
        break;
      case Domain::positive:
        out[i] = 0.5 + std::fabs(z);
        break;
      case Domain::away_from_zero:
        out[i] = z + std::copysign(0.1, z);
        break;
      case Domain::distinct:
        out[i] = double(order[i]) / double(n) * 8 - 4;
        break;
      case Domain::ties:
        out[i] = std::floor(u * 3) - 1;
        break;
      case Domain::offset:
        out[i] = 50 + z;
        break;
      case Domain::masked:
        out[i] = u < 1.0 / 3 ? -inf : z;
        break;
      case Domain::some_nan:
        out[i] = u < 0.05 ? nan : z;
        break;
      case Domain::specials:
        out[i] = u < 0.5 ? z : special[i % std::size(special)];
        break;
    }
  }
  return out;
}

DType type_in(Role role, DType type) {
  bool beside = role == Role::parameter || role == Role::statistic;
  return beside && type == DType::bf16 ? DType::f32 : type;
}

/// A view into a buffer that has one more row before and behind, so that it is not aligned, and can be
/// checked.
struct PaddedInput {
  Tensor buffer, view, before;
  PaddedInput(const Input& input, DType type, PhiloxKey key) {
    Tensor exact = Tensor::from(numbers(input.domain, input.shape.count(), key), input.shape);
    if (input.domain == Domain::masked && input.shape.rank() > 0 && input.shape.count() > 0) {
      double* p = exact.data<double>();
      std::fill(p, p + input.shape[-1], -std::numeric_limits<double>::infinity());
    }
    Tensor cast = ops::cast(exact, type);
    if (input.shape.rank() == 0) {
      buffer = view = cast;
    } else {
      Shape padded = input.shape;
      padded.set(0, input.shape[0] + 2);
      buffer = Tensor::full(padded, -7, type);
      view = buffer.slice(1, input.shape[0]);
      view.copy_from(cast);
    }
    before = buffer.clone();
  }
};

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), size_t(a.bytes())) == 0);
}

Values values_of(const Tensor& t) {
  Values v(t.shape());
  v.data = t.to_vector();
  return v;
}

double rounded_to(DType type, double v) {
  return visit_any(type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T>)
      return v;
    else
      return double(T(v));
  });
}

// --- comparisons

struct Limit {
  double relative, of_rms;
};

Limit limit_of(Tolerance tolerance, DType type) {
  double unit = type == DType::f64 ? 0x1p-52 : type == DType::f32 ? 0x1p-23 : 0x1p-8;
  switch (tolerance) {
    case Tolerance::exact:
      return {0, 0};
    case Tolerance::pointwise:
      return {type == DType::bf16 ? 2 * unit : 8 * unit, 2 * unit};
    case Tolerance::sum:
      return {type == DType::bf16 ? 2 * unit : 64 * unit, (type == DType::bf16 ? 4 : 64) * unit};
  }
  return {0, 0};
}

double rms(const std::vector<double>& v) {
  double sum = 0, n = 0;
  for (double x : v)
    if (std::isfinite(x)) sum += x * x, ++n;
  return n > 0 ? std::sqrt(sum / n) : 0;
}

class Checker {
 public:
  Checker(const Row& row, Report& report) : row_(row), report_(report), may_be_empty_(row.empty) {
    for (const Input& input : row.inputs) may_be_empty_ = may_be_empty_ || input.shape.count() == 0;
  }

  void expect(bool ok, const std::string& property, const std::string& detail) {
    if (ok)
      ++report_.passed;
    else
      report_.failures.push_back(row_.name + ": " + property + ": " + detail);
  }

  /// got against wanted, both read as doubles. NaN equals nothing but a NaN where the row expects it.
  void compare(const std::string& property, const Tensor& got, const Values& want, Limit limit) {
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

 private:
  const Row& row_;
  Report& report_;
  bool may_be_empty_;
};

// --- one run of a row

struct Run {
  std::vector<Tensor> outputs;
  std::vector<std::vector<Tensor>> gradients;  // of each differentiable output by each differentiable input
  std::set<Op> called;
  std::vector<std::string> violations;
};

bool differentiated(Role role) { return role == Role::data || role == Role::parameter; }

Run run_row(const Row& row, const std::vector<Tensor>& inputs, Backend backend) {
  BackendScope scope(backend);
  GuardedKernels guards;
  Run run;
  std::vector<Var> vars, leaves;
  for (size_t i = 0; i < inputs.size(); ++i) {
    bool wants = row.gradient != Gradient::none && differentiated(row.inputs[i].role);
    vars.emplace_back(inputs[i], wants);
    if (wants) leaves.push_back(vars.back());
  }
  std::vector<Var> outputs = row.apply(vars);
  for (size_t k = 0; k < outputs.size(); ++k) {
    run.outputs.push_back(outputs[k].value());
    if (!outputs[k].needs_grad()) continue;
    Tensor cotangent = ops::cast(
        ops::normal(outputs[k].shape(), {seed_of(row.name), Purpose::test, 100 + k}, 0, 1, DType::f64),
        outputs[k].dtype());
    run.gradients.push_back(gradient(outputs[k], leaves, cotangent));
  }
  run.called = guards.called();
  run.violations = guards.violations();
  return run;
}

std::string where(const char* what, size_t k) { return message(what, " ", k); }

void check_same_bits(Checker& check, const char* property, const Run& a, const Run& b) {
  for (size_t k = 0; k < a.outputs.size(); ++k)
    check.expect(same_bits(a.outputs[k], b.outputs[k]), property, where("output", k));
  for (size_t k = 0; k < a.gradients.size(); ++k)
    for (size_t i = 0; i < a.gradients[k].size(); ++i)
      check.expect(same_bits(a.gradients[k][i], b.gradients[k][i]), property, where("gradient of input", i));
}

void check_close(Checker& check, const Row& row, const std::string& property, const Run& got, const Run& want,
                 DType type) {
  for (size_t k = 0; k < want.outputs.size(); ++k)
    check.compare(property + where("output", k), got.outputs[k], values_of(want.outputs[k]),
                  limit_of(row.tolerance, type));
  // A gradient reads values that were stored in the row's type and may differ by a rounding: never exact.
  Limit limit = limit_of(Tolerance::sum, type);
  for (size_t k = 0; k < want.gradients.size(); ++k)
    for (size_t i = 0; i < want.gradients[k].size(); ++i)
      check.compare(property + where("gradient of input", i), got.gradients[k][i],
                    values_of(want.gradients[k][i]), {limit.relative, 4 * limit.of_rms});
}

std::vector<PaddedInput> padded_inputs(const Row& row, DType type) {
  std::vector<PaddedInput> padded;
  for (size_t i = 0; i < row.inputs.size(); ++i)
    padded.emplace_back(row.inputs[i], type_in(row.inputs[i].role, type),
                        PhiloxKey{seed_of(row.name), Purpose::test, i});
  return padded;
}

std::vector<Tensor> views_of(const std::vector<PaddedInput>& padded) {
  std::vector<Tensor> views;
  for (const PaddedInput& p : padded) views.push_back(p.view);
  return views;
}

void check_type(const Row& row, DType type, Report& report) {
  Checker check(row, report);
  std::string in_type = std::string(name_of(type)) + " ";
  std::vector<PaddedInput> padded = padded_inputs(row, type);
  std::vector<Tensor> views = views_of(padded);
  std::vector<Values> exact;
  for (const Tensor& v : views) exact.push_back(values_of(v));

  std::vector<Run> runs = {run_row(row, views, Backend::ref), run_row(row, views, Backend::ref)};
  std::vector<Values> want = row.formula(exact);
  check.expect(runs[0].outputs.size() == want.size(), in_type + "ref",
               "outputs and formulas differ in number");
  for (size_t k = 0; k < std::min(want.size(), runs[0].outputs.size()); ++k)
    check.compare(in_type + "ref is not the formula: " + where("output", k), runs[0].outputs[k], want[k],
                  limit_of(row.tolerance, type));
  check.expect(runs[0].called.contains(row.op), in_type + "ref", "the op that the row names was not called");
  check_same_bits(check, "ref differs from run to run", runs[0], runs[1]);
  if (type == DType::f64) {
    report.skipped["f64 is computed by ref alone"] += 1;
  } else {
    runs.push_back(run_row(row, views, Backend::fast));
    runs.push_back(run_row(row, views, Backend::fast));
    check_close(check, row, in_type + "fast is not ref: ", runs[2], runs[0], type);
    check_same_bits(check, "fast differs from run to run", runs[2], runs[3]);
  }
  for (size_t i = 0; i < padded.size(); ++i)
    check.expect(same_bits(padded[i].buffer, padded[i].before), in_type + "unchanged",
                 where("input was written to:", i));
  for (const Run& run : runs) {
    for (const std::string& line : run.violations) check.expect(false, in_type + "guards", line);
    if (run.violations.empty()) check.expect(true, "", "");
    report.called.insert(run.called.begin(), run.called.end());
  }
}

void check_gradient(const Row& row, Report& report) {
  int64_t elements = 0;
  for (const Input& input : row.inputs)
    if (differentiated(input.role)) elements += input.shape.count();
  const char* reason = row.gradient == Gradient::none       ? "gradcheck: not differentiable"
                       : row.gradient == Gradient::compared ? "gradcheck: a real layer, or at ties"
                       : row.empty || elements == 0         ? "gradcheck: no elements"
                                                            : nullptr;
  if (reason) {
    report.skipped[reason] += 1;
    return;
  }
  std::vector<Tensor> all = views_of(padded_inputs(row, DType::f64)), leaves;
  for (size_t i = 0; i < all.size(); ++i)
    if (differentiated(row.inputs[i].role)) leaves.push_back(all[i]);
  auto apply = [&](const std::vector<Var>& given) {
    std::vector<Var> vars;
    size_t next = 0;
    for (size_t i = 0; i < all.size(); ++i)
      vars.push_back(differentiated(row.inputs[i].role) ? given[next++] : Var(all[i]));
    return row.apply(vars);
  };
  std::vector<Var> recording;
  for (const Tensor& t : leaves) recording.emplace_back(t, true);
  std::vector<size_t> differentiable;  // an index or statistics beside y are not
  std::vector<Var> outputs = apply(recording);
  for (size_t k = 0; k < outputs.size(); ++k)
    if (outputs[k].needs_grad()) differentiable.push_back(k);
  Function of_leaves = [&](const std::vector<Var>& given) {
    std::vector<Var> all_outputs = apply(given), wanted;
    for (size_t k : differentiable) wanted.push_back(all_outputs[k]);
    return wanted;
  };
  GradcheckOptions options;
  options.seed = seed_of(row.name);
  BackendScope scope(Backend::ref);
  GradcheckReport result = gradcheck(of_leaves, leaves, options);
  Checker(row, report).expect(result.ok && result.compared > 0, "gradcheck", result.failure);
}

}  // namespace

void Report::add(const Report& other) {
  passed += other.passed;
  failures.insert(failures.end(), other.failures.begin(), other.failures.end());
  for (const auto& [reason, n] : other.skipped) skipped[reason] += n;
  called.insert(other.called.begin(), other.called.end());
}

std::string Report::str() const {
  int64_t n = 0;
  std::string reasons;
  for (const auto& [reason, count] : skipped) {
    n += count;
    reasons += (reasons.empty() ? " (" : ", ") + reason + ": " + std::to_string(count);
  }
  return message(passed, " passed, ", failures.size(), " failed, ", n, " skipped", reasons,
                 reasons.empty() ? "" : ")");
}

Report check_row(const Row& row) {
  Report report;
  try {
    for (DType type : row.types) check_type(row, type, report);
    check_gradient(row, report);
  } catch (const std::exception& e) {
    report.failures.push_back(row.name + ": threw: " + e.what());
  }
  return report;
}

Report check_error(const ErrorRow& row) {
  Report report;
  try {
    row.call();
    report.failures.push_back(row.name + ": did not throw");
  } catch (const Error& e) {
    std::string text = e.what();
    bool ok = text.find('\n') == std::string::npos;
    for (const std::string& word : row.words) ok = ok && text.find(word) != std::string::npos;
    if (ok)
      ++report.passed;
    else
      report.failures.push_back(row.name + ": the message lacks what it should name: " + text);
  } catch (const std::exception& e) {
    report.failures.push_back(row.name + ": threw something else: " + e.what());
  }
  return report;
}

std::set<Op> ops_of(const Row& row) {
  return run_row(row, views_of(padded_inputs(row, row.types.back())), Backend::ref).called;
}

}  // namespace plumage::op_cases
