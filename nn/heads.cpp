// Stacks of linear layers on top of v. Next: nn/optimizer.cpp.
#include "nn/heads.h"

namespace plumage {

Mlp::Mlp(int64_t in, const std::vector<Layer>& layers, Init& init) {
  for (const Layer& layer : layers) {
    Stage stage{Linear(in, layer.out, init, layer.bias), {}, layer.norm, layer.relu};
    if (layer.norm) stage.norm = BatchNorm2d(layer.out, init, layer.norm_affine);
    stages_.push_back(std::move(stage));
    in = layer.out;
  }
}

Var Mlp::forward(const Var& x, const Pass& pass) const {
  Var y = x;
  for (const Stage& stage : stages_) {
    y = stage.linear.forward(y, pass);
    if (stage.has_norm)
      y = stage.norm.forward(y, pass, stage.relu ? Activation::relu : Activation::none);
    else if (stage.relu)
      y = relu(y);
  }
  return y;
}

void Mlp::visit(const std::string& prefix, const Visitor& f) {
  int index = 0;  // a ReLU takes a number too
  for (Stage& stage : stages_) {
    stage.linear.visit(join_name(prefix, std::to_string(index++)), f);
    if (stage.has_norm) stage.norm.visit(join_name(prefix, std::to_string(index++)), f);
    if (stage.relu) ++index;
  }
}

Mlp moco_head(int64_t features, int64_t dim, Init& init, bool norm) {
  return Mlp(features,
             {{.out = features, .bias = !norm, .norm = norm, .relu = true},
              {.out = dim, .bias = !norm, .norm = norm}},
             init);
}

Mlp simsiam_projector(int64_t features, int64_t dim, Init& init) {
  Mlp::Layer hidden{.out = dim, .bias = false, .norm = true, .relu = true};
  Mlp::Layer last{.out = dim, .bias = false, .norm = true, .norm_affine = false};
  return Mlp(features, {hidden, hidden, last}, init);
}

Mlp simsiam_predictor(int64_t dim, int64_t hidden, Init& init) {
  return Mlp(dim, {{.out = hidden, .bias = false, .norm = true, .relu = true}, {.out = dim}}, init);
}

}  // namespace plumage
