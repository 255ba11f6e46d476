// MoCo v2 (He et al. 2020; Chen et al. 2020): a query encoder, its slow copy that makes keys, a queue of old keys.
// Next: ssl/pairs.h.
#pragma once
#include "nn/heads.h"
#include "ssl/method.h"
#include "ssl/queue.h"

namespace plumage {

struct MoCoOptions {
  BaseOptions base;
  int64_t queue = 65536;    ///< moco.queue, as it is to be used (see queue_size)
  int64_t dim = 128;        ///< moco.dim
  double momentum = 0.999;  ///< moco.momentum
  bool head_norm = false;   ///< moco.head_norm: batch norm in the head
};

class MoCoV2 : public BaseMethod {
 public:
  MoCoV2(const ResNetOptions& encoder, const MoCoOptions& options, Init init);
  void forward(const Views& views, Step& step, const Emit& emit) override;
  void after_step(Step& step) override;
  void add_parameters(Optimizer& encoder, Optimizer& decoder) override;
  ResNet& encoder() override { return encoder_; }
  void visit(const std::string& prefix, const Visitor& f) override;

  Var embed(const Var& x, const Pass& pass) override { return encoder_.features(x, pass); }
  Var project(const Var& v, const Pass& pass) override { return head_.forward(v, pass); }
  Var contrast(const Var& z, const Step& step) override;
  /// The key encoder takes the query encoder's weights.
  void encoder_changed() override;

 private:
  MoCoOptions options_;
  ResNet encoder_, key_encoder_;
  Mlp head_, key_head_;
  KeyQueue queue_;
};

}  // namespace plumage
