// Every named quantity of one training step, under the paper's names: what `forward` computes, what `after_step` turns
// into state, and what `pretrain --dump-step` writes. Next: ssl/method.h.
#pragma once
#include <functional>
#include <map>
#include <string>

#include "nn/module.h"
#include "ssl/feature_bank.h"

namespace plumage {

/// The views of a batch, [B, px, px, 3] in normalised colours. labels i64 [B], where the method learns from labels.
struct Views {
  Tensor x;       ///< plain: resized and cut, not augmented
  Tensor x1, x2;  ///< x', x'': two augmentations
  Tensor labels;
  uint64_t seed = 0;
  int64_t step = 0;  ///< optimiser steps done before this one: the noise draws from (seed, purpose, step)
  Tensor clock;      ///< i64 [1] beside the views: the step's number as the kernels read it; undefined: they get it by value
};

struct Step {
  Tensor x, x1, x2;
  Tensor key;                 ///< z'': MoCo's unit keys of x'' [B, d]; SimSiam: the projection of x''
  Tensor queue;               ///< MoCo: the keys before this step [K, d]
  Tensor v1, v2;              ///< features of x' (and x'', SimSiam) [B, n]
  Tensor v, z;                ///< of the plain image: [B, n], [B, d]
  Tensor eta, eta_bar;        ///< paper, eq. 3 and 4: [B, n]
  Tensor bank;                ///< filled rows of M, this step's v among them [F, n]
  Tensor s, s_bar;            ///< paper, section 3.4: [n]
  Tensor noise_g, noise_var;  ///< paper, eq. 5 and 6: [B, n]
  Tensor v_p;                 ///< v + noise_g + noise_var
  Tensor x_hat, x_hat_p;      ///< h(v), h(v_p)
  Tensor z_hat, z_hat_p;      ///< their unit projections [B, d]

  StatisticsUpdates statistics;          ///< running statistics to come
  FeatureBank next_bank;                 ///< M with this step's v
  std::vector<Tensor> banked;            ///< what enters M
  std::map<std::string, Tensor> gauge_values;  ///< one element each, where they were computed
  // Known once the step's numbers were read, all at once (ssl/train_step.h):
  std::map<std::string, double> terms;   ///< "L_C", "L_R", "L_Cp": values before weighing
  std::map<std::string, double> gauges;  ///< shares, noise sizes, spreads (docs/paper-notes.md)

  /// Calls f for every tensor above that this step computed.
  void visit(const std::function<void(const char* name, const Tensor& value)>& f) const;
};

}  // namespace plumage
