#include "ssl/decoder_pretraining.h"

namespace plumage {

DecoderPretraining::DecoderPretraining(std::unique_ptr<ResNet> encoder, std::unique_ptr<Decoder> decoder,
                                       bool frozen, DType compute)
    : encoder_(std::move(encoder)), decoder_(std::move(decoder)), frozen_(frozen), compute_(compute) {
  encoder_->set_needs_grad(!frozen);
}

void DecoderPretraining::add_parameters(Optimizer&, Optimizer& decoder) {
  if (!frozen_) decoder.add("encoder", *encoder_);
  decoder.add("decoder", *decoder_);
}

void DecoderPretraining::forward(const Views& views, Step& step, const Emit& emit) {
  Pass learn = Pass::train(step.statistics), encode = frozen_ ? Pass::eval() : learn;
  learn.compute = encode.compute = compute_;
  Var v = encoder_->features(Var(views.x), encode);  // [B, n]
  if (frozen_) v = v.detach();
  Var x_hat = decoder_->forward(v, learn);  // [B, px, px, 3]
  step.x = views.x;
  step.v = v.value();
  step.x_hat = x_hat.value();
  emit({{"L_R", reconstruction_loss(x_hat, views.x), 1}});
}

void DecoderPretraining::visit(const std::string& prefix, const Visitor& f) {
  encoder_->visit(join_name(prefix, "encoder"), f);
  decoder_->visit(join_name(prefix, "decoder"), f);
}

}  // namespace plumage
