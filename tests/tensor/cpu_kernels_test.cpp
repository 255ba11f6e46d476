// The fast kernels against ref where the rows of tests/op_cases do not reach: random shapes of convolutions and
// products (oneDNN has wrong kernels for some, see onednn_conv.cpp), the shapes that choose another algorithm, and
// results that may not depend on the number of threads.
#include <doctest/doctest.h>

#include <cmath>

#include "tensor/backend/cpu/winograd_transforms.h"
#include "tensor/context.h"
#include "tensor/ops.h"
#include "tests/threads_scope.h"

using namespace plumage;
using test::ThreadsScope;

namespace {

Tensor random(const Shape& shape, DType dtype, uint64_t step) { return ops::normal(shape, {11, Purpose::test, step}, 0, 1, dtype); }

// Largest difference over the largest number of `want`; NaN if any number is NaN.
double difference(const Tensor& got, const Tensor& want) {
  std::vector<double> a = got.to_vector(), b = want.to_vector();
  double largest = 1e-30, error = 0;
  for (double v : b) largest = std::max(largest, std::fabs(v));
  for (size_t i = 0; i < a.size(); ++i) {
    double e = std::fabs(a[i] - b[i]) / largest;
    if (!(e <= error)) error = e;
  }
  return error;
}

template <class F>
void same_as_ref(double tolerance, F&& compute) {
  std::vector<Tensor> fast = compute(), plain;
  {
    BackendScope scope(Backend::ref);
    plain = compute();
  }
  for (size_t i = 0; i < fast.size(); ++i) {
    CAPTURE(i);
    double error = difference(fast[i], plain[i]);
    CHECK_MESSAGE(error <= tolerance, "relative to the largest: ", error);
  }
}

struct Convolution { Shape x, w; int64_t stride, pad; double tolerance = 5e-6; int up = 1; };

void compare(const Convolution& c, DType dtype, uint64_t step) {
  INFO(std::string(name_of(dtype)), " x ", c.x.str(), " w ", c.w.str(), " stride ", c.stride, " pad ", c.pad, " up ", c.up);
  Tensor x = random(c.x, dtype, 3 * step), w = random(c.w, dtype, 3 * step + 1);
  Tensor dy = random(ops::conv2d(x, w, c.stride, c.pad, c.up).shape(), dtype, 3 * step + 2);
  same_as_ref(dtype == DType::f32 ? c.tolerance : 1e-2, [&] {
    return std::vector{ops::conv2d(x, w, c.stride, c.pad, c.up), ops::conv2d_dx(dy, w, c.x, c.stride, c.pad, {}, c.up),
                       ops::conv2d_dx(dy, w, c.x, c.stride, c.pad, x, c.up), ops::conv2d_dx(dy, w, c.x, c.stride, c.pad, x.clone(), c.up),
                       ops::conv2d_dw(x, dy, c.w, c.stride, c.pad, c.up)};
  });
}

}  // namespace

TEST_CASE("cpu: convolutions of random shapes are ref's") {
  PhiloxStream draw({3, Purpose::test, 1});
  auto one_of = [&](std::initializer_list<int64_t> list) { return list.begin()[draw.integer(int64_t(list.size()))]; };
  int compared = 0;
  for (uint64_t i = 0; i < 240; ++i) {
    ThreadsScope threads(i % 8 ? 1 : 2);
    int64_t r = one_of({1, 1, 2, 3, 3, 5, 7}), s = draw.chance(0.8) ? r : one_of({1, 2, 3}), stride = one_of({1, 1, 2, 3});
    int up = draw.chance(0.2) ? 2 : 1;
    int64_t pad = draw.integer(r + 1), h = 1 + draw.integer(9), w = 1 + draw.integer(7);
    Shape x{one_of({0, 1, 2, 3, 25}), h, w, one_of({1, 2, 3, 5, 15, 16, 17, 32, 48})};
    Shape filters{one_of({1, 3, 5, 13, 16, 17, 32, 48}), r, s, x[3]};
    if (up * h + 2 * pad < r || up * w + 2 * pad < s) continue;
    compare({x, filters, stride, pad, 5e-6, up}, i % 2 ? DType::f32 : DType::bf16, 100 + i);
    ++compared;
  }
  CHECK(compared > 150);
}

TEST_CASE("cpu: convolutions that choose an algorithm of their own are ref's") {
  const Convolution list[] = {
      {{32, 2, 2, 24}, {33, 3, 3, 24}, 1, 1},    // few pixels
      {{25, 4, 4, 16}, {16, 3, 3, 16}, 1, 1},    //   a batch that does not fill the last panel
      {{48, 4, 4, 17}, {35, 3, 3, 17}, 2, 1},    //   stride 2
      {{24, 1, 1, 300}, {40, 3, 3, 300}, 1, 1},  //   one tap of nine; deeper than a panel
      {{24, 3, 5, 16}, {16, 2, 4, 16}, 1, 3},    //   places that no tap reaches
      {{2, 14, 14, 3}, {64, 7, 7, 3}, 2, 3},     // the stem
      {{1, 9, 9, 16}, {3, 3, 3, 16}, 1, 1},      // the picture layer of a decoder
      {{2, 11, 10, 35}, {4, 5, 3, 35}, 2, 3},    //   few filters of other sizes
      {{3, 7, 6, 40}, {1, 1, 2, 40}, 1, 0},      //   one filter
      {{1, 5, 3, 17}, {2, 3, 3, 17}, 3, 1},      //   images narrower than what is computed at a time
      {{2, 12, 10, 32}, {48, 3, 3, 32}, 1, 1},   // 3x3, stride 1
      {{1, 13, 7, 64}, {64, 3, 3, 64}, 1, 1},    // by Winograd: odd sizes
      {{2, 6, 9, 35}, {70, 3, 3, 35}, 1, 0},    //   channels that do not fill vectors, no padding
      {{1, 5, 8, 300}, {40, 3, 3, 300}, 1, 2},  //   deeper than a panel, more padding
      {{9, 7, 8, 64}, {40, 3, 3, 64}, 1, 1},    //   tiles of 4x4: sizes that they do not divide
      {{1, 16, 19, 35}, {70, 3, 3, 35}, 1, 0},  //   channels that do not fill vectors, no padding
      {{24, 4, 4, 64}, {70, 3, 3, 64}, 1, 1},   //   one tile an image
      {{4, 9, 4, 40}, {33, 3, 3, 40}, 1, 1},    //   and three, the last a row high
      {{2, 14, 14, 64}, {96, 1, 1, 64}, 1, 0},  // one pixel
      {{3, 9, 7, 35}, {70, 1, 1, 35}, 1, 0},    //   channels and pixels that fill neither vectors nor tiles
      {{2, 15, 13, 33}, {40, 1, 1, 33}, 2, 0},  //   stride 2
      {{5, 16, 16, 500}, {200, 1, 1, 500}, 1, 0},  //   chunks of several blocks, panels in two groups
      {{2, 8, 8, 64}, {500, 1, 1, 64}, 1, 0},      //   few pixels: the columns are cut
      {{3, 14, 14, 128}, {192, 1, 1, 128}, 1, 0},  //   Strassen's algorithm
      {{3, 27, 28, 128}, {256, 1, 1, 128}, 2, 0},  //     stride 2
      {{4, 12, 12, 1024}, {128, 1, 1, 1024}, 1, 0},  //   deep: all factors are copied
      {{3, 13, 15, 512}, {272, 1, 1, 512}, 1, 0},  //   of dw: an odd number of pixels, tiles of all heights, regions in two columns
      {{3, 27, 28, 320}, {520, 1, 1, 320}, 2, 0},  //     stride 2, slices, columns of unequal width
      {{3, 14, 14, 256}, {1032, 1, 1, 256}, 1, 0},  //     regions in three rows
      {{2, 8, 9, 170}, {200, 3, 3, 170}, 1, 1},  //   large filters
      {{3, 14, 13, 35}, {40, 3, 3, 35}, 1, 1},  //   tiles of five pixels, the last four or three
      {{16, 5, 5, 200}, {170, 3, 3, 200}, 1, 1, 1e-5},  //   one of them an image, large filters; rounds twice as much (see below)
      {{2, 17, 18, 16}, {17, 3, 3, 16}, 1, 1},  //   few channels
      {{2, 18, 20, 40}, {36, 3, 3, 40}, 2, 1},  //   stride 2
      {{3, 19, 17, 170}, {100, 3, 3, 170}, 2, 1},  //     odd sides, large filters
      {{1, 16, 16, 23}, {16, 3, 3, 23}, 1, 1},  //   of which one vector is filled
      {{3, 15, 16, 64}, {96, 3, 3, 64}, 2, 2},     // tap by tap
      {{4, 17, 19, 40}, {70, 3, 3, 40}, 2, 0},     //   channels that fill no panel
      {{2, 20, 21, 33}, {300, 2, 3, 33}, 3, 2},    //   dy is copied; places that no tap reaches
      {{1, 12, 12, 32}, {600, 3, 3, 32}, 2, 0},    //   filters in two pieces
      {{8, 24, 24, 32}, {64, 1, 1, 32}, 1, 0},     //   slices of the pixels
      {{2, 11, 9, 40}, {36, 3, 3, 40}, 1, 1, 5e-6, 2},    //   doubled maps, tiles beyond the border
      {{16, 2, 2, 64}, {48, 3, 3, 64}, 1, 1, 5e-6, 2},    //     one tile an image
      {{3, 8, 8, 256}, {260, 3, 3, 256}, 1, 1, 5e-6, 2},  //     large filters
      {{3, 24, 24, 128}, {96, 3, 3, 128}, 1, 1, 5e-6, 2}, //       more tiles than dw transforms at a time
      {{2, 31, 29, 3}, {64, 7, 7, 3}, 2, 3},    // in phases, a last row and column without a partner
      {{2, 30, 33, 4}, {33, 8, 8, 4}, 2, 4},    //   filters of eight pixels
      {{2, 28, 34, 1}, {32, 7, 7, 1}, 2, 2},    //   even padding
      {{3, 40, 24, 3}, {32, 7, 7, 3}, 2, 1},    //   less than half the filter
      {{2, 9, 7, 150}, {33, 3, 3, 150}, 1, 2},  // Winograd, deeper than what a thread transforms at a time, more padding
  };
  uint64_t step = 1000;
  for (const Convolution& c : list)
    for (DType dtype : {DType::f32, DType::bf16}) compare(c, dtype, ++step);
}

TEST_CASE("cpu: Winograd with large filters on more tiles than are transformed at a time") {
  Tensor x = random({700, 4, 4, 176}, DType::f32, 91), w = random({176, 3, 3, 176}, DType::f32, 92), dy = random(x.shape(), DType::f32, 93);
  auto half = [](const Tensor& t, int64_t i) { return t.slice(350 * i, 350); };
  Tensor y = ops::conv2d(x, w, 1, 1), dx = ops::conv2d_dx(dy, w, x.shape(), 1, 1);
  for (int64_t i = 0; i < 2; ++i) {
    CHECK(difference(half(y, i), ops::conv2d(half(x, i), w, 1, 1)) == 0);
    CHECK(difference(half(dx, i), ops::conv2d_dx(half(dy, i), w, half(x, i).shape(), 1, 1)) == 0);
  }
  Tensor dw = ops::conv2d_dw(x, dy, w.shape(), 1, 1), sum = Tensor::zeros(w.shape(), DType::f32);  // of few enough tiles for another way
  for (int64_t i = 0; i < 4; ++i) sum = ops::add(sum, ops::conv2d_dw(x.slice(175 * i, 175), dy.slice(175 * i, 175), w.shape(), 1, 1));
  CHECK(difference(dw, sum) < 5e-6);
}

TEST_CASE("cpu: a picture's first layer on more images than are taken together") {
  Tensor x = random({9, 176, 176, 3}, DType::f32, 97), w = random({32, 7, 7, 3}, DType::f32, 98), shift = random({32}, DType::f32, 99);
  Tensor y = ops::conv2d(x, w, 2, 3), residual = random(y.shape(), DType::f32, 100), dy = random(y.shape(), DType::f32, 101);
  auto frozen = [&](int64_t first, int64_t n) {
    return ops::conv2d_frozen(x.slice(first, n), w, shift, residual.slice(first, n), 2, 3, Activation::none);
  };
  Tensor all = frozen(0, 9), dw = Tensor::zeros(w.shape(), DType::f32);
  for (int64_t i = 0; i < 9; ++i) {
    CHECK(difference(y.slice(i, 1), ops::conv2d(x.slice(i, 1), w, 2, 3)) == 0);
    CHECK(difference(all.slice(i, 1), frozen(i, 1)) == 0);
    dw = ops::add(dw, ops::conv2d_dw(x.slice(i, 1), dy.slice(i, 1), w.shape(), 2, 3));
  }
  CHECK(difference(ops::conv2d_dw(x, dy, w.shape(), 2, 3), dw) < 5e-6);
}

TEST_CASE("cpu: what a frozen layer makes of an image does not depend on the others") {
  for (const Convolution& c : {Convolution{{6, 14, 14, 128}, {128, 1, 1, 128}, 1, 0}, Convolution{{6, 14, 14, 64}, {64, 3, 3, 64}, 1, 1},
                               Convolution{{6, 14, 14, 640}, {128, 1, 1, 640}, 1, 0}, Convolution{{6, 7, 7, 64}, {64, 3, 3, 64}, 1, 1, 0, 2},
                               Convolution{{6, 40, 40, 3}, {64, 7, 7, 3}, 2, 3}}) {
    INFO(c.x.str(), " with ", c.w.str(), " up ", c.up);
    Tensor x = random(c.x, DType::f32, 94), w = random(c.w, DType::f32, 95), shift = random({c.w[0]}, DType::f32, 96);
    auto frozen = [&](const Tensor& images) { 
      return ops::conv2d_frozen(images, w, shift, {}, c.stride, c.pad, Activation::relu, nullptr, c.up);
    };
    Tensor y = frozen(x);
    for (int64_t i = 0; i < 6; i += 2) CHECK(difference(y.slice(i, 2), frozen(x.slice(i, 2))) == 0);
  }
}

TEST_CASE("cpu: statistics summed up on a convolution's way out are those of its result, far from zero too") {
  struct Case { Convolution conv; int64_t groups; };
  for (const Case& c : {Case{{{4, 9, 7, 35}, {70, 1, 1, 35}, 1, 0}, 1}, Case{{{4, 9, 7, 35}, {70, 1, 1, 35}, 1, 0}, 2},
                        Case{{{6, 15, 13, 33}, {40, 1, 1, 33}, 2, 0}, 3}, Case{{{8, 48, 48, 32}, {32, 1, 1, 32}, 1, 0}, 2},
                        Case{{{1, 1, 1, 32}, {64, 1, 1, 32}, 1, 0}, 1}, Case{{{4, 13, 12, 128}, {192, 1, 1, 128}, 1, 0}, 2},
                        Case{{{4, 17, 15, 32}, {44, 3, 3, 32}, 1, 1}, 2},               // Winograd
                        Case{{{4, 17, 15, 32}, {44, 3, 3, 32}, 1, 0}, 2},               //   no border: all pixels alike
                        Case{{{6, 30, 26, 32}, {32, 3, 3, 32}, 2, 1}, 3},               //   stride 2
                        Case{{{6, 9, 11, 32}, {32, 3, 3, 32}, 1, 1, 0, 2}, 1},          //   a doubled map
                        Case{{{300, 8, 8, 176}, {176, 3, 3, 176}, 1, 1}, 4},            //   large filters, several batches of tiles
                        Case{{{12, 8, 8, 512}, {64, 3, 3, 512}, 1, 1}, 2},              //     few panels of them
                        Case{{{9, 176, 176, 3}, {32, 7, 7, 3}, 2, 3}, 3},               // in phases, some images at a time
                        Case{{{1, 20, 20, 3}, {32, 7, 7, 3}, 2, 3}, 1}}) {
    INFO(c.conv.x.str(), " with ", c.conv.w.str(), " in ", c.groups, " groups");
    Tensor x = ops::normal(c.conv.x, {11, Purpose::test, 77}, 30, 0.01), w = random(c.conv.w, DType::f32, 78);
    auto [y, moments] = ops::conv2d_stats(x, w, c.conv.stride, c.conv.pad, c.groups, c.conv.up);
    CHECK(difference(y, ops::conv2d(x, w, c.conv.stride, c.conv.pad, c.conv.up)) == 0);
    ops::Moments exact;
    {
      BackendScope scope(Backend::ref);
      exact = ops::batch_norm_stats(y, c.groups);
    }
    CHECK(difference(moments.mean, exact.mean) < 1e-6);
    CHECK(difference(moments.variance, exact.variance) < 1e-4);
  }
}

TEST_CASE("cpu: filters kept in a kernel's order give the same bits, for other filters and other images too") {
  struct Layer { int64_t px, c, k, kernel, stride; DType type; int up = 1; };
  for (Layer l : {Layer{12, 32, 64, 3, 1, DType::f32},   // Winograd's F(4x4, 3x3)
                  Layer{5, 32, 32, 3, 1, DType::f32},    // F(2x2, 3x3)
                  Layer{6, 32, 32, 3, 1, DType::f32, 2},  // of a map seen doubled
                  Layer{2, 64, 64, 3, 1, DType::f32},    // few pixels
                  Layer{8, 64, 32, 1, 1, DType::f32}, Layer{9, 3, 16, 7, 2, DType::f32}, Layer{9, 32, 32, 3, 2, DType::bf16}}) {
    INFO(l.px, " px, ", l.c, " -> ", l.k, ", ", l.kernel, " x ", l.kernel, ", stride ", l.stride);
    auto random = [&](Shape shape, uint64_t n) { return ops::cast(ops::normal(shape, {7, Purpose::test, n}), l.type); };
    Tensor w = random({l.k, l.kernel, l.kernel, l.c}, 1), other = random(w.shape(), 2), shift = Tensor::full({l.k}, 0.5);
    FilterOrder order;
    auto same = [&](const Tensor& filters, int64_t images, uint64_t n) {
      Tensor x = random({images, l.px, l.px, l.c}, n);
      auto convolved = [&](FilterOrder* kept) {
        return ops::conv2d_frozen(x, filters, shift, {}, l.stride, l.kernel / 2, Activation::relu, kept, l.up).to_vector();
      };
      return convolved(&order) == convolved(nullptr);
    };
    CHECK(same(w, 4, 3));
    CHECK(same(w, 4, 4));
    bool winograd = l.kernel == 3 && l.stride == 1 && l.px > 4;
    CHECK((order.maker || !winograd));
    if (order.maker) {  // what is kept is what is read: these filters are no longer looked at
      const void* memory = order.memory.get();
      Tensor before = w.clone();
      w.copy_from(other);
      CHECK_FALSE(same(w, 4, 5));
      w.copy_from(before);
      CHECK(order.memory.get() == memory);
    }
    CHECK(same(other, 4, 6));
    CHECK(same(other, 1, 7));
    CHECK(same(w, 3, 8));
  }
}

TEST_CASE("cpu: products of random shapes are ref's") {
  PhiloxStream draw({3, Purpose::test, 2});
  auto size = [&] { return draw.chance(0.3) ? 16 * (1 + draw.integer(8)) : 1 + draw.integer(140); };
  for (uint64_t i = 0; i < 120; ++i) {
    ThreadsScope threads(i % 8 ? 1 : 2);
    int64_t batch = draw.integer(3), m = size(), n = size(), k = size();
    bool transpose_a = draw.chance(0.5), transpose_b = draw.chance(0.5);
    DType dtype = i % 2 ? DType::f32 : DType::bf16;
    auto shape = [&](int64_t rows, int64_t columns, bool t) {
      if (t) std::swap(rows, columns);
      return batch ? Shape{batch, rows, columns} : Shape{rows, columns};
    };
    Tensor a = random(shape(m, k, transpose_a), dtype, 2 * i), b = random(shape(k, n, transpose_b), dtype, 2 * i + 1);
    CAPTURE(m);
    CAPTURE(n);
    CAPTURE(k);
    same_as_ref(dtype == DType::f32 ? 5e-6 : 1e-2, [&] { return std::vector{ops::matmul(a, b, transpose_a, transpose_b)}; });
  }
}

TEST_CASE("cpu: random numbers are ref's, bit for bit") {
  for (DType dtype : {DType::f32, DType::bf16}) {
    auto draw = [&] {
      return std::vector{ops::uniform({40003}, {5, Purpose::init, 7}, -1, 3, dtype), ops::normal({40003}, {5, Purpose::init, 8}, 1, 2, dtype)};
    };
    same_as_ref(0, draw);
  }
}

TEST_CASE("cpu: sums and random numbers do not depend on the number of threads") {
  Tensor x = random({64, 24, 24, 40}, DType::f32, 1), dy = random(x.shape(), DType::f32, 2);
  auto compute = [&] {
    ops::Moments m = ops::batch_norm_stats(x, 2);
    ops::NormArguments norm{m.mean, m.variance, Tensor::full({40}, 1.5), Tensor::full({40}, 0.1), 1e-5, Activation::relu, true};
    Tensor y = ops::batch_norm_apply(x, dy, norm);
    ops::NormGradients g = ops::batch_norm_bwd(x, y, dy, norm, true);
    Tensor rows = x.reshape({64 * 24, 24 * 40});
    return std::vector{m.mean, m.variance, y, g.dx, g.dgamma, g.dbeta, g.dresidual, ops::sum_to(x, {40}), ops::sum(x),
                       ops::logsumexp(rows), ops::softmax(rows), ops::l2_normalize(rows).first, ops::global_avg_pool(x),
                       ops::normal({50001}, {1, Purpose::test, 1}), ops::unary(UnaryFn::tanh, x)};
  };
  std::vector<Tensor> one, three;
  {
    ThreadsScope threads(1);
    one = compute();
  }
  {
    ThreadsScope threads(3);
    three = compute();
  }
  for (size_t i = 0; i < one.size(); ++i) {
    CAPTURE(i);
    CHECK(difference(three[i], one[i]) == 0);
  }
}

TEST_CASE("cpu: convolutions and products do not depend on the number of threads") {
  const Convolution list[] = {
      {{5, 64, 64, 3}, {64, 7, 7, 3}, 2, 3},       // the stem
      {{3, 28, 28, 64}, {256, 1, 1, 64}, 1, 0},    // a few images, each a slice of dw
      {{33, 14, 14, 96}, {80, 1, 1, 96}, 1, 0},    // slices of three images, the last one whole
      {{1, 128, 128, 16}, {16, 1, 1, 16}, 1, 0},   // one slice
      {{19, 8, 8, 256}, {512, 1, 1, 256}, 2, 0},   // a short last slice
      {{4, 7, 7, 1024}, {300, 1, 1, 1024}, 1, 0},  // slices of filters, the last one short
      {{4, 14, 14, 256}, {256, 3, 3, 256}, 2, 1},  //   3x3
      {{6, 16, 16, 64}, {64, 3, 3, 64}, 1, 1},     // Winograd
      {{32, 4, 4, 128}, {128, 3, 3, 128}, 1, 1},   //   one tile an image
      {{2, 8, 8, 176}, {192, 3, 3, 176}, 1, 1},    //   large filters
      {{11, 12, 12, 512}, {64, 3, 3, 512}, 1, 1},  //   fewer of their panels than threads, rows of tiles not cut in two
      {{5, 14, 14, 48}, {40, 3, 3, 48}, 1, 1},     //   tiles of five pixels
      {{6, 17, 17, 64}, {64, 3, 3, 64}, 2, 1},     //   stride 2
      {{6, 9, 9, 64}, {64, 3, 3, 64}, 1, 1, 0, 2},     //   a doubled map
      {{6, 9, 9, 192}, {160, 3, 3, 192}, 1, 1, 0, 2},  //     large filters
      {{32, 2, 2, 128}, {128, 3, 3, 128}, 1, 1},   // few pixels
      {{4, 13, 14, 256}, {512, 1, 1, 256}, 1, 0},  // one pixel, Strassen's algorithm
      {{8, 24, 24, 32}, {64, 1, 1, 32}, 1, 0},     // tap by tap, slices of the pixels
      {{2, 8, 8, 64}, {500, 1, 1, 64}, 1, 0},      // one pixel, the columns are cut
      {{5, 33, 31, 16}, {3, 3, 3, 16}, 1, 1},      // few filters
  };
  for (const Convolution& c : list)
    for (DType dtype : {DType::f32, DType::bf16}) {
      INFO(std::string(name_of(dtype)), " x ", c.x.str(), " w ", c.w.str());
      Tensor x = random(c.x, dtype, 61), w = random(c.w, dtype, 62);
      Tensor dy = random(ops::conv2d(x, w, c.stride, c.pad, c.up).shape(), dtype, 63);
      Tensor rows = x.reshape({-1, c.x[3]});
      auto compute = [&](int n) {
        ThreadsScope threads(n);
        for (const Shape& shape : {dy.shape(), c.x, c.w}) Tensor::full(shape, std::nan(""), dtype);  // what is not written is seen
        ops::Moments moments = ops::conv2d_stats(x, w, c.stride, c.pad, 1, c.up).second, of_x = ops::batch_norm_stats(x);
        ops::NormArguments norm{of_x.mean, of_x.variance, Tensor::full({c.x[3]}, 1.5), Tensor::full({c.x[3]}, 0.1), 1e-5, Activation::relu, true};
        auto [through, sums] = ops::conv2d_dx(dy, w, c.x, c.stride, c.pad, {}, c.up, {x, {}, norm});
        return std::vector{moments.mean, moments.variance, through, sums.defined() ? sums : through, ops::conv2d(x, w, c.stride, c.pad, c.up),
                           ops::conv2d_dx(dy, w, c.x, c.stride, c.pad, {}, c.up), ops::conv2d_dw(x, dy, c.w, c.stride, c.pad, c.up),
                           ops::matmul(rows, rows, true, false), ops::matmul(rows.slice(0, 40), rows, false, true)};
      };
      std::vector<Tensor> one = compute(1);
      for (int n : {2, 3, 5}) {
        CAPTURE(n);
        std::vector<Tensor> more = compute(n);
        for (size_t i = 0; i < one.size(); ++i) {
          CAPTURE(i);
          CHECK(difference(more[i], one[i]) == 0);
        }
      }
    }
}

// The one-dimensional algorithm on lane 0, in float: y = A'[(G g) . (B' d)].
template <class F>
std::vector<float> in_one_dimension(const std::vector<float>& d, const std::vector<float>& g) {
  cpu::V in[F::kPatch], u[F::kIn], filter[F::kTaps], t[F::kIn], m[F::kIn], y[F::kOut];
  for (int i = 0; i < F::kPatch; ++i) in[i] = cpu::splat(d[size_t(i)]);
  for (int i = 0; i < F::kTaps; ++i) filter[i] = cpu::splat(g[size_t(i)]);
  F::input(in, t);
  F::filter(filter, u);
  for (int i = 0; i < F::kIn; ++i) m[i] = t[i] * u[i];
  F::output(m, y);
  std::vector<float> out;
  for (const cpu::V& v : y) out.push_back(v[0]);
  return out;
}

template <class F>
void correlates(const std::vector<float>& d, const std::vector<float>& g) {
  std::vector<float> y = in_one_dimension<F>(d, g);
  for (size_t i = 0; i < F::kOut; ++i) {
    double sum = 0;
    for (size_t tap = 0; tap < g.size(); ++tap) sum += double(d[i * F::kStep / F::kOut + tap]) * double(g[tap]);
    CHECK(double(y[i]) == doctest::Approx(sum).epsilon(1e-6));
  }
}

TEST_CASE("cpu: Winograd's algorithms in one dimension are a correlation") {
  // (1 2 3 4) with (1 10 100): 1 + 20 + 300 = 321, 2 + 30 + 400 = 432
  correlates<cpu::winograd::F2>({1, 2, 3, 4}, {1, 10, 100});
  correlates<cpu::winograd::F4>({1, 2, 3, 4, -5, 6}, {1, 10, 100});
  correlates<cpu::winograd::F4>({0, 0, 0, 0, 0, 1}, {0, 0, 1});
  correlates<cpu::winograd::F5>({1, 2, 3, 4, -5, 6, 7}, {1, 10, 100});
  correlates<cpu::winograd::F5>({0, 0, 0, 0, 0, 0, 1}, {0, 0, 1});
  correlates<cpu::winograd::F4Of4>({1, 2, 3, 4, -5, 6, 7}, {1, 10, 100, 1000});
  correlates<cpu::winograd::F4Of4>({0, 0, 0, 0, 0, 0, 1}, {0, 0, 0, 1});
  correlates<cpu::winograd::Strided>({1, 2, 3, 4, -5}, {1, 10, 100});
  // back at stride 2: (1 2 3) between the pixels that only the middle tap saw: 10, 1 + 200, 20, 2 + 300
  CHECK(in_one_dimension<cpu::winograd::StridedBack>({1, 2, 3}, {1, 10, 100}) == std::vector<float>{10, 201, 20, 302});
  // (1 2 3 4) seen as 1 1 2 2 3 3 4 4, from the second 1 on: 1 + 20 + 200, 2 + 20 + 300, 2 + 30 + 300, 3 + 30 + 400
  CHECK(in_one_dimension<cpu::winograd::Doubled>({1, 2, 3, 4}, {1, 10, 100}) == std::vector<float>{221, 322, 332, 433});
  // back from it, neighbours added up: 3 5 7 9 11, then 3 + 50 + 700, 7 + 90 + 1100
  CHECK(in_one_dimension<cpu::winograd::DoubledBack>({1, 2, 3, 4, 5, 6}, {1, 10, 100}) == std::vector<float>{753, 1197});
}

// rms of the error over rms of the numbers, against the direct way in f64.
TEST_CASE("cpu: Winograd's algorithms round as stated") {
  const Convolution list[] = {{{8, 6, 6, 64}, {64, 3, 3, 64}, 1, 1, 3.5e-7},     // F(2x2, 3x3)
                              {{8, 12, 12, 64}, {64, 3, 3, 64}, 1, 1, 1e-6},     // F(4x4, 3x3)
                              {{8, 10, 10, 64}, {64, 3, 3, 64}, 1, 1, 1.8e-6},   // F(5x5, 3x3)
                              {{8, 6, 6, 64}, {64, 3, 3, 64}, 1, 1, 5e-7, 2},    // a map seen doubled
                              {{8, 48, 48, 3}, {64, 7, 7, 3}, 2, 3, 1.8e-6}};    // F(4x4, 4x4), a picture in phases
  for (const Convolution& c : list) {
    INFO(c.x.str(), " with ", c.w.str(), " up ", c.up);
    Tensor x = random(c.x, DType::f64, 51), w = random(c.w, DType::f64, 52);
    Tensor dy = random(ops::conv2d(x, w, c.stride, c.pad, c.up).shape(), DType::f64, 53);
    auto all = [&](DType t) {
      Tensor a = ops::cast(x, t), b = ops::cast(w, t), d = ops::cast(dy, t);
      return std::vector{ops::conv2d(a, b, c.stride, c.pad, c.up), ops::conv2d_dx(d, b, c.x, c.stride, c.pad, {}, c.up),
                         ops::conv2d_dw(a, d, c.w, c.stride, c.pad, c.up)};
    };
    x = ops::cast(ops::cast(x, DType::f32), DType::f64), w = ops::cast(ops::cast(w, DType::f32), DType::f64);
    dy = ops::cast(ops::cast(dy, DType::f32), DType::f64);
    std::vector<Tensor> fast = all(DType::f32), exact = all(DType::f64);
    for (size_t i = 0; i < 3; ++i) {
      CAPTURE(i);
      std::vector<double> a = fast[i].to_vector(), b = exact[i].to_vector();
      double error = 0, size = 0;
      for (size_t j = 0; j < a.size(); ++j) error += (a[j] - b[j]) * (a[j] - b[j]), size += b[j] * b[j];
      CHECK_MESSAGE(std::sqrt(error / size) <= c.tolerance, std::sqrt(error / size));
    }
  }
}

TEST_CASE("cpu: batch statistics stay accurate far from zero") {
  Tensor x = ops::normal({16, 8, 8, 20}, {2, Purpose::test, 1}, 1000, 1);
  ops::Moments fast = ops::batch_norm_stats(x);
  BackendScope scope(Backend::ref);
  ops::Moments plain = ops::batch_norm_stats(x);
  CHECK(difference(fast.mean, plain.mean) <= 1e-7);
  CHECK(difference(fast.variance, plain.variance) <= 1e-6);
}

TEST_CASE("batch norm takes x's memory, and its gradient dy's, where no one else holds it, with the same bits") {
  for (int64_t px : {3, 96})  // 96: residuals are streamed past the cache
    for (DType dtype : {DType::f64, DType::f32, DType::bf16}) {
      if (px > 3 && dtype == DType::f64) continue;  // slow there, and the same code
      CAPTURE(px);
      INFO(std::string(name_of(dtype)));
      Tensor x = random({4, px, px, 32}, dtype, 71), dy = random(x.shape(), dtype, 72), kept = dy.clone();
      ops::Moments m = ops::batch_norm_stats(x, 2);
      DType s = m.mean.dtype();
      ops::NormArguments norm{m.mean, m.variance, Tensor::full({32}, 1.5, s), Tensor::full({32}, 0.1, s), 1e-5, Activation::relu, true};
      Tensor y = ops::batch_norm_apply(x, dy, norm);
      Tensor given = x.clone();
      const void* place = given.raw();
      Tensor over = ops::batch_norm_apply(std::move(given), dy, norm);
      CHECK(over.raw() == place);
      CHECK(difference(over, y) == 0);
      ops::NormGradients apart = ops::batch_norm_bwd(x, y, dy, norm, true);
      CHECK(!apart.dx.same_memory(dy));
      CHECK(difference(dy, kept) == 0);
      const void* memory = dy.raw();
      ops::NormGradients taken = ops::batch_norm_bwd(x, y, std::move(dy), norm, true);
      CHECK(taken.dx.raw() == memory);
      CHECK(difference(taken.dx, apart.dx) == 0);
      CHECK(difference(taken.dresidual, apart.dresidual) == 0);
      CHECK(difference(taken.dgamma, apart.dgamma) == 0);
    }
}

TEST_CASE("cpu: every fast op is named with its strategy") {
  int fast = 0;
  for (const OpInfo& op : op_list()) fast += cpu::strategy(op.op) != "ref";
  CHECK(fast > 30);
  CHECK(cpu::strategy(Op::scatter_add_rows) == "ref");
}
