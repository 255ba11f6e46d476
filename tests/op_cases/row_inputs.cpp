#include "tests/op_cases/row_inputs.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace plumage::op_cases {

uint64_t seed_of(const std::string& name) {  // FNV-1a
  uint64_t h = 14695981039346656037ull;
  for (char c : name) h = (h ^ uint8_t(c)) * 1099511628211ull;
  return h;
}

namespace {

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

}  // namespace

PaddedInput::PaddedInput(const Input& input, DType type, PhiloxKey key) {
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

}  // namespace plumage::op_cases
