#include "ssl/pairs.h"

#include "autograd/tape.h"

namespace plumage {

DiscriminativePairs::DiscriminativePairs(std::unique_ptr<BaseMethod> base, std::unique_ptr<Decoder> decoder,
                                         const PairsOptions& options, Init init)
    : base_(std::move(base)), decoder_(std::move(decoder)), options_(options) {
  bank_ = FeatureBank(options.bank_size, encoder().feature_count(), init.dtype, init.device);
  if (options.synth_loss == SynthLoss::simsiam && !base_->has_predictor())
    throw InputError("synth.loss=simsiam: MoCo v2 has no predictor; use synth.loss=infonce or method=simsiam");
  if (options.synth_norm == SynthNorm::separate) {
    synthetic_encoder_ = std::make_unique<ResNet>(encoder().options(), init);
    auto shared = encoder().state();
    size_t i = 0;
    synthetic_encoder_->visit("", [&](const std::string&, Var& value, Role role) {
      if (role == Role::weight) value = shared[i].second;
      ++i;
    });
  }
}

void DiscriminativePairs::encoder_changed() {
  base_->encoder_changed();
  if (synthetic_encoder_) copy_state(encoder(), *synthetic_encoder_);
}

// The step, in the paper's order.
void DiscriminativePairs::forward(const Views& views, Step& step, const Emit& emit) {
  // 1. The base method's own loss on x', x'' (eq. 1).
  base_->forward(views, step, emit);
  if (options_.alpha == 0 && options_.nu == 0) return;

  // 2. One forward of the plain image serves saliency, bank and reconstruction.
  Pass clean = Pass::train(step.statistics, options_.base.bn_splits);
  clean.compute = options_.base.compute;
  step.x = views.x;
  Var v = base_->embed(Var(views.x), clean);  // [B, n]
  step.v = v.value();
  if (options_.nu != 0) {
    find_saliency(v, views, step);  // eq. 3, 4
    fill_bank(step);                // s, section 3.4
    perturb(views, step);           // eq. 5, 6
  }

  // 3. x_hat = h(v), and its distance to x (eq. 2), which reaches decoder and encoder.
  Pass decode = Pass::train(step.statistics);
  decode.compute = options_.base.compute;
  Var x_hat = decoder_->forward(v, decode);  // [B, px, px, 3]
  step.x_hat = x_hat.value();
  Term reconstruction{"L_R", reconstruction_loss(x_hat, views.x), options_.alpha};
  if (options_.nu == 0) return emit({reconstruction});
  bool detached = options_.synth_grad == SynthGrad::detach;
  if (detached) emit({reconstruction});

  // 4. The pair, taken as data unless synth.grad says otherwise, and its contrastive loss (eq. 7).
  Var noise = Var(ops::sub(step.v_p, step.v));  // a constant
  Var start = options_.synth_grad == SynthGrad::full ? v : v.detach();
  Var pair_a = options_.synth_grad == SynthGrad::decoder ? decoder_->forward(start, batch_pass(1)) : x_hat, pair_b;
  {
    std::unique_ptr<NoGrad> as_data(detached ? new NoGrad : nullptr);
    pair_b = decoder_->forward(add(start, noise), batch_pass(1));
  }
  if (detached) pair_a = x_hat.detach();
  step.x_hat_p = pair_b.value();
  Term contrast{"L_Cp", pair_loss(pair_a, pair_b, step), options_.nu};

  // 5. L = L_C + alpha L_R + nu L_Cp (eq. 8): graphs that share nothing were differentiated by themselves.
  if (detached) emit({contrast});
  else emit({reconstruction, contrast});
}

Pass DiscriminativePairs::batch_pass(int64_t groups) const {
  Pass pass = Pass::batch_only(groups);
  pass.compute = options_.base.compute;
  return pass;
}

// eta and eta_bar: the gradient of each image's own contrastive loss with respect to v, through the head alone.
void DiscriminativePairs::find_saliency(const Var& v, const Views& views, Step& step) const {
  Pass pass = batch_pass(options_.base.bn_splits);
  Var leaf(v.value(), true);  // the encoder's graph is not touched
  Var z = base_->project(leaf, pass);  // [B, d]
  step.z = ops::l2_normalize(z.value()).first;
  Step positive;
  positive.key = step.key;
  positive.queue = step.queue;
  if (options_.saliency_query_positive) {
    NoGrad constant;
    positive.key = ops::l2_normalize(base_->project(base_->embed(Var(views.x2), pass), pass).value()).first;
  }
  Var loss = options_.saliency_in_batch
                 ? batch_loss(l2_normalize(z), Var(ops::l2_normalize(positive.key).first), options_.base.tau,
                              options_.base.denominator)
                 : base_->contrast(z, positive);  // [B]
  Tensor g = gradient(sum(loss), {leaf}, {}, /*consume=*/true)[0];  // [B, n]
  step.eta = gradcam(g, step.v, options_.saliency_target);
  step.eta_bar = scale_saliency(step.eta, options_.saliency_scale);
}

// This step's features enter a copy of the bank, from which s is computed; after_step puts them into the bank itself.
void DiscriminativePairs::fill_bank(Step& step) const {
  step.banked.clear();
  if (options_.bank_source != BankSource::clean)
    for (const Tensor& view : {step.v1, step.v2})
      if (view.defined()) step.banked.push_back(view);
  if (options_.bank_source != BankSource::views) step.banked.push_back(step.v);
  step.next_bank = bank_.with(step.banked);
  step.bank = step.next_bank.filled_rows();
  step.s = step.next_bank.spread(options_.perturb.criterion);  // [n]
}

void DiscriminativePairs::perturb(const Views& views, Step& step) const {
  const PerturbOptions& o = options_.perturb;
  const Shape& shape = step.v.shape();  // [B, n]
  DType dtype = step.v.dtype();
  Tensor scale = step.next_bank.rms_std();  // rank 0, of the features, over the bank
  Tensor unit = o.feature_units ? scale : Tensor();
  Tensor std_g = gradcam_noise_std(step.eta_bar, o, unit);  // [B, n]
  LowVariance low = low_variance(step.s, o, unit);          // [n]
  step.s_bar = low.s_bar;
  bool enough = step.next_bank.filled() >= std::min(options_.bank_min_fill * shape[0], step.next_bank.size());
  auto draw = [&](Purpose purpose) {
    uint64_t number = views.clock.defined() ? 0 : uint64_t(views.step);
    return ops::normal(shape, {views.seed, purpose, number}, 0, 1, dtype, step.v.device(), views.clock);
  };
  step.noise_g = ops::mul(draw(Purpose::noise_gradcam), std_g);
  step.noise_var = enough ? ops::mul(draw(Purpose::noise_variance), low.std) : Tensor::zeros(shape, dtype, step.v.device());
  step.v_p = ops::add(ops::add(step.v, step.noise_g), step.noise_var);
  if (o.clamp) step.v_p = ops::relu(step.v_p);

  auto rms = [](const Tensor& t) { return ops::unary(UnaryFn::sqrt, ops::mean(ops::mul(t, t))); };
  Tensor spread = ops::binary(BinaryFn::maximum, scale, Tensor::scalar(1e-12, dtype, step.v.device()));
  step.gauge_values["selected_share"] = enough ? ops::mean(low.selected) : Tensor::scalar(0, dtype, step.v.device());
  step.gauge_values["rms_one_minus_eta_bar"] = rms(ops::affine(step.eta_bar, -1, 1));
  step.gauge_values["noise_to_signal_gradcam"] = ops::div(rms(step.noise_g), spread);
  step.gauge_values["noise_to_signal_lowvar"] = ops::div(rms(step.noise_var), spread);
  step.gauge_values["feature_rms_std"] = scale;
}

Var DiscriminativePairs::embed_synthetic(const Var& images, const Pass& pass) const {
  return synthetic_encoder_ ? synthetic_encoder_->features(images, pass) : base_->embed(images, pass);
}

// z_hat and z_hat_p in one forward; each half has batch statistics of its own.
Var DiscriminativePairs::pair_loss(const Var& x_hat, const Var& x_hat_p, Step& step) const {
  int64_t batch = x_hat.size(0), groups = 2 * options_.base.bn_splits;
  Pass pass = batch_pass(groups);
  pass.recompute = true;  // twice the batch: the step's peak of memory is here
  if (options_.synth_norm != SynthNorm::batch_only) {
    pass.statistics = Statistics::batch_and_update;
    pass.updates = &step.statistics;
  }
  Var raw = base_->project(embed_synthetic(concat({x_hat, x_hat_p}, 0), pass), batch_pass(groups));  // [2B, d]
  Var unit = l2_normalize(raw);
  Var z_hat = slice(unit, 0, batch), z_hat_p = slice(unit, batch, batch);  // [B, d] each
  step.z_hat = z_hat.value();
  step.z_hat_p = z_hat_p.value();
  if (options_.synth_loss == SynthLoss::simsiam) {
    // Each half is predicted towards the other, whose gradient is stopped.
    Tensor other = ops::concat({step.z_hat_p, step.z_hat}, 0);
    return mean(base_->predict_contrast(raw, other, batch_pass(groups)));
  }
  auto loss = options_.synth_symmetric ? symmetric_batch_loss : batch_loss;
  return mean(loss(z_hat, z_hat_p, options_.synth_tau, options_.synth_denominator));
}

void DiscriminativePairs::after_step(Step& step) {
  base_->after_step(step);
  for (const Tensor& rows : step.banked) bank_.add(rows);
}

void DiscriminativePairs::add_parameters(Optimizer& encoder, Optimizer& decoder) {
  base_->add_parameters(encoder, decoder);
  decoder.add("decoder", *decoder_);
  if (synthetic_encoder_) encoder.add_norms("synthetic_encoder", *synthetic_encoder_);
}

void DiscriminativePairs::visit(const std::string& prefix, const Visitor& f) {
  base_->visit(prefix, f);
  decoder_->visit(join_name(prefix, "decoder"), f);
  bank_.visit(join_name(prefix, "bank"), f);
  if (synthetic_encoder_)
    synthetic_encoder_->visit(join_name(prefix, "synthetic_encoder"), [&](const std::string& name, Var& value, Role role) {
      if (role == Role::norm || role == Role::buffer) f(name, value, role);
    });
}

}  // namespace plumage
