// Rows of convolution, some of them real layers of ResNet-50.
#include <cmath>

#include "tests/op_cases/op_case.h"

namespace plumage::op_cases {
namespace {

int64_t positions(int64_t size, int64_t kernel, int64_t stride, int64_t pad) {
  int64_t n = 0;  // counted, not computed
  for (int64_t first = -pad; first + kernel <= size + pad; first += stride) ++n;
  return n;
}

struct Layer {
  int64_t N, H, W, C, K, R, S, stride, pad;
  const char* note = "";
  Gradient gradient = Gradient::checked;
  int up = 1;
  int64_t P() const { return positions(H * up, R, stride, pad); }
  int64_t Q() const { return positions(W * up, S, stride, pad); }
};

/// Every product of the sum goes to the output that it belongs to: the loops run over x, as it is seen, and w.
Values convolved(const Layer& l, const Values& x, const Values& w) {
  int64_t P = l.P(), Q = l.Q();
  Values y({l.N, P, Q, l.K});
  for (int64_t n = 0; n < l.N; ++n)
    for (int64_t h = 0; h < l.H * l.up; ++h)
      for (int64_t v = 0; v < l.W * l.up; ++v)
        for (int64_t r = 0; r < l.R; ++r)
          for (int64_t s = 0; s < l.S; ++s) {
            int64_t top = h - r + l.pad, left = v - s + l.pad;
            if (top < 0 || left < 0 || top % l.stride || left % l.stride) continue;
            if (top / l.stride >= P || left / l.stride >= Q) continue;
            double* out = y.data.data() + ((n * P + top / l.stride) * Q + left / l.stride) * l.K;
            const double* in = x.data.data() + ((n * l.H + h / l.up) * l.W + v / l.up) * l.C;
            for (int64_t k = 0; k < l.K; ++k) {
              const double* filter = w.data.data() + ((k * l.R + r) * l.S + s) * l.C;
              for (int64_t c = 0; c < l.C; ++c) out[k] += in[c] * filter[c];
            }
          }
  return y;
}

Row conv2d_row(const Layer& l) {
  return {
      .name = message("conv2d [", l.N, ", ", l.H, ", ", l.W, ", ", l.C, "] with ", l.K, " ", l.R, "x", l.S,
                      "/", l.stride, " pad ", l.pad, l.up > 1 ? message(" seen ", l.up, " times as large") : "", l.note),
      .op = Op::conv2d,
      .inputs = {{Shape{l.N, l.H, l.W, l.C}}, {Shape{l.K, l.R, l.S, l.C}}},
      .apply = [=](const std::vector<Var>& x) { return std::vector{conv2d(x[0], x[1], l.stride, l.pad, l.up)}; },
      .formula = [=](const std::vector<Values>& x) { return std::vector{convolved(l, x[0], x[1])}; },
      .tolerance = (l.R == 3 && l.S == 3 && l.stride == 1 && l.C >= 16 && l.K >= 16) || (l.R == 7 && l.S == 7 && l.K >= 32)
                       ? Tolerance::winograd : Tolerance::sum,
      .gradient = l.gradient,
      .empty = l.N * l.K == 0};
}

/// A layer with the way out of a frozen network: shift, residual, relu.
Row frozen_row(const Layer& l, bool residual, Activation activation) {
  Row row = conv2d_row(l);
  row.name.replace(0, 6, message("conv2d_frozen", residual ? " + residual" : "", activation == Activation::relu ? " relu" : ""));
  row.op = Op::conv2d_frozen;
  row.gradient = Gradient::none;
  row.inputs.push_back({Shape{l.K}, Domain::normal, Role::statistic});
  Shape y_shape{l.N, l.P(), l.Q(), l.K};
  if (residual) row.inputs.push_back({y_shape});
  row.apply = [=](const std::vector<Var>& x) {
    Tensor skip = residual ? x[3].value() : Tensor();
    return std::vector{Var(ops::conv2d_frozen(x[0].value(), x[1].value(), x[2].value(), skip, l.stride, l.pad, activation, nullptr, l.up))};
  };
  row.formula = [=](const std::vector<Values>& x) {
    Values y = convolved(l, x[0], x[1]);
    for (int64_t i = 0; i < y.count(); ++i) {
      y[i] += x[2][i % l.K] + (residual ? x[3][i] : 0);
      if (activation == Activation::relu && y[i] < 0) y[i] = 0;
    }
    return std::vector{y};
  };
  return row;
}

/// A layer with the statistics of its result, by groups of the batch.
Row stats_row(const Layer& l, int64_t groups = 1) {
  Row row = conv2d_row(l);
  row.name.replace(0, 6, message("conv2d_stats", groups > 1 ? message(" in ", groups, " groups") : ""));
  row.op = Op::conv2d_stats;
  row.apply = [=](const std::vector<Var>& x) {
    auto [y, moments] = conv2d_stats(x[0], x[1], l.stride, l.pad, groups, false, l.up);
    return std::vector{y, Var(moments.mean), Var(moments.variance)};
  };
  row.formula = [=](const std::vector<Values>& x) {
    Values y = convolved(l, x[0], x[1]), mean({groups, l.K}), variance({groups, l.K});
    int64_t each = y.count() / groups;  // of all channels
    for (int64_t s = 0; s < mean.count(); ++s) {
      double sum = 0, squares = 0;
      int64_t first = s / l.K * each + s % l.K, end = (s / l.K + 1) * each;
      for (int64_t i = first; i < end; i += l.K) sum += y[i];
      mean[s] = sum / double(each / l.K);
      for (int64_t i = first; i < end; i += l.K) squares += (y[i] - mean[s]) * (y[i] - mean[s]);
      variance[s] = squares / double(each / l.K);
    }
    return std::vector{y, mean, variance};
  };
  return row;
}

/// x has a second user, whose gradient is there when the convolution's is added to it.
Row onto_row(const Layer& l) {
  Row row = conv2d_row(l);
  row.name.replace(0, 6, "conv2d_dx onto another gradient");
  row.op = Op::conv2d_dx;
  row.apply = [=](const std::vector<Var>& x) {
    Var y = conv2d(x[0], x[1], l.stride, l.pad, l.up);
    return std::vector{add(y, scale(sum(mul(x[0], x[0])), 1 / double(x[0].value().count())))};
  };
  row.formula = [=](const std::vector<Values>& x) {
    Values y = convolved(l, x[0], x[1]);
    double squares = 0;
    for (double v : x[0].data) squares += v * v;
    for (double& v : y.data) v += squares / double(x[0].count());
    return std::vector{y};
  };
  return row;
}

/// The gradient of the image of 1x1 filters, onto another, goes on through the norm that the image came from.
Row source_row(const Layer& l, int64_t groups, Activation activation, bool residual) {
  Row row = conv2d_row(l);
  const Shape image{l.N, l.H, l.W, l.C}, statistics{groups, l.C}, channels{l.C};
  row.name.replace(0, 6, message("conv2d_dx and the norm's gradient", groups > 1 ? message(" in ", groups, " groups") : "",
                                 activation == Activation::relu ? ", relu" : "", residual ? " + residual" : ""));
  row.op = Op::conv2d_dx;
  row.inputs = {{{l.N, l.H, l.W, l.K}}, {{l.K, 1, 1, l.C}}, {image}, {image}};  // dy, w, onto, x
  for (const Shape& s : {statistics, statistics, channels, channels})  // variance, mean, gamma, beta
    row.inputs.push_back({s, row.inputs.size() % 2 ? Domain::normal : Domain::positive, Role::statistic});
  if (residual) row.inputs.push_back({image});  // y
  row.gradient = Gradient::none;
  const double epsilon = 1e-3;
  row.apply = [=](const std::vector<Var>& in) {
    ops::NormArguments norm{in[5].value(), in[4].value(), in[6].value(), in[7].value(), epsilon, activation, true};
    Tensor x = in[3].value(), y = residual ? in[8].value() : Tensor();
    auto [dx, sums] = ops::conv2d_dx(in[0].value(), in[1].value(), image, 1, 0, in[2].value(), 1, {x, y, norm});
    ops::NormGradients g = ops::batch_norm_bwd(x, y, dx, norm, residual, sums);
    std::vector<Var> out{Var(g.dx), Var(g.dgamma), Var(g.dbeta)};
    if (residual) out.push_back(Var(g.dresidual));
    return out;
  };
  row.formula = [=](const std::vector<Values>& in) {
    Values d(image), dx(image), dgamma(channels), dbeta(channels);
    const int64_t rows = d.rows(), each = rows / groups;
    for (int64_t i = 0; i < d.count(); ++i) {
      const int64_t c = i % l.C, pixel = i / l.C, s = pixel / each * l.C + c;
      const double y = residual ? in[8][i] : in[6][c] * (in[3][i] - in[5][s]) * std::pow(in[4][s] + epsilon, -0.5) + in[7][c];
      d[i] = in[2][i];
      for (int64_t k = 0; k < l.K; ++k) d[i] += in[0][pixel * l.K + k] * in[1][k * l.C + c];
      if (activation == Activation::relu && y <= 0) d[i] = 0;
    }
    for (int64_t s = 0; s < groups * l.C; ++s) {
      const int64_t c = s % l.C, first = s / l.C * each;
      const double inverse = std::pow(in[4][s] + epsilon, -0.5);
      double sum = 0, product = 0;
      auto normed = [&](int64_t pixel) { return (in[3][pixel * l.C + c] - in[5][s]) * inverse; };
      for (int64_t p = first; p < first + each; ++p) sum += d[p * l.C + c], product += d[p * l.C + c] * normed(p);
      for (int64_t p = first; p < first + each; ++p)
        dx[p * l.C + c] = in[6][c] * inverse * (d[p * l.C + c] - sum / double(each) - normed(p) * product / double(each));
      dbeta[c] += sum, dgamma[c] += product;
    }
    std::vector<Values> out{dx, dgamma, dbeta};
    if (residual) out.push_back(d);
    return out;
  };
  return row;
}

const Layer kShared[] = {
    {3, 5, 5, 7, 11, 1, 1, 1, 0},
    {2, 5, 7, 3, 5, 3, 3, 1, 1},
    {2, 7, 7, 16, 17, 1, 1, 2, 0},
    {2, 5, 5, 3, 0, 3, 3, 1, 1},
    {25, 4, 4, 16, 17, 3, 3, 1, 1, " (few pixels)", Gradient::compared},
    {2, 7, 9, 32, 35, 3, 3, 1, 1, " (odd tiles)", Gradient::compared},
    {1, 14, 14, 256, 64, 1, 1, 1, 0, " (layer1 1x1, 56 px)", Gradient::compared},
    {2, 14, 14, 128, 128, 3, 3, 2, 1, " (layer2.0 3x3, 56 px)", Gradient::compared},
    {2, 8, 8, 256, 512, 1, 1, 2, 0, " (layer2.0 downsample, 32 px)", Gradient::compared},
    {2, 3, 2, 3, 5, 3, 3, 1, 1, "", Gradient::checked, 2},
    {2, 7, 5, 32, 35, 3, 3, 1, 1, " (odd tiles)", Gradient::compared, 2},
};

const Layer kFrozenLayers[] = {
    {2, 5, 7, 3, 5, 3, 3, 1, 1},
    {1, 8, 8, 3, 4, 7, 7, 2, 3},
    {3, 5, 5, 7, 11, 1, 1, 1, 0},
    {2, 7, 7, 16, 17, 1, 1, 2, 0},
    {0, 5, 5, 3, 4, 3, 3, 1, 1},
    {2, 5, 5, 0, 4, 3, 3, 1, 1},
    {25, 4, 4, 16, 17, 3, 3, 1, 1, " (few pixels)"},
    {2, 7, 9, 32, 35, 3, 3, 1, 1, " (odd tiles)"},
    {1, 14, 14, 64, 64, 3, 3, 1, 1, " (layer1 3x3, 56 px)"},
    {1, 14, 14, 64, 256, 1, 1, 1, 0, " (layer1 1x1, 56 px)"},
    {2, 14, 14, 128, 128, 3, 3, 2, 1, " (layer2.0 3x3, 56 px)"},
    {2, 3, 2, 3, 5, 3, 3, 1, 1, "", Gradient::checked, 2},
    {2, 7, 5, 32, 35, 3, 3, 1, 1, " (odd tiles)", Gradient::compared, 2},
};

const Layer kStatsLayers[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 0},
    {2, 5, 7, 3, 5, 3, 3, 1, 1},
    {1, 8, 8, 3, 4, 7, 7, 2, 3},
    {3, 5, 5, 7, 11, 1, 1, 1, 0},
    {2, 7, 7, 16, 17, 1, 1, 2, 0},
    {2, 5, 5, 0, 4, 3, 3, 1, 1},
    {25, 4, 4, 16, 17, 3, 3, 1, 1, " (few pixels)", Gradient::compared},
    {1, 14, 14, 64, 64, 3, 3, 1, 1, " (layer1 3x3, 56 px)", Gradient::compared},
    {2, 8, 8, 256, 512, 1, 1, 2, 0, " (layer2.0 downsample, 32 px)", Gradient::compared},
    {2, 3, 2, 3, 5, 3, 3, 1, 1, "", Gradient::checked, 2},
    {2, 7, 5, 32, 35, 3, 3, 1, 1, " (odd tiles)", Gradient::compared, 2},
};

const Layer kLayers[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 0},
    {2, 5, 7, 3, 5, 3, 3, 1, 1},
    {2, 7, 5, 5, 7, 3, 3, 2, 1},
    {1, 11, 13, 2, 3, 5, 3, 1, 2},  // a filter that is not square
    {1, 13, 11, 3, 2, 1, 7, 3, 3},
    {3, 5, 5, 7, 11, 1, 1, 1, 0},
    {2, 7, 7, 16, 17, 1, 1, 2, 0},  // the last row and column take no part
    {2, 6, 6, 15, 16, 2, 2, 2, 0},
    {1, 5, 5, 31, 33, 3, 3, 1, 1},
    {1, 8, 8, 3, 4, 7, 7, 2, 3},
    {1, 3, 3, 2, 2, 3, 3, 1, 3},  // padding wider than needed
    {1, 9, 9, 2, 3, 2, 2, 5, 0},  // stride larger than the filter
    {2, 4, 4, 3, 2, 4, 4, 1, 0},  // one position
    {0, 5, 5, 3, 4, 3, 3, 1, 1},
    {2, 5, 5, 0, 4, 3, 3, 1, 1},  // sums of nothing
    {2, 5, 5, 3, 0, 3, 3, 1, 1},
    {1, 32, 32, 3, 64, 7, 7, 2, 3, " (ResNet-50 stem, 32 px)", Gradient::compared},
    {1, 14, 14, 64, 64, 3, 3, 1, 1, " (layer1 3x3, 56 px)", Gradient::compared},
    {1, 14, 14, 256, 64, 1, 1, 1, 0, " (layer1 1x1, 56 px)", Gradient::compared},
    {2, 14, 14, 128, 128, 3, 3, 2, 1, " (layer2.0 3x3, 56 px)", Gradient::compared},
    {2, 8, 8, 256, 512, 1, 1, 2, 0, " (layer2.0 downsample, 32 px)", Gradient::compared},
    {1, 7, 7, 512, 2048, 1, 1, 1, 0, " (layer4 1x1, 224 px)", Gradient::compared},
    {2, 3, 2, 3, 5, 3, 3, 1, 1, "", Gradient::checked, 2},
    {1, 3, 4, 2, 3, 2, 3, 3, 2, "", Gradient::checked, 2},  // windows that begin and end within a pixel
    {1, 2, 3, 2, 3, 3, 2, 2, 0, "", Gradient::checked, 3},
    {0, 2, 3, 2, 3, 3, 3, 1, 1, "", Gradient::checked, 2},
    {2, 2, 2, 32, 32, 3, 3, 1, 1, " (one tile)", Gradient::compared, 2},
    {2, 7, 5, 32, 35, 3, 3, 1, 1, " (odd tiles)", Gradient::compared, 2},
    {1, 28, 28, 32, 16, 3, 3, 1, 1, " (residual decoder, 56 px)", Gradient::compared, 2},
};

}  // namespace

Family conv2d_joined_family() {
  Family family{"conv2d joined", {}, {}};
  for (const Layer& l : kShared) family.rows.push_back(onto_row(l));
  for (const Layer& l : kStatsLayers) family.rows.push_back(stats_row(l));
  family.rows.push_back(stats_row({4, 5, 7, 3, 5, 3, 3, 1, 1}, 2));
  family.rows.push_back(stats_row({6, 5, 5, 16, 32, 1, 1, 1, 0}, 3));
  for (int64_t groups : {1, 2})
    for (bool residual : {false, true}) {
      family.rows.push_back(source_row({2, 5, 7, 35, 32, 1, 1, 1, 0}, groups, Activation::relu, residual));
      family.rows.push_back(source_row({2, 16, 17, 128, 128, 1, 1, 1, 0}, groups, Activation::relu, residual));
      family.rows.back().types = {DType::f64, DType::f32};  // bf16 rounds between the two, and rounded differently is an ulp apart
    }
  family.rows.push_back(source_row({2, 5, 7, 35, 32, 1, 1, 1, 0}, 1, Activation::none, false));
  family.rows.push_back(source_row({3, 5, 3, 5, 3, 1, 1, 1, 0}, 3, Activation::relu, true));
  family.rows.push_back(with_nan(stats_row({2, 9, 9, 6, 17, 3, 3, 2, 1})));
  family.rows.back().inputs[1].domain = Domain::normal;
  Tensor x = Tensor::zeros({3, 5, 5, 3}), w = Tensor::zeros({2, 3, 3, 3}), y = Tensor::zeros({3, 3, 3, 2});
  Tensor one = Tensor::full({3}, 1), row = Tensor::full({1, 3}, 1);
  auto through = [=](Tensor norm_x, Tensor norm_y, Tensor gamma) {
    ops::conv2d_dx(y, w, x.shape(), 1, 0, {}, 1, {norm_x, norm_y, {row, row, gamma, one}});
  };
  family.errors = {
      {"conv2d_dx norm's x", {"conv2d_dx", "the norm's x", "[3, 5, 5, 3]", "[3, 3, 3, 2]"}, [=] { through(y, {}, one); }},
      {"conv2d_dx norm's y", {"conv2d_dx", "the norm's y", "[3, 5, 5, 3]", "[3, 3, 3, 2]"}, [=] { through(x, y, one); }},
      {"conv2d_dx norm's gamma", {"conv2d_dx", "gamma", "[3]", "[2]"}, [=] { through(x, {}, Tensor::zeros({2})); }},
      {"batch_norm_bwd sums",
       {"batch_norm_bwd", "sums", "[2, 1, 3]", "[1, 3]"},
       [=] { ops::batch_norm_bwd(x, {}, x, {row, row, one, one}, false, row); }},
      {"conv2d_stats groups", {"conv2d_stats", "2 groups", "3"}, [=] { ops::conv2d_stats(x, w, 1, 0, 2); }},
      {"conv2d_stats no groups", {"conv2d_stats", "0 groups"}, [=] { ops::conv2d_stats(x, w, 1, 0, 0); }},
      {"conv2d_stats of nothing", {"conv2d_stats", "[0, 3, 3, 2]"}, [=] { ops::conv2d_stats(Tensor::zeros({0, 5, 5, 3}), w); }},
      {"conv2d_stats channels", {"conv2d_stats", "C=4", "C=3"}, [=] { ops::conv2d_stats(x, Tensor::zeros({2, 3, 3, 4})); }},
      {"conv2d_stats types", {"conv2d_stats", "w", "f32", "f64"}, [=] { ops::conv2d_stats(x, Tensor::zeros({2, 3, 3, 3}, DType::f64)); }},
  };
  return family;
}

Family conv2d_family() {
  Family family{"conv2d", {}, {}};
  for (const Layer& l : kLayers) family.rows.push_back(conv2d_row(l));
  family.rows.push_back(with_nan(conv2d_row({2, 9, 9, 5, 17, 3, 3, 2, 1})));
  family.rows.back().inputs[1].domain = Domain::normal;
  for (const Layer& l : kFrozenLayers)
    for (bool residual : {false, true})
      for (Activation activation : {Activation::none, Activation::relu}) family.rows.push_back(frozen_row(l, residual, activation));
  for (const Layer& l : {Layer{2, 9, 9, 5, 17, 3, 3, 2, 1}, Layer{1, 9, 9, 32, 33, 3, 3, 1, 1}, Layer{25, 4, 4, 16, 17, 3, 3, 1, 1}}) {
    family.rows.push_back(with_nan(frozen_row(l, true, Activation::relu)));
    family.rows.back().gradient = Gradient::none;
    family.rows.back().inputs[1].domain = Domain::normal;
  }
  Tensor x = Tensor::zeros({1, 5, 5, 3}), w = Tensor::zeros({2, 3, 3, 3}), y = Tensor::zeros({1, 3, 3, 2});
  family.errors = {
      {"conv2d channels",
       {"conv2d", "C=4", "C=3"},
       [=] {
         ops::conv2d(x, Tensor::zeros({2, 3, 3, 4}));
       }},
      {"conv2d x rank", {"conv2d", "x", "[N, H, W, C]", "[75]"}, [=] { ops::conv2d(x.reshape({75}), w); }},
      {"conv2d w rank", {"conv2d", "w", "[K, R, S, C]", "[54]"}, [=] { ops::conv2d(x, w.reshape({54})); }},
      {"conv2d stride 0", {"conv2d", "stride 0"}, [=] { ops::conv2d(x, w, 0, 0); }},
      {"conv2d negative pad", {"conv2d", "pad -1"}, [=] { ops::conv2d(x, w, 1, -1); }},
      {"conv2d filter too large",
       {"conv2d", "[1, 5, 5, 3]"},
       [=] {
         ops::conv2d(x, Tensor::zeros({2, 6, 6, 3}));
       }},
      {"conv2d types",
       {"conv2d", "w", "f32", "f64"},
       [=] {
         ops::conv2d(x, Tensor::zeros({2, 3, 3, 3}, DType::f64));
       }},
      {"conv2d up 0", {"conv2d", "up 0"}, [=] { ops::conv2d(x, w, 1, 1, 0); }},
      {"conv2d huge up", {"tensor", "10737418235 x 10737418235"}, [=] { ops::conv2d(x, w, 1, 1, INT32_MAX); }},
      {"conv2d_dx of a map seen doubled", {"conv2d_dx", "dy", "[1, 10, 10, 2]"}, [=] { ops::conv2d_dx(y, w, {1, 5, 5, 3}, 1, 1, {}, 2); }},
      {"conv2d huge pad", {"conv2d"}, [=] { ops::conv2d(x, w, 1, INT64_MAX / 2); }},
      {"conv2d_frozen shift",
       {"conv2d_frozen", "shift", "[2]", "[3]"},
       [=] { ops::conv2d_frozen(x, w, Tensor::zeros({3}), {}, 1, 0, Activation::relu); }},
      {"conv2d_frozen shift type",
       {"conv2d_frozen", "shift", "f32"},
       [=] { ops::conv2d_frozen(x, w, Tensor::zeros({2}, DType::f64), {}, 1, 0, Activation::relu); }},
      {"conv2d_frozen residual",
       {"conv2d_frozen", "residual", "[1, 3, 3, 2]", "[1, 5, 5, 2]"},
       [=] { ops::conv2d_frozen(x, w, Tensor::zeros({2}), Tensor::zeros({1, 5, 5, 2}), 1, 0, Activation::none); }},
      {"conv2d_dx dy",
       {"conv2d_dx", "dy", "[1, 3, 3, 2]"},
       [=] {
         ops::conv2d_dx(x, w, {1, 5, 5, 3}, 1, 0);
       }},
      {"conv2d_dx onto",
       {"conv2d_dx", "onto", "[1, 5, 5, 3]", "[1, 3, 3, 2]"},
       [=] { ops::conv2d_dx(y, w, {1, 5, 5, 3}, 1, 0, y); }},
      {"conv2d_dw dy",
       {"conv2d_dw", "dy", "[1, 5, 5, 2]"},
       [=] {
         ops::conv2d_dw(x, y, {2, 3, 3, 3}, 1, 1);
       }},
  };
  return family;
}

}  // namespace plumage::op_cases
