#include "tests/op_cases/op_runner.h"

#include <algorithm>

#include "autograd/tape.h"
#include "tests/op_cases/comparison.h"
#include "tests/op_cases/guarded_kernels.h"
#include "tests/op_cases/row_inputs.h"

namespace plumage::op_cases {
namespace {

// --- one run of a row

struct Run {
  std::vector<Tensor> outputs;
  std::vector<std::vector<Tensor>> gradients;  // of each differentiable output by each differentiable input
  std::set<Op> called;
  std::vector<std::string> violations;
};

/// Standard normal numbers; made without a kernel, so that all targets get the same.
Tensor cotangent_for(const Row& row, size_t output, const Tensor& y) {
  std::vector<double> values(size_t(y.count()));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = philox_normal({seed_of(row.name), Purpose::test, 100 + output}, i);
  return ops::cast(Tensor::from(values, y.shape()), y.dtype());
}

Run run_row(const Row& row, const std::vector<Tensor>& inputs, Target target) {
  GuardedKernels guards(target);
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
    run.gradients.push_back(gradient(outputs[k], leaves, cotangent_for(row, k, outputs[k].value())));
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

void check_type(const Row& row, DType type, Report& report) {
  Checker check(row, report);
  std::string in_type = std::string(name_of(type)) + " ";
  std::vector<PaddedInput> padded = padded_inputs(row, type);
  std::vector<Tensor> views = views_of(padded);
  std::vector<Values> exact;
  for (const Tensor& v : views) exact.push_back(values_of(v));

  std::vector<Run> runs = {run_row(row, views, Target::ref), run_row(row, views, Target::ref)};
  std::vector<Values> want = row.formula(exact);
  check.expect(runs[0].outputs.size() == want.size(), in_type + "ref",
               "outputs and formulas differ in number");
  for (size_t k = 0; k < std::min(want.size(), runs[0].outputs.size()); ++k)
    check.compare(in_type + "ref is not the formula: " + where("output", k), runs[0].outputs[k], want[k],
                  limit_of(row.tolerance, type));
  check.expect(runs[0].called.contains(row.op), in_type + "ref", "the op that the row names was not called");
  check_same_bits(check, "ref differs from run to run", runs[0], runs[1]);
  auto check_target = [&](Target target, const std::string& name) {
    Run run = run_row(row, views, target), again = run_row(row, views, target);
    check_close(check, row, in_type + name + " is not ref: ", run, runs[0], type);
    check_same_bits(check, (name + " differs from run to run").c_str(), run, again);
    runs.push_back(std::move(run));
    runs.push_back(std::move(again));
  };
  if (type == DType::f64)
    report.skipped["f64 is computed by ref alone"] += 1;
  else
    check_target(Target::fast, "fast");
  if (has_device()) {
    check_target(Target::device, "device");
    check_target(Target::device_unaligned, "device, unaligned");
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
  auto check_target = [&](Target target, const char* name) {
    GuardedKernels guards(target);
    GradcheckReport result = gradcheck(of_leaves, leaves, options);
    Checker(row, report).expect(result.ok && result.compared > 0, name, result.failure);
  };
  check_target(Target::ref, "gradcheck");
  if (has_device()) check_target(Target::device, "gradcheck on the device");
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
    if (!has_device()) report.skipped["on a CUDA device: there is none"] += 1;
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
  return run_row(row, views_of(padded_inputs(row, row.types.back())), Target::ref).called;
}

}  // namespace plumage::op_cases
