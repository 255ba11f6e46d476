// Rows of pooling and upsampling.
#include <cmath>

#include "tests/op_cases/op_case.h"

namespace plumage::op_cases {
namespace {

struct Pooling {
  int64_t N, H, W, C, kernel, stride, pad;
  const char* note = "";
  int64_t P() const { return (H + 2 * pad - kernel) / stride + 1; }
  int64_t Q() const { return (W + 2 * pad - kernel) / stride + 1; }
  Shape x() const { return {N, H, W, C}; }
  Shape y() const { return {N, P(), Q(), C}; }
  std::string str() const { return message(x(), " ", kernel, "x", kernel, "/", stride, " pad ", pad, note); }
};

/// Element of x padded by `outside`, and where it is no matter what the padding is.
double at(const Pooling& p, const Values& x, int64_t n, int64_t h, int64_t w, int64_t c, double outside) {
  return h < 0 || w < 0 || h >= p.H || w >= p.W ? outside : x[((n * p.H + h) * p.W + w) * p.C + c];
}

Row max_pool_row(const Pooling& p, Domain domain) {
  return {
      .name = "max_pool " + p.str() +
              (domain == Domain::ties       ? " ties"
               : domain == Domain::specials ? " specials"
                                            : ""),
      .op = Op::max_pool,
      .inputs = {{p.x(), domain}},
      .apply =
          [=](const std::vector<Var>& x) { return std::vector{max_pool(x[0], p.kernel, p.stride, p.pad)}; },
      .formula =
          [=](const std::vector<Values>& x) {
            Values y(p.y());
            for (int64_t i = 0; i < y.count(); ++i) {
              int64_t c = i % p.C, q = i / p.C % p.Q(), row = i / p.C / p.Q() % p.P(),
                      n = i / p.C / p.Q() / p.P();
              y[i] = -INFINITY;
              for (int64_t j = 0; j < p.kernel * p.kernel; ++j) {
                double v = at(p, x[0], n, row * p.stride - p.pad + j / p.kernel,
                              q * p.stride - p.pad + j % p.kernel, c, -INFINITY);
                if (std::isnan(v) || std::isnan(y[i]))
                  y[i] = NAN;
                else if (v > y[i])
                  y[i] = v;
              }
            }
            return std::vector{y};
          },
      .tolerance = Tolerance::exact,
      .gradient = domain == Domain::distinct ? Gradient::checked
                  : domain == Domain::ties   ? Gradient::compared
                                             : Gradient::none,
      .specials = domain == Domain::specials,
      .empty = p.N * p.C == 0};
}

Row avg_pool_row(const Pooling& p) {
  return {
      .name = "avg_pool " + p.str(),
      .op = Op::avg_pool,
      .inputs = {{p.x()}},
      .apply =
          [=](const std::vector<Var>& x) { return std::vector{avg_pool(x[0], p.kernel, p.stride, p.pad)}; },
      .formula =
          [=](const std::vector<Values>& x) {
            Values y(p.y());
            for (int64_t i = 0; i < y.count(); ++i) {
              int64_t c = i % p.C, q = i / p.C % p.Q(), row = i / p.C / p.Q() % p.P(),
                      n = i / p.C / p.Q() / p.P();
              for (int64_t j = 0; j < p.kernel * p.kernel; ++j)
                y[i] += at(p, x[0], n, row * p.stride - p.pad + j / p.kernel,
                           q * p.stride - p.pad + j % p.kernel, c, 0) /
                        double(p.kernel * p.kernel);
            }
            return std::vector{y};
          },
      .tolerance = Tolerance::sum,
      .empty = p.N * p.C == 0};
}

/// The first of equal maxima takes the gradient: [[1, 1], [1, 1]] gives it to the upper left.
Row max_pool_bwd_ties_row() {
  return {.name = "max_pool_bwd of equal numbers",
          .op = Op::max_pool_bwd,
          .inputs = {{Shape{1, 1, 2, 1}}},
          .apply =
              [](const std::vector<Var>& dy) {
                Tensor x = Tensor::full({1, 2, 4, 1}, 1, dy[0].dtype());
                Tensor argmax = ops::max_pool(x, 2, 2, 0).second;
                return std::vector{Var(argmax),
                                   Var(ops::max_pool_bwd(dy[0].value(), argmax, x.shape(), 2, 2, 0))};
              },
          .formula =
              [](const std::vector<Values>& dy) {
                Values argmax({1, 1, 2, 1}), dx({1, 2, 4, 1});
                dx.data = {dy[0][0], 0, dy[0][1], 0, 0, 0, 0, 0};
                return std::vector{argmax, dx};
              },
          .tolerance = Tolerance::exact,
          .gradient = Gradient::none};
}

Row global_avg_pool_row(const Shape& shape) {
  return {.name = message("global_avg_pool ", shape),
          .op = Op::global_avg_pool,
          .inputs = {{shape}},
          .apply = [](const std::vector<Var>& x) { return std::vector{global_avg_pool(x[0])}; },
          .formula =
              [](const std::vector<Values>& x) {
                const Shape& s = x[0].shape;
                Values y({s[0], s[3]});
                for (int64_t i = 0; i < x[0].count(); ++i)
                  y[i / (s[1] * s[2] * s[3]) * s[3] + i % s[3]] += x[0][i] / double(s[1] * s[2]);
                return std::vector{y};
              },
          .tolerance = Tolerance::sum,
          .empty = shape.count() == 0};
}

Row upsample_row(const Shape& shape, int factor) {
  return {.name = message("upsample ", shape, " by ", factor),
          .op = Op::upsample,
          .inputs = {{shape}},
          .apply = [=](const std::vector<Var>& x) { return std::vector{upsample(x[0], factor)}; },
          .formula =
              [=](const std::vector<Values>& x) {
                const Shape& s = x[0].shape;
                int64_t H = s[1] * factor, W = s[2] * factor, C = s[3];
                Values y({s[0], H, W, C});
                for (int64_t i = 0; i < x[0].count(); ++i) {  // each pixel to its factor x factor copies
                  int64_t c = i % C, w = i / C % s[2], h = i / C / s[2] % s[1], n = i / C / s[2] / s[1];
                  for (int64_t j = 0; j < factor * factor; ++j)
                    y[((n * H + h * factor + j / factor) * W + w * factor + j % factor) * C + c] = x[0][i];
                }
                return std::vector{y};
              },
          .tolerance = Tolerance::exact,
          .empty = shape.count() == 0};
}

}  // namespace

Family pool_family() {
  Family family{"pool", {}, {}};
  const Pooling poolings[] = {
      {1, 1, 1, 1, 1, 1, 0},    {2, 7, 5, 3, 2, 2, 0},  {2, 7, 5, 3, 3, 2, 1},
      {1, 11, 13, 17, 3, 1, 1}, {2, 5, 5, 33, 5, 1, 2}, {1, 9, 9, 7, 2, 3, 1},
      {0, 5, 5, 3, 2, 2, 0},    {1, 5, 5, 0, 2, 2, 0},  {1, 16, 16, 64, 3, 2, 1, " (ResNet-50 stem, 64 px)"}};
  for (const Pooling& p : poolings) {
    family.rows.push_back(max_pool_row(p, Domain::distinct));
    family.rows.push_back(avg_pool_row(p));
  }
  for (Domain domain : {Domain::ties, Domain::specials}) {
    family.rows.push_back(max_pool_row({2, 11, 9, 16, 3, 2, 1}, domain));
    family.rows.push_back(max_pool_row({1, 8, 8, 5, 2, 2, 0}, domain));
  }
  family.rows.push_back(max_pool_bwd_ties_row());
  family.rows.push_back(with_nan(max_pool_row({2, 11, 9, 16, 3, 2, 1}, Domain::ties)));
  family.rows.push_back(with_nan(avg_pool_row({2, 11, 9, 16, 3, 2, 1})));
  family.rows.push_back(with_nan(global_avg_pool_row({5, 3, 3, 17})));
  for (const Shape& shape :
       {Shape{1, 1, 1, 1}, Shape{2, 3, 5, 7}, Shape{3, 7, 7, 65}, Shape{0, 2, 2, 3}, Shape{2, 7, 7, 512}})
    family.rows.push_back(global_avg_pool_row(shape));
  for (int factor : {1, 2, 3})
    for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{2, 3, 5, 7}, Shape{1, 7, 4, 33}, Shape{0, 2, 2, 3}})
      family.rows.push_back(upsample_row(shape, factor));

  Tensor x = Tensor::zeros({1, 5, 5, 3}), i = Tensor::zeros({1, 5, 5, 3}, DType::u8),
         y = Tensor::zeros({1, 2, 2, 3});
  family.errors = {
      {"max_pool rank", {"max_pool", "x", "[75]"}, [=] { ops::max_pool(x.reshape({75}), 2, 2, 0); }},
      {"max_pool too large", {"max_pool", "kernel 6"}, [=] { ops::max_pool(x, 6, 1, 0); }},
      {"max_pool pad", {"max_pool", "pad 2", "kernel 2"}, [=] { ops::max_pool(x, 2, 2, 2); }},
      {"max_pool stride", {"max_pool", "stride 0"}, [=] { ops::max_pool(x, 2, 0, 0); }},
      {"max_pool of bytes", {"max_pool", "x", "u8"}, [=] { ops::max_pool(i, 2, 2, 0); }},
      {"max_pool_bwd argmax type",
       {"max_pool_bwd", "argmax", "i32"},
       [=] { ops::max_pool_bwd(y, y, x.shape(), 2, 2, 0); }},
      {"max_pool_bwd dy",
       {"max_pool_bwd", "dy", "[1, 2, 2, 3]"},
       [=] {
         ops::max_pool_bwd(x, Tensor::zeros({1, 2, 2, 3}, DType::i32), x.shape(), 2, 2, 0);
       }},
      {"avg_pool kernel 0", {"avg_pool", "kernel 0"}, [=] { ops::avg_pool(x, 0, 1, 0); }},
      {"avg_pool_bwd dy",
       {"avg_pool_bwd", "dy", "[1, 2, 2, 3]"},
       [=] { ops::avg_pool_bwd(x, x.shape(), 2, 2, 0); }},
      {"global_avg_pool no pixels",
       {"global_avg_pool", "[1, 0, 5, 3]"},
       [] {
         ops::global_avg_pool(Tensor::zeros({1, 0, 5, 3}));
       }},
      {"global_avg_pool_bwd dy",
       {"global_avg_pool_bwd", "dy", "[1, 3]"},
       [=] { ops::global_avg_pool_bwd(x, x.shape()); }},
      {"upsample factor", {"upsample", "factor 0"}, [=] { ops::upsample(x, 0); }},
      {"upsample_bwd factor", {"upsample_bwd", "factor 2", "[1, 5, 5, 3]"}, [=] { ops::upsample_bwd(x, 2); }},
  };
  return family;
}

}  // namespace plumage::op_cases
