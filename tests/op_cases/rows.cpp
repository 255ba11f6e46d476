// Rows of unit length, picking rows by index, concatenation and slices.
#include <cmath>

#include "tests/op_cases/op_case.h"

namespace plumage::op_cases {
namespace {

Row l2_normalize_row(const Shape& shape, double epsilon, const char* note = "") {
  return {.name = message("l2_normalize ", shape, note),
          .op = Op::l2_normalize,
          .inputs = {{shape}},
          .apply = [=](const std::vector<Var>& x) { return std::vector{l2_normalize(x[0], epsilon)}; },
          .formula =
              [=](const std::vector<Values>& x) {
                Values y = x[0];
                for (int64_t r = 0; r < y.rows(); ++r) {
                  long double length = 0;
                  for (int64_t c = 0; c < y.columns(); ++c)
                    length = std::hypot(length, static_cast<long double>(x[0][r * y.columns() + c]));
                  for (int64_t c = 0; c < y.columns(); ++c)
                    y[r * y.columns() + c] /= double(length < epsilon ? epsilon : length);
                }
                return std::vector{y};
              },
          .tolerance = Tolerance::sum,
          .empty = shape.count() == 0};
}

Row gather_row(const Shape& shape, const std::vector<int64_t>& index) {
  Shape picked = shape;
  picked.set(0, int64_t(index.size()));
  return {.name = message("gather_rows ", shape, " to ", picked),
          .op = Op::gather_rows,
          .inputs = {{shape}},
          .apply =
              [=](const std::vector<Var>& x) {
                return std::vector{gather_rows(x[0], Tensor::from(index, {int64_t(index.size())}))};
              },
          .formula =
              [=](const std::vector<Values>& x) {
                Values y(picked);
                int64_t width = index.empty() ? 0 : y.count() / int64_t(index.size());
                for (int64_t i = 0; i < y.count(); ++i)
                  y[i] = x[0][index[size_t(i / width)] * width + i % width];
                return std::vector{y};
              },
          .tolerance = Tolerance::exact,
          .empty = picked.count() == 0};
}

Row gather_integers_row() {
  return {.name = "gather_rows of u8 and i64",
          .op = Op::gather_rows,
          .inputs = {},
          .apply =
              [](const std::vector<Var>&) {
                Tensor index = Tensor::from(std::vector<int64_t>{2, 0, 2}, {3});
                Tensor bytes = Tensor::from(std::vector<uint8_t>{1, 2, 3, 4, 5, 255}, {3, 2});
                Tensor words = Tensor::from(std::vector<int64_t>{-1, int64_t(1) << 40, 3}, {3});
                return std::vector{Var(ops::gather_rows(bytes, index)), Var(ops::gather_rows(words, index))};
              },
          .formula =
              [](const std::vector<Values>&) {
                Values bytes({3, 2}), words({3});
                bytes.data = {5, 255, 1, 2, 5, 255};
                words.data = {3, -1, 3};
                return std::vector{bytes, words};
              },
          .tolerance = Tolerance::exact,
          .gradient = Gradient::none,
          .types = {DType::f64, DType::f32}};
}

Row scatter_row(const Shape& dy, const std::vector<int64_t>& index, int64_t rows) {
  Shape to = dy;
  to.set(0, rows);
  return {.name = message("scatter_add_rows ", dy, " to ", to),
          .op = Op::scatter_add_rows,
          .inputs = {{dy}},
          .apply =
              [=](const std::vector<Var>& x) {
                return std::vector{Var(
                    ops::scatter_add_rows(x[0].value(), Tensor::from(index, {int64_t(index.size())}), rows))};
              },
          .formula =
              [=](const std::vector<Values>& x) {
                Values y(to);
                int64_t width = y.count() / rows;
                for (int64_t i = 0; i < x[0].count(); ++i)
                  y[index[size_t(i / width)] * width + i % width] += x[0][i];
                return std::vector{y};
              },
          .tolerance = Tolerance::sum,
          .gradient = Gradient::none};
}

/// Elements seen as [outer, size, inner] around dimension d.
struct Around {
  int64_t outer = 1, size, inner = 1;
  Around(const Shape& s, int d) : size(s[d]) {
    for (int i = 0; i < d; ++i) outer *= s[i];
    for (int i = d + 1; i < s.rank(); ++i) inner *= s[i];
  }
};

Row concat_row(const std::vector<Shape>& shapes, int d) {
  std::string name = message("concat along ", d, ":");
  std::vector<Input> inputs;
  int64_t total = 0;
  for (const Shape& s : shapes) {
    name += " " + s.str();
    inputs.push_back({s});
    total += s[d];
  }
  Shape to = shapes[0];
  to.set(d, total);
  return {.name = name,
          .op = Op::copy_block,
          .inputs = inputs,
          .apply = [=](const std::vector<Var>& x) { return std::vector{concat(x, d)}; },
          .formula =
              [=](const std::vector<Values>& x) {
                Values y(to);
                Around ay(to, d);
                int64_t first = 0;
                for (const Values& part : x) {
                  Around ap(part.shape, d);
                  for (int64_t o = 0; o < ap.outer; ++o)
                    for (int64_t j = 0; j < ap.size; ++j)
                      for (int64_t i = 0; i < ap.inner; ++i)
                        y[(o * ay.size + first + j) * ay.inner + i] = part[(o * ap.size + j) * ap.inner + i];
                  first += ap.size;
                }
                return std::vector{y};
              },
          .tolerance = Tolerance::exact,
          .empty = to.count() == 0};
}

Row narrow_row(const Shape& shape, int d, int64_t first, int64_t count) {
  Shape to = shape;
  to.set(d, count);
  return {.name = message("narrow ", shape, " along ", d, " from ", first, " to ", to),
          .op = Op::copy_block,
          .inputs = {{shape}},
          .apply = [=](const std::vector<Var>& x) { return std::vector{narrow(x[0], d, first, count)}; },
          .formula =
              [=](const std::vector<Values>& x) {
                Values y(to);
                Around ax(shape, d), ay(to, d);
                for (int64_t o = 0; o < ay.outer; ++o)
                  for (int64_t j = 0; j < ay.size; ++j)
                    for (int64_t i = 0; i < ay.inner; ++i)
                      y[(o * ay.size + j) * ay.inner + i] = x[0][(o * ax.size + first + j) * ax.inner + i];
                return std::vector{y};
              },
          .tolerance = Tolerance::exact,
          .empty = to.count() == 0};
}

}  // namespace

namespace {

Row put_rows_row(const Shape& ring, int64_t count, int64_t first) {
  Shape some = ring;
  some.set(0, count);
  return {.name = message("put_rows ", some, " into ", ring, " at ", first),
          .op = Op::put_rows,
          .inputs = {{ring}, {some}},
          .apply =
              [=](const std::vector<Var>& x) {
                Tensor y = x[0].value().clone();
                ops::put_rows(y, x[1].value(), Tensor::from(std::vector<int64_t>{first}, {1}));
                return std::vector{Var(y)};
              },
          .formula =
              [=](const std::vector<Values>& x) {
                Values y = x[0];
                int64_t width = count ? x[1].count() / count : 0;
                for (int64_t r = 0; r < count; ++r)
                  for (int64_t i = 0; i < width; ++i) y[(first + r) % ring[0] * width + i] = x[1][r * width + i];
                return std::vector{y};
              },
          .tolerance = Tolerance::exact,
          .gradient = Gradient::none};
}

}  // namespace

Family rows_family() {
  Family family{"rows", {}, {}};
  for (const Shape& shape : {Shape{1}, Shape{7}, Shape{5, 13}, Shape{3, 5, 17}, Shape{31, 65}, Shape{7, 1},
                             Shape{2, 2048}, Shape{0, 5}})
    family.rows.push_back(l2_normalize_row(shape, 1e-12));
  family.rows.push_back(l2_normalize_row({7, 11}, 100, " all shorter than epsilon"));

  family.rows.push_back(with_nan(l2_normalize_row({31, 17}, 1e-12)));

  family.rows.push_back(gather_row({1}, {0}));
  family.rows.push_back(gather_row({5, 7}, {4, 0, 4, 4, 1, 2, 0}));
  family.rows.push_back(gather_row({3, 2, 5}, {2, 2}));
  family.rows.push_back(gather_row({5, 7}, {}));
  family.rows.push_back(gather_row({5, 0}, {3, 1}));
  family.rows.push_back(put_rows_row({7, 5}, 3, 2));
  family.rows.push_back(put_rows_row({7, 5}, 3, 5));  // over the end
  family.rows.push_back(put_rows_row({4, 3, 8}, 4, 3));
  family.rows.push_back(put_rows_row({4, 3}, 0, 1));
  family.rows.push_back(gather_integers_row());
  family.rows.push_back(scatter_row({7, 33}, {2, 0, 2, 2, 1, 2, 0}, 4));
  family.rows.push_back(scatter_row({0, 5}, {}, 3));

  family.rows.push_back(concat_row({{1}, {1}}, 0));
  family.rows.push_back(concat_row({{3, 5}, {2, 5}, {0, 5}}, 0));
  family.rows.push_back(concat_row({{7, 1}, {7, 64}}, 1));
  family.rows.push_back(concat_row({{2, 3, 5}, {2, 4, 5}}, 1));
  family.rows.push_back(concat_row({{2, 3, 5, 7}, {2, 3, 5, 2}}, 3));
  family.rows.push_back(narrow_row({1}, 0, 0, 1));
  family.rows.push_back(narrow_row({7, 13}, 1, 3, 5));
  family.rows.push_back(narrow_row({5, 7, 3}, 1, 6, 1));
  family.rows.push_back(narrow_row({5, 7, 3}, 0, 1, 4));
  family.rows.push_back(narrow_row({5, 7}, 1, 7, 0));

  Tensor x = Tensor::zeros({3, 2}), i = Tensor::zeros({3}, DType::i64),
         outside = Tensor::full({2}, 3, DType::i64);
  family.errors = {
      {"put_rows of too many", {"put_rows", "5", "4"}, [] {
         Tensor ring = Tensor::zeros({4, 2});
         ops::put_rows(ring, Tensor::zeros({5, 2}), Tensor::zeros({1}, DType::i64));
       }},
      {"put_rows of other rows", {"put_rows", "rows", "[2, 3]"}, [] {
         Tensor ring = Tensor::zeros({4, 2});
         ops::put_rows(ring, Tensor::zeros({2, 3}), Tensor::zeros({1}, DType::i64));
       }},
      {"put_rows at a float", {"put_rows", "first", "i64"}, [] {
         Tensor ring = Tensor::zeros({4, 2});
         ops::put_rows(ring, Tensor::zeros({2, 2}), Tensor::zeros({1}));
       }},
      {"l2_normalize of a scalar",
       {"l2_normalize", "dimension"},
       [] { ops::l2_normalize(Tensor::zeros({})); }},
      {"l2_normalize of integers", {"l2_normalize", "x", "i64"}, [=] { ops::l2_normalize(i); }},
      {"gather outside", {"gather_rows", "index", "3", "0 to 2"}, [=] { ops::gather_rows(x, outside); }},
      {"gather index type",
       {"gather_rows", "index", "i64", "f32"},
       [=] { ops::gather_rows(x, Tensor::zeros({2})); }},
      {"gather index rank",
       {"gather_rows", "index", "[M]"},
       [=] {
         ops::gather_rows(x, i.reshape({3, 1}));
       }},
      {"scatter index count",
       {"scatter_add_rows", "3", "2"},
       [=] { ops::scatter_add_rows(x.slice(0, 2), i, 3); }},
      {"scatter outside",
       {"scatter_add_rows", "index", "3"},
       [=] { ops::scatter_add_rows(x.slice(0, 2), outside, 3); }},
      {"concat of nothing", {"concat"}, [] { ops::concat({}, 0); }},
      {"concat shapes",
       {"concat", "[3, 2]", "[3, 5]"},
       [=] {
         ops::concat({x, Tensor::zeros({3, 5})}, 0);
       }},
      {"concat types",
       {"concat", "f32", "f64"},
       [=] {
         ops::concat({x, Tensor::zeros({3, 2}, DType::f64)}, 0);
       }},
      {"concat dimension",
       {"concat", "dimension 2", "[3, 2]"},
       [=] {
         ops::concat({x, x}, 2);
       }},
      {"narrow outside", {"narrow", "[3, 2]"}, [=] { ops::narrow(x, 1, 1, 2); }},
      {"narrow overflow", {"narrow", "[3, 2]"}, [=] { ops::narrow(x, 1, INT64_MAX, 1); }},
  };
  return family;
}

}  // namespace plumage::op_cases
