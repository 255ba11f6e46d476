// Rows of softmax, log-softmax, logsumexp and cross-entropy, masked entries among them.
#include <array>
#include <cmath>
#include <limits>

#include "tests/op_cases/op_case.h"

namespace plumage::op_cases {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

/// log(sum(exp)) in long double, which needs no shift for numbers of this size. -inf of a masked row.
double lse_of(const Values& x, int64_t row) {
  long double sum = 0;
  for (int64_t c = 0; c < x.columns(); ++c)
    sum += std::exp(static_cast<long double>(x[row * x.columns() + c]));
  return double(std::log(sum));
}

/// exp(x) / sum(exp(x)); 0 where masked, also in a row that is masked altogether.
Values probabilities_of(const Values& x) {
  Values y(x.shape);
  for (int64_t r = 0; r < x.rows(); ++r) {
    long double sum = 0;
    for (int64_t i = r * x.columns(); i < (r + 1) * x.columns(); ++i)
      sum += std::exp(static_cast<long double>(x[i]));
    for (int64_t i = r * x.columns(); i < (r + 1) * x.columns(); ++i)
      y[i] = x[i] == -kInf && !std::isnan(sum) ? 0 : double(std::exp(static_cast<long double>(x[i])) / sum);
  }
  return y;
}

Shape without_last(const Shape& s) {
  Shape rows;
  for (int i = 0; i + 1 < s.rank(); ++i) rows.push_back(s[i]);
  return rows;
}

std::string row_name(const char* op, const Shape& shape, Domain domain) {
  return message(op, " ", shape,
                 domain == Domain::masked   ? " masked"
                 : domain == Domain::offset ? " offset"
                                            : "");
}

Gradient gradient_in(Domain domain) {
  return domain == Domain::masked ? Gradient::compared : Gradient::checked;
}

Row softmax_row(const Shape& shape, Domain domain) {
  return {.name = row_name("softmax", shape, domain),
          .op = Op::softmax,
          .inputs = {{shape, domain}},
          .apply = [](const std::vector<Var>& x) { return std::vector{softmax(x[0])}; },
          .formula = [](const std::vector<Values>& x) { return std::vector{probabilities_of(x[0])}; },
          .tolerance = Tolerance::sum,
          .gradient = gradient_in(domain),
          .empty = shape.count() == 0};
}

Row log_softmax_row(const Shape& shape, Domain domain) {
  return {.name = row_name("log_softmax", shape, domain),
          .op = Op::log_softmax,
          .inputs = {{shape, domain}},
          .apply = [](const std::vector<Var>& x) { return std::vector{log_softmax(x[0])}; },
          .formula =
              [](const std::vector<Values>& x) {
                Values y(x[0].shape);
                for (int64_t r = 0; r < y.rows(); ++r) {
                  double lse = lse_of(x[0], r);
                  for (int64_t i = r * y.columns(); i < (r + 1) * y.columns(); ++i)
                    y[i] = x[0][i] == -kInf && !std::isnan(lse) ? -kInf : x[0][i] - lse;
                }
                return std::vector{y};
              },
          .tolerance = Tolerance::sum,
          .gradient = gradient_in(domain),
          .empty = shape.count() == 0};
}

Row logsumexp_row(const Shape& shape, Domain domain) {
  return {.name = row_name("logsumexp", shape, domain),
          .op = Op::logsumexp,
          .inputs = {{shape, domain}},
          .apply = [](const std::vector<Var>& x) { return std::vector{logsumexp(x[0])}; },
          .formula =
              [](const std::vector<Values>& x) {
                Values y(without_last(x[0].shape));
                for (int64_t r = 0; r < y.count(); ++r) y[r] = lse_of(x[0], r);
                return std::vector{y};
              },
          .tolerance = Tolerance::sum,
          .gradient = gradient_in(domain),
          .empty = without_last(shape).count() == 0};
}

/// Labels avoid the masked entries where they can; in a masked row the loss is inf.
Row cross_entropy_row(int64_t B, int64_t C, Domain domain) {
  std::vector<int64_t> labels;
  for (int64_t b = 0; b < B; ++b) labels.push_back(b * 5 % C);
  return {.name = row_name("cross_entropy", {B, C}, domain),
          .op = Op::cross_entropy,
          .inputs = {{{B, C}, domain}},
          .apply =
              [=](const std::vector<Var>& x) {
                return std::vector{cross_entropy(x[0], Tensor::from(labels, {B}))};
              },
          .formula =
              [=](const std::vector<Values>& x) {
                Values loss({B});
                for (int64_t b = 0; b < B; ++b) {
                  double logit = x[0][b * C + labels[size_t(b)]];
                  loss[b] = logit == -kInf ? kInf : lse_of(x[0], b) - logit;
                }
                return std::vector{loss};
              },
          .tolerance = Tolerance::sum,
          .gradient = gradient_in(domain),
          .empty = B == 0};
}

/// Of `count` numbers from -1 to 1 that every type holds: the largest come last, when a block of keys has been added up.
double key_number(int64_t i, int64_t count) { return double(i * 37 % 129 - 64) / (count - i <= 100 ? 64 : 128); }

/// Similarities and their softmax spelled out.
Row attend_row(int64_t B, int64_t K, int64_t d, double scale) {
  return {.name = message("attend [", B, ", ", d, "] to ", K, " keys, scale ", scale),
          .op = Op::attend,
          .inputs = {{{B, d}, Domain::normal}},
          .apply =
              [=](const std::vector<Var>& x) {
                std::vector<double> numbers;
                for (int64_t i = 0; i < K * d; ++i) numbers.push_back(key_number(i, K * d));
                const Tensor& q = x[0].value();
                Tensor keys = ops::cast(Tensor::from(numbers, {K, d}).to(q.device()), q.dtype());
                return std::vector{attend(x[0], keys, scale), Var(ops::attend(q, keys, scale).mean)};
              },
          .formula =
              [=](const std::vector<Values>& x) {
                Values s({B, K}), lse({B}), mean({B, d});
                for (int64_t b = 0; b < B; ++b) {
                  for (int64_t k = 0; k < K; ++k)
                    for (int64_t c = 0; c < d; ++c) s[b * K + k] += scale * x[0][b * d + c] * key_number(k * d + c, K * d);
                  lse[b] = lse_of(s, b);
                  for (int64_t k = 0; k < K; ++k)
                    for (int64_t c = 0; c < d; ++c) mean[b * d + c] += std::exp(s[b * K + k] - lse[b]) * key_number(k * d + c, K * d);
                }
                return std::vector{lse, mean};
              },
          .tolerance = Tolerance::sum,
          .gradient = B * K <= 1000 ? Gradient::checked : Gradient::compared,
          .empty = B == 0};
}

}  // namespace

Family softmax_family() {
  Family family{"softmax", {}, {}};
  for (auto make : {softmax_row, log_softmax_row, logsumexp_row}) {
    for (const Shape& shape : {Shape{1}, Shape{7}, Shape{5, 13}, Shape{3, 5, 17}, Shape{31, 65}, Shape{7, 1},
                               Shape{2, 1025}, Shape{0, 5}})
      family.rows.push_back(make(shape, Domain::normal));
    family.rows.push_back(make({13, 33}, Domain::offset));
    family.rows.push_back(make({13, 33}, Domain::masked));
    family.rows.push_back(with_nan(make({31, 17}, Domain::normal)));
  }
  family.rows.push_back(softmax_row({3, 0}, Domain::normal));
  for (auto [B, C] : {std::pair<int64_t, int64_t>{1, 1}, {1, 7}, {13, 31}, {5, 1025}, {0, 5}})
    family.rows.push_back(cross_entropy_row(B, C, Domain::normal));
  family.rows.push_back(cross_entropy_row(13, 31, Domain::offset));
  family.rows.push_back(cross_entropy_row(13, 31, Domain::masked));
  family.rows.push_back(with_nan(cross_entropy_row(31, 17, Domain::normal)));

  for (auto [B, K, d] : {std::array<int64_t, 3>{1, 1, 1}, {3, 7, 5}, {13, 31, 17}, {0, 5, 3}})
    for (double scale : {0.3, -1.0}) family.rows.push_back(attend_row(B, K, d, scale));
  family.rows.push_back(attend_row(500, 600, 3, 2));   // more keys than a block of the CPU's
  family.rows.push_back(attend_row(64, 16500, 2, 1));  // and of a device's; too many terms for f64's bound
  family.rows.back().types = {DType::f32, DType::bf16};
  family.rows.push_back(with_nan(attend_row(5, 13, 4, 1)));

  Tensor x = Tensor::zeros({2, 3}), one = Tensor::zeros({}), i = Tensor::zeros({2, 3}, DType::i64);
  Tensor labels = Tensor::zeros({2}, DType::i64), outside = Tensor::full({2}, 3, DType::i64);
  family.errors = {
      {"attend to none", {"attend", "no keys"}, [=] { ops::attend(x, Tensor::zeros({0, 3}), 1); }},
      {"attend sizes", {"attend", "keys", "[4, 3]", "[4, 2]"}, [=] { ops::attend(x, Tensor::zeros({4, 2}), 1); }},
      {"attend ranks", {"attend", "q", "[B, d]"}, [=] { ops::attend(one, x, 1); }},
      {"softmax of a scalar", {"softmax", "dimension"}, [=] { ops::softmax(one); }},
      {"log_softmax of integers", {"log_softmax", "x", "i64"}, [=] { ops::log_softmax(i); }},
      {"logsumexp of a scalar", {"logsumexp", "dimension"}, [=] { ops::logsumexp(one); }},
      {"cross_entropy label outside",
       {"cross_entropy", "labels", "3", "0 to 2"},
       [=] { ops::cross_entropy(x, outside); }},
      {"cross_entropy label type",
       {"cross_entropy", "labels", "i64"},
       [=] { ops::cross_entropy(x, Tensor::zeros({2})); }},
      {"cross_entropy label count",
       {"cross_entropy", "labels", "[2]"},
       [=] { ops::cross_entropy(x, Tensor::zeros({3}, DType::i64)); }},
      {"cross_entropy logits",
       {"cross_entropy", "logits", "[B, C]", "[6]"},
       [=] { ops::cross_entropy(x.reshape({6}), labels); }},
  };
  return family;
}

}  // namespace plumage::op_cases
