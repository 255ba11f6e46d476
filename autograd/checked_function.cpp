#include "autograd/checked_function.h"

#include <cmath>

#include "autograd/tape.h"
#include "tensor/ops.h"

namespace plumage {

double dot(const Tensor& a, const Tensor& b) {
  auto x = a.span<double>(), y = b.span<double>();
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

double norm(const Tensor& x) { return std::sqrt(dot(x, x)); }

Tensors copies(const Tensors& list) {
  Tensors out;
  for (const Tensor& t : list) out.push_back(t.clone());
  return out;
}

std::string element_name(const Shape& shape, int64_t element) {
  std::string text;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    text = std::to_string(element % shape[i]) + (text.empty() ? "" : ", ") + text;
    element /= shape[i];
  }
  return "element [" + text + "]";
}

std::string number_pair(const char* a_name, double a, const char* b_name, double b) {
  std::ostringstream out;
  out.precision(9);
  out << a_name << ' ' << a << ", " << b_name << ' ' << b;
  return out.str();
}

CheckedFunction::CheckedFunction(const Function& f, const Tensors& inputs, uint64_t seed)
    : f_(f), seed_(seed), inputs_(copies(inputs)) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined() || inputs[i].dtype() != DType::f64)
      throw DTypeError(message("gradcheck: input ", i, " must be f64, got ",
                               inputs[i].defined() ? name_of(inputs[i].dtype()) : "nothing"));
    int64_t n = inputs[i].count();
    units_.push_back(1 + (n > 0 ? norm(inputs[i]) / std::sqrt(double(n)) : 0));
  }
  base_ = values_at(inputs_);
  unsound_ = find_unsound();
}

std::string CheckedFunction::find_unsound() const {
  for (size_t i = 0; i < inputs_.size(); ++i)
    for (double v : inputs_[i].span<double>())
      if (!std::isfinite(v)) return message("input ", i, " is not finite");
  int64_t count = 0;
  for (size_t k = 0; k < base_.size(); ++k) {
    auto values = base_[k].span<double>();
    for (size_t e = 0; e < values.size(); ++e)
      if (!std::isfinite(values[e])) {
        std::string value = std::isnan(values[e]) ? "NaN" : message(values[e]);
        return message("output ", k, ", ", element_name(base_[k].shape(), int64_t(e)), " is ", value);
      }
    count += base_[k].count();
  }
  return count > 0 ? "" : "nothing to compare: f gives no float output elements";
}

std::vector<Var> CheckedFunction::leaves() const {
  std::vector<Var> x;
  for (const Tensor& t : inputs_) x.emplace_back(t.clone(), true);
  return x;
}

std::vector<Var> CheckedFunction::call(const std::vector<Var>& x) const {
  std::vector<Var> floats, all = f_(x);
  for (size_t k = 0; k < all.size(); ++k) {
    if (!all[k].defined()) throw InputError(message("gradcheck: output ", k, " of f is undefined"));
    if (!is_float(all[k].dtype())) continue;
    if (all[k].dtype() != DType::f64)
      throw DTypeError(message("gradcheck: output ", k, " of f must be f64, got ", name_of(all[k].dtype())));
    floats.push_back(all[k]);
  }
  return floats;
}

Tensors CheckedFunction::values_at(const Tensors& at) const {
  NoGrad no_grad;
  std::vector<Var> x;
  for (const Tensor& t : at) x.emplace_back(t.clone());
  Tensors y;
  for (const Var& v : call(x)) y.push_back(v.value());
  return y;
}

Tensors CheckedFunction::pull_back(const std::vector<Var>& x, const std::vector<Var>& y,
                                   const Tensors& cotangents, bool consume) {
  Var weighed =
      record("gradcheck", Tensor::full({}, 1, DType::f64), y, [&cotangents](const Tensor&, Gradients& d) {
        for (size_t k = 0; k < cotangents.size(); ++k)
          if (cotangents[k].defined()) d.add(int(k), cotangents[k]);
      });
  return gradient(weighed, x, {}, consume);
}

Tensors CheckedFunction::gradients(const Tensors& cotangents, bool consume) const {
  std::vector<Var> x = leaves();
  return pull_back(x, call(x), cotangents, consume);
}

namespace {
// Numbers of their own for each trial and each tensor of it.
Tensor draw(const Shape& shape, uint64_t seed, uint64_t trial, uint64_t tensor) {
  return ops::normal(shape, {seed, Purpose::gradcheck, trial * 65536 + tensor}, 0, 1, DType::f64);
}
}  // namespace

Tensors CheckedFunction::random_cotangents(uint64_t trial) const {
  Tensors c;
  for (size_t k = 0; k < base_.size(); ++k) c.push_back(draw(base_[k].shape(), seed_, trial, 32768 + k));
  return c;
}

Tensors CheckedFunction::random_direction(uint64_t trial) const {
  Tensors d;
  for (size_t i = 0; i < inputs_.size(); ++i)
    d.push_back(ops::scale(draw(inputs_[i].shape(), seed_, trial, i), units_[i]));
  return d;
}

Tensors CheckedFunction::unit_direction(size_t i, int64_t element) const {
  Tensors direction(inputs_.size());
  direction[i] = Tensor::zeros(inputs_[i].shape(), DType::f64);
  direction[i].span<double>()[size_t(element)] = 1;
  return direction;
}

std::vector<double> CheckedFunction::change(const Tensors& direction, double t) const {
  Tensors at = inputs_;
  for (size_t i = 0; i < at.size(); ++i)
    if (direction[i].defined()) at[i] = ops::add(at[i], ops::scale(direction[i], t));
  Tensors y = values_at(at);
  if (y.size() != base_.size())
    throw InputError("gradcheck: the number of f's outputs depends on the inputs' values");
  std::vector<double> out;
  for (size_t k = 0; k < y.size(); ++k) {
    if (!(y[k].shape() == base_[k].shape()))
      throw InputError("gradcheck: the shapes of f's outputs depend on the inputs' values");
    std::span<const double> now = y[k].span<double>(), then = base_[k].span<double>();
    for (size_t e = 0; e < now.size(); ++e) out.push_back(now[e] - then[e]);
  }
  return out;
}

double CheckedFunction::weighed_change(const Tensors& cotangents, const Tensors& direction, double t) const {
  std::vector<double> changes = change(direction, t);
  double sum = 0;
  size_t next = 0;
  for (const Tensor& c : cotangents)
    for (double weight : c.span<double>()) sum += weight * changes[next++];
  return sum;
}

double CheckedFunction::size_of_sum(const Tensors& cotangents) const {
  double sum = 0;
  for (size_t k = 0; k < cotangents.size(); ++k) {
    auto weight = cotangents[k].span<double>(), value = base_[k % base_.size()].span<double>();
    for (size_t e = 0; e < value.size(); ++e) sum += std::fabs(weight[e] * value[e]);
  }
  return sum;
}

}  // namespace plumage
