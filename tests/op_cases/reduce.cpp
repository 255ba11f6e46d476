// Rows of sums, maxima, sorting, and of the gradient of picking elements out of a row.
#include <algorithm>
#include <cmath>

#include "tests/op_cases/op_case.h"

namespace plumage::op_cases {
namespace {

Row sum_to_row(const Shape& from, const Shape& to) {
  return {.name = message("sum_to ", from, " to ", to),
          .op = Op::sum_to,
          .inputs = {{from}},
          .apply = [to](const std::vector<Var>& x) { return std::vector{sum_to(x[0], to)}; },
          .formula =
              [to](const std::vector<Values>& x) {
                Values y(to);
                for (int64_t i = 0; i < x[0].count(); ++i) {  // coordinates of i, from the last dimension on
                  int64_t rest = i, at = 0, step = 1;
                  for (int d = 1; d <= to.rank(); ++d) {
                    int64_t here = rest % x[0].shape[-d];
                    rest /= x[0].shape[-d];
                    at += (to[-d] == 1 ? 0 : here) * step;
                    step *= to[-d];
                  }
                  y[at] += x[0][i];
                }
                return std::vector{y};
              },
          .tolerance = Tolerance::sum,
          .empty = to.count() == 0};
}

/// Places of a row's elements from the first to the last: by value, then by place; NaN last.
std::vector<int64_t> ranking(const Values& x, int64_t row, bool largest) {
  std::vector<int64_t> places;
  for (int64_t c = 0; c < x.columns(); ++c) places.push_back(c);
  auto key = [&](int64_t c) {
    double v = x[row * x.columns() + c];
    return std::tuple{std::isnan(v), std::isnan(v) ? 0.0 : largest ? -v : v, c};
  };
  std::sort(places.begin(), places.end(), [&](int64_t a, int64_t b) { return key(a) < key(b); });
  return places;
}

Row max_last_row(const Shape& shape, Domain domain) {
  return {.name = message("max_last ", shape,
                          domain == Domain::ties       ? " ties"
                          : domain == Domain::specials ? " specials"
                                                       : ""),
          .op = Op::max_last,
          .inputs = {{shape, domain}},
          .apply =
              [](const std::vector<Var>& x) {
                auto [y, index] = max_last(x[0]);
                return std::vector{y, Var(index)};
              },
          .formula =
              [](const std::vector<Values>& x) {
                Shape rows;
                for (int i = 0; i + 1 < x[0].shape.rank(); ++i) rows.push_back(x[0].shape[i]);
                Values y(rows), index(rows);
                for (int64_t r = 0; r < y.count(); ++r) {
                  int64_t C = x[0].columns(), best = ranking(x[0], r, true)[0];
                  for (int64_t c = C - 1; c >= 0; --c)
                    if (std::isnan(x[0][r * C + c])) best = c;  // the first NaN wins
                  y[r] = x[0][r * C + best];
                  index[r] = double(best);
                }
                return std::vector{y, index};
              },
          .tolerance = Tolerance::exact,
          .gradient = domain == Domain::distinct ? Gradient::checked
                      : domain == Domain::ties   ? Gradient::compared
                                                 : Gradient::none,
          .specials = domain == Domain::specials,
          .empty = shape.count() == 0};
}

Row top_k_row(const Shape& shape, int64_t k, bool largest, Domain domain) {
  return {.name = message("top_k ", shape, " k ", k, largest ? " largest" : " smallest",
                          domain == Domain::ties       ? " ties"
                          : domain == Domain::specials ? " specials"
                                                       : ""),
          .op = Op::top_k,
          .inputs = {{shape, domain}},
          .apply =
              [=](const std::vector<Var>& x) {
                auto [y, index] = top_k(x[0], k, largest);
                return std::vector{y, Var(index)};
              },
          .formula =
              [=](const std::vector<Values>& x) {
                Shape s = x[0].shape;
                s.set(-1, k);
                Values y(s), index(s);
                for (int64_t r = 0; r < x[0].rows(); ++r) {
                  std::vector<int64_t> places = ranking(x[0], r, largest);
                  for (int64_t i = 0; i < k; ++i) {
                    index[r * k + i] = double(places[size_t(i)]);
                    y[r * k + i] = x[0][r * x[0].columns() + places[size_t(i)]];
                  }
                }
                return std::vector{y, index};
              },
          .tolerance = Tolerance::exact,
          .gradient = domain == Domain::distinct ? Gradient::checked
                      : domain == Domain::ties   ? Gradient::compared
                                                 : Gradient::none,
          .specials = domain == Domain::specials,
          .empty = shape.count() == 0};
}

/// A column may be named twice: both add up.
Row put_last_row(int64_t rows, int64_t k, int64_t columns) {
  std::vector<int64_t> places;
  for (int64_t i = 0; i < rows * k; ++i) places.push_back(i * 7 % columns * (i % 3 ? 1 : 0));
  return {
      .name = message("put_last [", rows, ", ", k, "] into ", columns),
      .op = Op::put_last,
      .inputs = {{Shape{rows, k}}},
      .apply =
          [=](const std::vector<Var>& x) {
            return std::vector{Var(ops::put_last(x[0].value(), Tensor::from(places, {rows, k}), columns))};
          },
      .formula =
          [=](const std::vector<Values>& x) {
            Values y({rows, columns});
            for (int64_t i = 0; i < rows * k; ++i) y[i / k * columns + places[size_t(i)]] += x[0][i];
            return std::vector{y};
          },
      .tolerance = Tolerance::sum,
      .gradient = Gradient::none,
      .empty = rows == 0};
}

/// `copies` of the second tensor: more than a launch's table holds.
Row squared_norm_row(const Shape& a, const Shape& b, int copies) {
  return {.name = message("squared_norm ", a, " and ", copies, " times ", b),
          .op = Op::squared_norm,
          .inputs = {{a, Domain::normal}, {b, Domain::normal}},
          .apply =
              [=](const std::vector<Var>& x) {
                std::vector<Tensor> list(size_t(copies), x[1].value());
                list.insert(list.begin(), x[0].value());
                return std::vector{Var(ops::squared_norm(list))};
              },
          .formula =
              [=](const std::vector<Values>& x) {
                double sum = 0, last = 0;
                for (int64_t i = 0; i < x[0].count(); ++i) sum += x[0][i] * x[0][i];
                for (int64_t i = 0; i < x[1].count(); ++i) last += x[1][i] * x[1][i];
                return std::vector{Values({1}, sum + copies * last)};
              },
          .tolerance = Tolerance::sum,
          .gradient = Gradient::none};
}

}  // namespace

Family reduce_family() {
  Family family{"reduce", {}, {}};
  const std::pair<Shape, Shape> sums[] = {{{1}, {}},
                                          {{7, 13}, {}},
                                          {{7, 13}, {13}},
                                          {{7, 13}, {7, 1}},
                                          {{65, 33}, {1, 33}},
                                          {{31, 63}, {31, 1}},
                                          {{2, 3, 5, 7}, {1, 3, 1, 7}},
                                          {{2, 3, 5, 7}, {7}},
                                          {{2, 3, 5, 7, 11}, {2, 1, 5, 1, 11}},
                                          {{3, 1025}, {}},
                                          {{4099}, {}},  // in two pieces, of which one is shorter
                                          {{4111, 3}, {3}},
                                          {{0, 5}, {5}},
                                          {{0, 5}, {}},
                                          {{5, 0}, {1, 0}}};
  for (const auto& [from, to] : sums) family.rows.push_back(sum_to_row(from, to));
  family.rows.push_back(with_nan(sum_to_row({31, 17}, {31, 1})));
  family.rows.push_back(with_nan(sum_to_row({31, 17}, {17})));
  for (const Shape& shape :
       {Shape{1}, Shape{13}, Shape{5, 7}, Shape{3, 5, 33}, Shape{17, 65}, Shape{7, 1}, Shape{0, 5}})
    family.rows.push_back(max_last_row(shape, Domain::distinct));
  family.rows.push_back(max_last_row({65, 2}, Domain::distinct));  // rows of negative numbers
  family.rows.push_back(
      max_last_row({5, 700}, Domain::ties));  // a thread's second element before its neighbour's first
  for (Domain domain : {Domain::ties, Domain::specials}) {
    family.rows.push_back(max_last_row({31, 17}, domain));
    for (bool largest : {true, false}) family.rows.push_back(top_k_row({31, 17}, 9, largest, domain));
  }
  for (bool largest : {true, false}) {
    for (int64_t k : {1, 5, 13}) family.rows.push_back(top_k_row({7, 13}, k, largest, Domain::distinct));
    family.rows.push_back(top_k_row({2, 3, 257}, 20, largest, Domain::distinct));
    for (Domain domain : {Domain::ties, Domain::specials}) {  // rows that a device sorts
      family.rows.push_back(top_k_row({3, 700}, 20, largest, domain));
      family.rows.push_back(top_k_row({2, 513}, 513, largest, domain));
    }
    family.rows.push_back(top_k_row({1}, 1, largest, Domain::distinct));
    family.rows.push_back(top_k_row({0, 5}, 2, largest, Domain::distinct));
  }
  family.rows.push_back(squared_norm_row({13, 5}, {1}, 1));
  family.rows.push_back(squared_norm_row({4097}, {0}, 2));
  family.rows.push_back(squared_norm_row({4095}, {1}, 1));
  family.rows.push_back(squared_norm_row({129}, {2}, 259));
  family.rows.push_back(put_last_row(1, 1, 1));
  family.rows.push_back(put_last_row(7, 5, 11));
  family.rows.push_back(put_last_row(0, 5, 11));

  Tensor x = Tensor::zeros({2, 3}), hollow = Tensor::zeros({2, 0}), one = Tensor::zeros({}),
         i = Tensor::zeros({2, 3}, DType::i64);
  Tensor outside = Tensor::full({2, 3}, 3, DType::i64), negative = Tensor::full({2, 3}, -1, DType::i64);
  family.errors = {
      {"sum_to of a wrong shape", {"sum_to", "[2]", "[2, 3]"}, [=] { ops::sum_to(x, {2}); }},
      {"sum_to a larger shape",
       {"sum_to", "[4, 2, 3]", "[2, 3]"},
       [=] {
         ops::sum_to(x, {4, 2, 3});
       }},
      {"squared_norm of nothing", {"squared_norm", "no tensors"}, [] { ops::squared_norm({}); }},
      {"mean of nothing", {"mean", "no elements"}, [=] { ops::mean(hollow); }},
      {"max of empty rows", {"max_last", "empty"}, [=] { ops::max_last(hollow); }},
      {"max of a scalar", {"max_last", "dimension"}, [=] { ops::max_last(one); }},
      {"max of integers", {"max_last", "x", "i64"}, [=] { ops::max_last(i); }},
      {"top_k of too many", {"top_k", "k=4", "[2, 3]"}, [=] { ops::top_k(x, 4); }},
      {"top_k of none", {"top_k", "k=0"}, [=] { ops::top_k(x, 0); }},
      {"put_last outside", {"put_last", "index", "3", "0 to 2"}, [=] { ops::put_last(x, outside, 3); }},
      {"put_last negative", {"put_last", "index", "-1"}, [=] { ops::put_last(x, negative, 3); }},
      {"put_last index type", {"put_last", "index", "i64", "f32"}, [=] { ops::put_last(x, x, 3); }},
      {"put_last index shape",
       {"put_last", "index", "[2, 3]"},
       [=] {
         ops::put_last(x, i.reshape({3, 2}), 3);
       }},
  };
  return family;
}

}  // namespace plumage::op_cases
