// Projection heads g and SimSiam's predictor. Next: ssl/method.h.
#pragma once
#include "nn/layers.h"

namespace plumage {

/// A stack of linear layers with batch norm and ReLU between them, named as torch.nn.Sequential numbers them.
class Mlp : public Module {
 public:
  struct Layer { int64_t out; bool bias = true, norm = false, relu = false, norm_affine = true; };
  Mlp() = default;
  Mlp(int64_t in, const std::vector<Layer>& layers, Init& init);
  Var forward(const Var& x, const Pass& pass) const;  ///< [N, in] -> [N, last out]
  void visit(const std::string& prefix, const Visitor& f) override;

 private:
  struct Stage { Linear linear; BatchNorm2d norm; bool has_norm, relu; };
  std::vector<Stage> stages_;
};

/// MoCo v2: linear, ReLU, linear (with biases, no norm; hidden as wide as the input). norm: batch norm after both
/// linear layers instead of their biases; from random weights it leaves the plateau where all z are alike much sooner.
Mlp moco_head(int64_t features, int64_t dim, Init& init, bool norm = false);
/// SimSiam's projector: three linear layers of `dim` without bias, each with batch norm, ReLU between, the last norm
/// without gamma and beta.
Mlp simsiam_projector(int64_t features, int64_t dim, Init& init);
/// SimSiam's predictor: dim -> hidden (norm, ReLU) -> dim.
Mlp simsiam_predictor(int64_t dim, int64_t hidden, Init& init);

}  // namespace plumage
