// One line of thought: backward gives g = J^T c for a random cotangent c; differences give c^T J d for a
// random direction d; g.d must equal it. The rest names what is wrong where it does not. Next: differences.h,
// checked_function.h.
#include "autograd/gradcheck.h"

#include <algorithm>
#include <cmath>

#include "autograd/checked_function.h"
#include "autograd/differences.h"

namespace plumage {

namespace {

class Checker {
 public:
  Checker(const Function& f, const Tensors& inputs, const GradcheckOptions& options)
      : f_(f, inputs, options.seed), options_(options) {}

  GradcheckReport run() {
    report_.failure = f_.unsound();
    if (report_.failure.empty()) report_.failure = broken_property(f_);
    if (report_.failure.empty()) {
      if (options_.full_jacobian)
        jacobian();
      else
        directions();
    }
    if (report_.failure.empty() && report_.compared == 0)
      report_.failure = report_.kinks > 0 ? "nothing was compared: f has a kink in every direction tried"
                                          : "nothing was compared: no directions or no elements";
    report_.ok = report_.failure.empty();
    return report_;
  }

 private:
  double element_of(const Tensor& t, int64_t e) const { return t.span<double>()[size_t(e)]; }

  /// Notes a wrong derivative; false, so that callers can stop.
  bool wrong(size_t i, int64_t e, double analytic, double numeric, const std::string& more = "") {
    report_.input = int(i);
    report_.element = e;
    report_.analytic = analytic;
    report_.numeric = numeric;
    std::string place = e < 0 ? "" : ", " + element_name(f_.inputs()[i].shape(), e);
    report_.failure =
        message("input ", i, place, more, ": ", number_pair("analytic", analytic, "numeric", numeric));
    return false;
  }

  Slope slope(const Tensors& c, const Tensors& direction, double size, double step) const {
    return slopes([&](double t) { return std::vector<double>{f_.weighed_change(c, direction, t)}; },
                  {f_.size_of_sum(c)}, {options_.tolerance / 2 * size}, step)[0];
  }

  enum class Verdict { agree, differ, kink };

  /// `size`: what the tolerance is relative to, unless the numbers themselves are larger.
  Verdict judge(double analytic, const Slope& s, double size) {
    size = std::max({size, std::fabs(analytic), std::fabs(s.value)});
    if (s.kink(options_.tolerance * size)) {
      ++report_.kinks;
      return Verdict::kink;
    }
    ++report_.compared;
    double difference = std::fabs(analytic - s.value);
    double error = difference == 0 ? 0 : difference / (size + s.noise / options_.tolerance);
    if (!(error <= report_.worst)) report_.worst = error;
    return error <= options_.tolerance ? Verdict::agree : Verdict::differ;
  }

  // --- random directions

  void directions() {
    std::vector<bool> compared(f_.inputs().size(), false);
    Tensors c, g;
    for (int trial = 0; trial < options_.directions; ++trial) {
      c = f_.random_cotangents(uint64_t(trial));
      g = f_.gradients(c);
      Tensors all = f_.random_direction(uint64_t(trial));
      std::vector<Tensors> ways;
      if (options_.joint) ways.push_back(all);
      for (size_t i = 0; i < all.size() && !options_.joint; ++i) {
        if (all[i].count() == 0) continue;
        ways.emplace_back(all.size());
        ways.back()[i] = all[i];
      }
      for (const Tensors& way : ways)
        if (!along(c, g, way, compared)) return;
    }
    // Where every direction crossed a kink, the elements by themselves: most of them are smooth.
    for (size_t i = 0; i < f_.inputs().size() && options_.directions > 0; ++i)
      if (!compared[i] && !elements(c, g, i)) return;
  }

  bool along(const Tensors& c, const Tensors& g, const Tensors& direction, std::vector<bool>& compared) {
    double analytic = 0, square = 0;
    for (size_t i = 0; i < direction.size(); ++i) {
      if (!direction[i].defined()) continue;
      analytic += dot(g[i], direction[i]);
      square += std::pow(norm(g[i]) * f_.unit(i), 2);
    }
    double size = std::sqrt(square);
    Slope s = slope(c, direction, size, options_.step);
    Verdict verdict = judge(analytic, s, size);
    if (verdict == Verdict::kink) return true;
    for (size_t i = 0; i < direction.size(); ++i)
      if (direction[i].defined()) compared[i] = true;
    return verdict == Verdict::agree || name_the_worst(c, g, direction, analytic, s.value);
  }

  bool elements(const Tensors& c, const Tensors& g, size_t i) {
    int64_t count = g[i].count();
    double size = norm(g[i]) / std::sqrt(double(std::max<int64_t>(1, count)));
    for (int64_t e = 0; e < std::min(count, std::max<int64_t>(1, options_.locate)); ++e) {
      Slope s = slope(c, f_.unit_direction(i, e), size, options_.step * f_.unit(i));
      double analytic = element_of(g[i], e);
      if (judge(analytic, s, size) == Verdict::differ) return wrong(i, e, analytic, s.value);
    }
    return true;
  }

  // --- where a wrong direction comes from

  /// |g.d - difference quotient|, for a direction d that moves input i only.
  double error_of(const Tensors& c, const Tensors& g, const Tensor& d, size_t i, double step) const {
    Tensors direction(g.size());
    direction[i] = d;
    double numeric =
        (f_.weighed_change(c, direction, step) - f_.weighed_change(c, direction, -step)) / (2 * step);
    double error = std::fabs(dot(g[i], d) - numeric);
    return std::isnan(error) ? HUGE_VAL : error;
  }

  bool name_the_worst(const Tensors& c, const Tensors& g, const Tensors& direction, double analytic,
                      double numeric) {
    size_t i = 0;
    double largest = -1;
    for (size_t j = 0; j < direction.size(); ++j) {
      double error = direction[j].defined() ? error_of(c, g, direction[j], j, options_.step) : -1;
      if (error > largest) {
        largest = error;
        i = j;
      }
    }
    if (options_.locate < 1) return wrong(i, -1, analytic, numeric, ", along a random direction");

    auto [first, count] = narrow_down(c, g, direction[i], i);
    int64_t worst = first;
    largest = -1;
    for (int64_t e = first; e < first + count; ++e) {
      double error = error_of(c, g, f_.unit_direction(i, e)[i], i, options_.step * f_.unit(i));
      if (error > largest) {
        largest = error;
        worst = e;
      }
    }
    double of_element = element_of(g[i], worst);
    Slope s = slope(c, f_.unit_direction(i, worst), std::fabs(of_element), options_.step * f_.unit(i));
    return wrong(i, worst, of_element, s.value);
  }

  /// Halves the range of elements that the error comes from until it is short enough to try each.
  std::pair<int64_t, int64_t> narrow_down(const Tensors& c, const Tensors& g, const Tensor& d,
                                          size_t i) const {
    auto part = [&](int64_t from, int64_t n) {
      Tensor p = Tensor::zeros(d.shape(), DType::f64);
      std::copy_n(d.data<double>() + from, n, p.data<double>() + from);
      return p;
    };
    int64_t first = 0, count = d.count();
    while (count > options_.locate) {
      int64_t half = count / 2;
      double left = error_of(c, g, part(first, half), i, options_.step);
      double right = error_of(c, g, part(first + half, count - half), i, options_.step);
      if (right > left) first += half;
      count = right > left ? count - half : half;
    }
    return {first, count};
  }

  // --- the whole Jacobian

  /// An output element: its place, its size, and its gradient by every input.
  struct Row {
    size_t output;
    int64_t element;
    double size;
    Tensors g;
  };

  void jacobian() {
    std::vector<Row> rows;
    const Tensors& base = f_.base();
    std::vector<Var> x = f_.leaves(), y = f_.call(x);
    for (size_t k = 0; k < base.size(); ++k)
      for (int64_t e = 0; e < base[k].count(); ++e) {
        Tensors one(base.size());
        one[k] = Tensor::zeros(base[k].shape(), DType::f64);
        one[k].span<double>()[size_t(e)] = 1;
        rows.push_back({k, e, std::fabs(element_of(base[k], e)), f_.pull_back(x, y, one, /*consume=*/false)});
      }
    for (size_t i = 0; i < f_.inputs().size(); ++i)
      for (int64_t e = 0; e < f_.inputs()[i].count(); ++e)
        if (!column(i, e, rows)) return;
  }

  bool column(size_t i, int64_t e, const std::vector<Row>& rows) {
    std::vector<double> sizes, gradient_sizes, wanted;  // the tolerance is relative to a row's own elements
    for (const Row& row : rows) {
      sizes.push_back(row.size);
      gradient_sizes.push_back(norm(row.g[i]) / std::sqrt(double(row.g[i].count())));
      wanted.push_back(options_.tolerance / 2 * gradient_sizes.back());
    }
    Tensors direction = f_.unit_direction(i, e);
    std::vector<Slope> found =
        slopes([&](double t) { return f_.change(direction, t); }, sizes, wanted, options_.step * f_.unit(i));
    for (size_t r = 0; r < rows.size(); ++r) {
      double analytic = element_of(rows[r].g[i], e);
      if (judge(analytic, found[r], gradient_sizes[r]) != Verdict::differ) continue;
      const Row& row = rows[r];
      std::string output = element_name(f_.base()[row.output].shape(), row.element);
      return wrong(i, e, analytic, found[r].value, message(", output ", row.output, ' ', output));
    }
    return true;
  }

  CheckedFunction f_;
  GradcheckOptions options_;
  GradcheckReport report_;
};

}  // namespace

GradcheckReport gradcheck(const Function& f, const std::vector<Tensor>& inputs,
                          const GradcheckOptions& options) {
  if (!(options.step > 0) || !(options.tolerance > 0))
    throw InputError("gradcheck: step and tolerance must be above 0");
  if (!is_recording())
    throw InputError(
        "gradcheck: called while a NoGrad lives, so that nothing is recorded; end its scope first");
  return Checker(f, inputs, options).run();
}

}  // namespace plumage
