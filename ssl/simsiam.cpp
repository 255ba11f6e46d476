#include "ssl/simsiam.h"

namespace plumage {

SimSiam::SimSiam(const ResNetOptions& encoder, const SimSiamOptions& options, Init init)
    : options_(options),
      encoder_(encoder, init),
      projector_(simsiam_projector(encoder_.feature_count(), options.dim, init)),
      predictor_(simsiam_predictor(options.dim, options.predictor, init)) {}

void SimSiam::forward(const Views& views, Step& step, const Emit& emit) {
  Pass pass = Pass::train(step.statistics, options_.base.bn_splits);
  pass.compute = options_.base.compute;
  step.x1 = views.x1;
  step.x2 = views.x2;
  Var v1 = embed(Var(views.x1), pass), v2 = embed(Var(views.x2), pass);                      // [B, n]
  Var z1 = projector_.forward(v1, pass), z2 = projector_.forward(v2, pass);                  // [B, d]
  Var p1 = predictor_.forward(z1, pass), p2 = predictor_.forward(z2, pass);                  // [B, d]
  step.v1 = v1.value();
  step.v2 = v2.value();
  step.key = z2.value();
  Var loss = scale(add(mean(negative_cosine(p1, z2.value())), mean(negative_cosine(p2, z1.value()))), 0.5);
  emit({{"L_C", loss, 1}});
}

Var SimSiam::predict_contrast(const Var& z, const Tensor& target, const Pass& pass) {
  return negative_cosine(predictor_.forward(z, pass), target);
}

Var SimSiam::contrast(const Var& z, const Step& step) {
  Pass pass = Pass::batch_only(options_.base.bn_splits);
  pass.compute = options_.base.compute;
  return predict_contrast(z, step.key, pass);
}

void SimSiam::add_parameters(Optimizer& encoder, Optimizer&) {
  encoder.add("encoder", encoder_);
  encoder.add("projector", projector_);
  encoder.add("predictor", predictor_, 1, options_.fix_predictor_lr);
}

void SimSiam::visit(const std::string& prefix, const Visitor& f) {
  encoder_.visit(join_name(prefix, "encoder"), f);
  projector_.visit(join_name(prefix, "projector"), f);
  predictor_.visit(join_name(prefix, "predictor"), f);
}

}  // namespace plumage
