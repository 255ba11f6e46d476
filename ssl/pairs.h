// The paper's method over any base method: synthesized pairs that differ where the features matter little.
// pairs.cpp shows one step in the order of the paper. Next: nn/decoder.h, then ssl/train_step.h.
#pragma once
#include <memory>

#include "nn/decoder.h"
#include "ssl/method.h"
#include "ssl/perturb.h"

namespace plumage {

/// What makes up the gradient of L_Cp (docs/paper-notes.md, f).
enum class SynthGrad {
  detach,   ///< the images are data: no gradient through the decoder
  decoder,  ///< reaches the decoder
  full,     ///< reaches the decoder and, through v, the encoder
};
enum class SynthLoss { infonce, simsiam };
enum class BankSource { clean, views, all };
enum class SynthNorm {
  batch_only,  ///< batch statistics of the synthetic images; running statistics are not touched
  update,      ///< and folded into the encoder's running statistics
  separate,    ///< batch norms of their own (weights, biases and running statistics) for synthetic images
};

struct PairsOptions {
  double alpha = 1, nu = 0.5;  ///< paper, eq. 8
  PerturbOptions perturb;
  SaliencyTarget saliency_target = SaliencyTarget::loss;
  SaliencyScale saliency_scale = SaliencyScale::minmax;
  bool saliency_in_batch = false;       ///< saliency.negatives: the batch's instead of the base method's own
  bool saliency_query_positive = false; ///< saliency.positive: z'' by the query encoder instead of the key encoder
  SynthGrad synth_grad = SynthGrad::detach;
  SynthLoss synth_loss = SynthLoss::infonce;
  Denominator synth_denominator = Denominator::without_positive;
  double synth_tau = 0.2;
  bool synth_symmetric = true;          ///< mean of both directions of eq. 7
  SynthNorm synth_norm = SynthNorm::batch_only;
  int64_t bank_size = 5632;
  BankSource bank_source = BankSource::clean;
  int64_t bank_min_fill = 2;            ///< batches in the bank before eq. 6 adds noise
  BaseOptions base;                     ///< as given to the base method
};

class DiscriminativePairs : public Method {
 public:
  DiscriminativePairs(std::unique_ptr<BaseMethod> base, std::unique_ptr<Decoder> decoder, const PairsOptions& options, Init init);
  void forward(const Views& views, Step& step, const Emit& emit) override;
  void after_step(Step& step) override;
  void add_parameters(Optimizer& encoder, Optimizer& decoder) override;
  int64_t phase() const override { return bank_.filled(); }
  ResNet& encoder() override { return base_->encoder(); }
  void encoder_changed() override;
  Decoder& decoder() { return *decoder_; }
  BaseMethod& base() { return *base_; }
  void visit(const std::string& prefix, const Visitor& f) override;

 private:
  Pass batch_pass(int64_t groups) const;
  void find_saliency(const Var& v, const Views& views, Step& step) const;
  void fill_bank(Step& step) const;
  void perturb(const Views& views, Step& step) const;
  Var embed_synthetic(const Var& images, const Pass& pass) const;
  Var pair_loss(const Var& x_hat, const Var& x_hat_p, Step& step) const;

  std::unique_ptr<BaseMethod> base_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<ResNet> synthetic_encoder_;  // SynthNorm::separate: shares all but the batch norms
  PairsOptions options_;
  FeatureBank bank_;
};

}  // namespace plumage
