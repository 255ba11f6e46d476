#include "ssl/decoder_pretraining.h"

namespace plumage {

DecoderPretraining::DecoderPretraining(std::unique_ptr<ResNet> encoder, std::unique_ptr<Decoder> decoder, DType compute)
    : encoder_(std::move(encoder)), decoder_(std::move(decoder)), compute_(compute) {
  encoder_->set_needs_grad(false);
}

void DecoderPretraining::forward(const Views& views, Step& step, const Emit& emit) {
  Pass frozen = Pass::eval(), decode = Pass::train(step.statistics);
  frozen.compute = decode.compute = compute_;
  Var v = encoder_->features(Var(views.x), frozen).detach();  // [B, n]
  Var x_hat = decoder_->forward(v, decode);                    // [B, px, px, 3]
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
