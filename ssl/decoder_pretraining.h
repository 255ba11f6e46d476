// Before the method proper: the decoder learns to invert the frozen encoder (paper, section 4.1). Also a Method, so
// that the same loop runs it. Next: ssl/pairs.h.
#pragma once
#include <memory>

#include "nn/decoder.h"
#include "ssl/method.h"

namespace plumage {

class DecoderPretraining : public Method {
 public:
  /// Trains `decoder` on L_R alone (eq. 2). A frozen `encoder` runs with its running statistics and never changes; else
  /// it learns along, by the decoder's optimiser: an autoencoder.
  DecoderPretraining(std::unique_ptr<ResNet> encoder, std::unique_ptr<Decoder> decoder, bool frozen = true,
                     DType compute = DType::f32);
  void forward(const Views& views, Step& step, const Emit& emit) override;
  void after_step(Step& step) override { step.statistics.apply(); }
  void add_parameters(Optimizer&, Optimizer& decoder) override;
  ResNet& encoder() override { return *encoder_; }
  Decoder& decoder() { return *decoder_; }
  void visit(const std::string& prefix, const Visitor& f) override;

 private:
  std::unique_ptr<ResNet> encoder_;
  std::unique_ptr<Decoder> decoder_;
  bool frozen_;
  DType compute_;
};

}  // namespace plumage
