// SimSiam (Chen and He 2021): two views, a predictor on one side, a stopped gradient on the other. Next: ssl/pairs.h.
#pragma once
#include "nn/heads.h"
#include "ssl/method.h"

namespace plumage {

struct SimSiamOptions {
  BaseOptions base;
  int64_t dim = 2048;              ///< simsiam.dim: width of the projector
  int64_t predictor = 512;         ///< simsiam.predictor: hidden width of the predictor
  bool fix_predictor_lr = true;    ///< simsiam.fix_predictor_lr: the predictor's rate does not follow the schedule
};

class SimSiam : public BaseMethod {
 public:
  SimSiam(const ResNetOptions& encoder, const SimSiamOptions& options, Init init);
  void forward(const Views& views, Step& step, const Emit& emit) override;
  void after_step(Step& step) override { step.statistics.apply(); }
  void add_parameters(Optimizer& encoder, Optimizer& decoder) override;
  ResNet& encoder() override { return encoder_; }
  void visit(const std::string& prefix, const Visitor& f) override;

  Var embed(const Var& x, const Pass& pass) override { return encoder_.features(x, pass); }
  Var project(const Var& v, const Pass& pass) override { return projector_.forward(v, pass); }
  Var contrast(const Var& z, const Step& step) override;
  Var predict_contrast(const Var& z, const Tensor& target, const Pass& pass) override;
  bool has_predictor() const override { return true; }

 private:
  SimSiamOptions options_;
  ResNet encoder_;
  Mlp projector_, predictor_;
};

}  // namespace plumage
