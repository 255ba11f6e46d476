// Convolution and its two gradients, each as the sum that defines it. x [N,H,W,C], w [K,R,S,C], y [N,P,Q,K].
#include "tensor/backend/ref/elements.h"
#include "tensor/context.h"

namespace plumage::ref {
namespace {

/// All sizes of one convolution, and where an element lies. H and W are the map's as the window sees it.
struct Sizes {
  int64_t N, H, W, C, K, R, S, P, Q, stride, pad, up;
  Sizes(const Shape& x, const Shape& w, const Shape& y, const Window& window)
      : N(x[0]),
        H(x[1] * window.up),
        W(x[2] * window.up),
        C(x[3]),
        K(w[0]),
        R(w[1]),
        S(w[2]),
        P(y[1]),
        Q(y[2]),
        stride(window.stride),
        pad(window.pad),
        up(window.up) {}
  int64_t x(int64_t n, int64_t h, int64_t w) const { return ((n * (H / up) + h / up) * (W / up) + w / up) * C; }
  int64_t w(int64_t k, int64_t r, int64_t s) const { return ((k * R + r) * S + s) * C; }
  int64_t y(int64_t n, int64_t p, int64_t q) const { return ((n * P + p) * Q + q) * K; }
  int64_t products() const { return N * P * Q * K * R * S * C; }
  bool inside(int64_t h, int64_t w) const { return h >= 0 && h < H && w >= 0 && w < W; }
};

}  // namespace

namespace {

/// y[n,p,q,k] = finish(sum of the products, place of y, k)
template <class Finish>
void correlate(Context& context, In x, In w, Out y, Window window, Finish&& finish) {
  Sizes z(x.shape, w.shape, y.shape, window);
  Writer out(y);
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T *px = x.as<T>(), *pw = w.as<T>();
#pragma omp parallel for collapse(2) num_threads(context.threads()) if (z.products() > kWorthThreads)
    for (int64_t n = 0; n < z.N; ++n)
      for (int64_t p = 0; p < z.P; ++p)
        for (int64_t q = 0; q < z.Q; ++q)
          for (int64_t k = 0; k < z.K; ++k) {
            double sum = 0;
            for (int64_t r = 0; r < z.R; ++r)
              for (int64_t s = 0; s < z.S; ++s) {
                int64_t h = p * z.stride + r - z.pad, v = q * z.stride + s - z.pad;
                if (!z.inside(h, v)) continue;
                for (int64_t c = 0; c < z.C; ++c)
                  sum += double(px[z.x(n, h, v) + c]) * double(pw[z.w(k, r, s) + c]);
              }
            int64_t place = z.y(n, p, q) + k;
            out.set(place, finish(sum, place, k));
          }
  });
}

}  // namespace

void conv2d(Context& context, In x, In w, Out y, Window window) {
  correlate(context, x, w, y, window, [](double sum, int64_t, int64_t) { return sum; });
}

void conv2d_frozen(Context& context, In x, In w, In shift, In residual, Out y, Window window, Activation activation, FilterOrder*) {
  Reader added(shift), skip(residual);
  correlate(context, x, w, y, window, [&](double sum, int64_t place, int64_t k) {
    double v = sum + added[k];
    if (residual) v += skip[place];
    return activation == Activation::relu && v <= 0 ? 0 : v;
  });
}

void batch_norm_stats(Context& context, In x, Out mean, Out variance);  // batch_norm.cpp

void conv2d_stats(Context& context, In x, In w, Out y, Out mean, Out variance, Window window) {
  conv2d(context, x, w, y, window);
  batch_norm_stats(context, {y.data, y.shape, y.dtype}, mean, variance);
}

void sum_gradient(Out d, const NormSource& source);  // batch_norm.cpp

void conv2d_dx(Context& context, In dy, In w, In onto, Out dx, Window window, NormSource source) {
  Sizes z(dx.shape, w.shape, dy.shape, window);
  Writer out(dx);
  visit_float(dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T *pg = dy.as<T>(), *pw = w.as<T>(), *start = onto.as<T>();
    // The sum of dy[n,p,q,k] w[k,r,s,c] over the windows that cover the seen pixel (h, v): p * stride + r - pad = h
    auto gradient = [&](int64_t n, int64_t h, int64_t v, int64_t c) {
      double sum = 0;
      for (int64_t r = 0; r < z.R; ++r)
        for (int64_t s = 0; s < z.S; ++s) {
          int64_t top = h + z.pad - r, left = v + z.pad - s;
          if (top < 0 || left < 0 || top % z.stride || left % z.stride) continue;
          int64_t p = top / z.stride, q = left / z.stride;
          if (p >= z.P || q >= z.Q) continue;
          for (int64_t k = 0; k < z.K; ++k) sum += double(pg[z.y(n, p, q) + k]) * double(pw[z.w(k, r, s) + c]);
        }
      return sum;
    };
#pragma omp parallel for collapse(2) num_threads(context.threads()) if (z.products() > kWorthThreads)
    for (int64_t n = 0; n < z.N; ++n)
      for (int64_t h = 0; h < z.H; h += z.up)
        for (int64_t v = 0; v < z.W; v += z.up)
          for (int64_t c = 0; c < z.C; ++c) {
            double sum = start ? double(start[z.x(n, h, v) + c]) : 0;
            for (int64_t i = 0; i < z.up; ++i)
              for (int64_t j = 0; j < z.up; ++j) sum += gradient(n, h + i, v + j, c);
            out.set(z.x(n, h, v) + c, sum);
          }
  });
  if (source) sum_gradient(dx, source);
}

void conv2d_dw(Context& context, In x, In dy, Out dw, Window window) {
  // dw[k,r,s,c] = sum of dy[n,p,q,k] x[n, p*stride+r-pad, q*stride+s-pad, c] over n, p, q
  Sizes z(x.shape, dw.shape, dy.shape, window);
  Writer out(dw);
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T *px = x.as<T>(), *pg = dy.as<T>();
#pragma omp parallel for num_threads(context.threads()) if (z.products() > kWorthThreads)
    for (int64_t k = 0; k < z.K; ++k)
      for (int64_t r = 0; r < z.R; ++r)
        for (int64_t s = 0; s < z.S; ++s)
          for (int64_t c = 0; c < z.C; ++c) {
            double sum = 0;
            for (int64_t n = 0; n < z.N; ++n)
              for (int64_t p = 0; p < z.P; ++p)
                for (int64_t q = 0; q < z.Q; ++q) {
                  int64_t h = p * z.stride + r - z.pad, v = q * z.stride + s - z.pad;
                  if (z.inside(h, v)) sum += double(pg[z.y(n, p, q) + k]) * double(px[z.x(n, h, v) + c]);
                }
            out.set(z.w(k, r, s) + c, sum);
          }
  });
}

}  // namespace plumage::ref
