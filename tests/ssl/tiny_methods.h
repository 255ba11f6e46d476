// Methods small enough to be differentiated by differences: ResNet-18 of width 2, 16 pixels, f64, images from Philox.
#pragma once
#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <memory>

#include "autograd/tape.h"
#include "ssl/moco.h"
#include "ssl/pairs.h"
#include "ssl/simsiam.h"
#include "ssl/train_step.h"

namespace plumage::test {

constexpr int64_t kBatch = 4, kPixels = 16;

inline Views tiny_views(int64_t step = 0, DType dtype = DType::f64) {
  // An image is smooth enough to be told from noise: its own colour and a little texture.
  auto images = [&](uint64_t view) {
    Tensor colour = ops::normal({kBatch, 1, 1, 3}, {100, Purpose::test, uint64_t(step)}, 0, 1, dtype);
    Tensor texture = ops::normal({kBatch, kPixels, kPixels, 3}, {101 + view, Purpose::test, uint64_t(step)}, 0, 0.5, dtype);
    return ops::add(texture, colour);
  };
  Views views;
  views.x = images(0);
  views.x1 = images(1);
  views.x2 = images(2);
  views.seed = 9;
  views.step = step;
  return views;
}

enum class Base { moco, moco_norm, simsiam };  // moco_norm: batch norm in the head

inline ResNetOptions tiny_encoder() { return {"resnet18", Stem::small, 2}; }

inline std::unique_ptr<BaseMethod> tiny_base(Base kind, BaseOptions base = {}, DType dtype = DType::f64, uint64_t seed = 3,
                                             Device device = {}) {
  Init init{seed, dtype, 0, device};
  if (kind != Base::simsiam) return std::make_unique<MoCoV2>(tiny_encoder(), MoCoOptions{base, 8, 6, 0.9, kind == Base::moco_norm}, init);
  return std::make_unique<SimSiam>(tiny_encoder(), SimSiamOptions{base, 8, 5}, init);
}

inline PairsOptions tiny_options() {
  PairsOptions o;
  o.bank_size = 12;
  o.bank_min_fill = 0;
  o.perturb.epsilon_g = 0.5;
  o.perturb.epsilon_var = 0.25;
  o.perturb.quantile = 0.5;
  return o;
}

inline std::unique_ptr<DiscriminativePairs> tiny_pairs(Base kind, PairsOptions options = tiny_options(), DType dtype = DType::f64,
                                                       Device device = {}) {
  Init decoder_init{4, dtype, 0, device}, init{5, dtype, 0, device};
  auto base = tiny_base(kind, options.base, dtype, 3, device);
  DecoderOptions decoder{.arch = "light", .widths = {4, 4}};
  auto h = make_decoder(decoder, tiny_encoder(), base->encoder().feature_count(), kPixels, decoder_init);
  return std::make_unique<DiscriminativePairs>(std::move(base), std::move(h), options, init);
}

inline Optimizers tiny_optimizers(Method& method, double lr = 0.05) {
  OptimizerOptions adam;
  adam.kind = "adam";
  adam.lr = 1e-3;
  adam.weight_decay = 0;
  OptimizerOptions sgd;
  sgd.lr = lr;
  Optimizers optimizers{Optimizer(sgd), Optimizer(adam)};
  method.add_parameters(optimizers.encoder, optimizers.decoder);
  return optimizers;
}

/// Every tensor of the state, byte by byte, by name.
inline std::map<std::string, std::string> bytes_of(Method& method) {
  std::map<std::string, std::string> out;
  for (auto& [name, value] : method.state()) out[name] = std::string(static_cast<const char*>(value.value().raw()), size_t(value.value().bytes()));
  return out;
}

inline std::map<std::string, std::string> bytes_of(const Step& step) {
  std::map<std::string, std::string> out;
  step.visit([&](const char* name, const Tensor& t) { out[name] = std::string(static_cast<const char*>(t.raw()), size_t(t.bytes())); });
  return out;
}

/// Names whose bytes differ, or that only one has.
inline std::vector<std::string> changed(const std::map<std::string, std::string>& a, const std::map<std::string, std::string>& b) {
  std::vector<std::string> names;
  for (auto& [name, bytes] : a)
    if (!b.count(name) || b.at(name) != bytes) names.push_back(name);
  for (auto& [name, bytes] : b)
    if (!a.count(name)) names.push_back(name);
  return names;
}

/// Copies of the gradients that parameters hold, by name; parameters without one are left out.
inline std::map<std::string, Tensor> gradients_of(Method& method) {
  std::map<std::string, Tensor> out;
  for (auto& [name, value] : method.parameters())
    if (value.grad().defined()) out[name] = value.grad().clone();
  return out;
}

/// What forward hands over. `joint`: one backward through the sum of all terms at the end, instead of term by term.
struct Differentiated {
  Step step;
  std::map<std::string, double> terms;
  std::map<std::string, Tensor> gradients;
  int emitted = 0;  ///< calls of emit
};

inline Differentiated differentiate(Method& method, const Views& views, bool joint = false) {
  Differentiated out;
  method.clear_gradients();
  Var total;
  auto add_to = [](Var& sum, const Term& term) {
    Var weighed = scale(term.loss, term.weight);
    sum = sum.defined() ? add(sum, weighed) : weighed;
  };
  method.forward(views, out.step, [&](const std::vector<Term>& terms) {
    ++out.emitted;
    Var sum;
    for (const Term& term : terms) {
      out.terms[term.name] = term.loss.item();
      add_to(joint ? total : sum, term);
    }
    if (!joint) backward(sum);
  });
  if (joint) backward(total);
  out.gradients = gradients_of(method);
  method.clear_gradients();
  return out;
}

}  // namespace plumage::test
