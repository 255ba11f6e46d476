#include "ssl/moco.h"

namespace plumage {

MoCoV2::MoCoV2(const ResNetOptions& encoder, const MoCoOptions& options, Init init)
    : options_(options),
      encoder_(encoder, init),
      key_encoder_(encoder, init),
      head_(moco_head(encoder_.feature_count(), options.dim, init, options.head_norm)),
      key_head_(moco_head(encoder_.feature_count(), options.dim, init, options.head_norm)),
      queue_(options.queue, options.dim, init.seed, init.dtype, init.device) {
  key_encoder_.set_needs_grad(false);
  key_head_.set_needs_grad(false);
  MoCoV2::encoder_changed();
}

void MoCoV2::encoder_changed() {
  copy_state(encoder_, key_encoder_);
  copy_state(head_, key_head_);
}

void MoCoV2::forward(const Views& views, Step& step, const Emit& emit) {
  Pass pass = Pass::train(step.statistics, options_.base.bn_splits);
  pass.compute = options_.base.compute;
  step.x1 = views.x1;
  step.x2 = views.x2;
  step.queue = queue_.keys();  // [K, d]
  {
    NoGrad keys_take_no_gradient;
    Var v2 = key_encoder_.features(Var(views.x2), pass);               // [B, n]
    step.key = l2_normalize(key_head_.forward(v2, pass)).value();      // k: [B, d]
  }
  Var v1 = embed(Var(views.x1), pass);  // [B, n]
  Var z1 = project(v1, pass);           // [B, d]
  step.v1 = v1.value();
  emit({{"L_C", mean(contrast(z1, step)), 1}});
}

Var MoCoV2::contrast(const Var& z, const Step& step) {
  return queue_loss(l2_normalize(z), step.key, step.queue, options_.base.tau, options_.base.denominator);
}

void MoCoV2::after_step(Step& step) {
  step.statistics.apply();
  std::vector<ops::EmaParameter> list;
  auto follow = [&](Module& slow, Module& fast) {
    auto targets = slow.parameters(), sources = fast.parameters();
    for (size_t i = 0; i < targets.size(); ++i) list.push_back({targets[i].second.value(), sources[i].second.value()});
  };
  follow(key_encoder_, encoder_);
  follow(key_head_, head_);
  ops::ema(list, options_.momentum);
  queue_.enqueue(step.key);
}

void MoCoV2::add_parameters(Optimizer& encoder, Optimizer&) {
  encoder.add("encoder", encoder_);
  encoder.add("head", head_);
}

void MoCoV2::visit(const std::string& prefix, const Visitor& f) {
  encoder_.visit(join_name(prefix, "encoder"), f);
  head_.visit(join_name(prefix, "head"), f);
  key_encoder_.visit(join_name(prefix, "key_encoder"), f);
  key_head_.visit(join_name(prefix, "key_head"), f);
  queue_.visit(join_name(prefix, "queue"), f);
}

}  // namespace plumage
