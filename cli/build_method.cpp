#include "cli/build_method.h"

namespace plumage {

namespace {

// One seed for each part, so that adding a decoder changes no weight of the encoder.
Init init_of(const Config& config, uint64_t part, Device device) { return {config.seed, DType::f32, part << 32, device}; }

std::unique_ptr<BaseMethod> build_base(const Config& config, int64_t images, Device device) {
  if (config.method == "moco") {
    MoCoOptions options = config.moco;
    options.base = config.base;
    options.queue = queue_size(config.moco.queue, images, config.train.batch);
    return std::make_unique<MoCoV2>(config.encoder, options, init_of(config, 0, device));
  }
  SimSiamOptions options = config.simsiam;
  options.base = config.base;
  return std::make_unique<SimSiam>(config.encoder, options, init_of(config, 0, device));
}

}  // namespace

std::unique_ptr<Decoder> build_decoder(const Config& config, int64_t features, Device device) {
  Init init = init_of(config, 1, device);
  return make_decoder(config.decoder.model, config.encoder, features, config.train.size, init);
}

std::unique_ptr<Method> build_method(const Config& config, int64_t images, Device device) {
  std::unique_ptr<BaseMethod> base = build_base(config, images, device);
  if (!config.uses_pairs()) return base;
  PairsOptions options = config.pairs;
  options.base = config.base;
  options.bank_size = std::max<int64_t>(2, std::min(config.pairs.bank_size, images));
  auto decoder = build_decoder(config, base->encoder().feature_count(), device);
  return std::make_unique<DiscriminativePairs>(std::move(base), std::move(decoder), options, init_of(config, 2, device));
}

std::unique_ptr<Supervised> build_supervised(const Config& config, int64_t classes, Device device) {
  ResNetOptions encoder = config.encoder;
  encoder.classes = classes;
  return std::make_unique<Supervised>(encoder, config.base, init_of(config, 0, device));
}

Optimizers build_optimizers(const Config& config, Method& method) {
  Optimizers optimizers{Optimizer(config.optim), Optimizer(config.decoder.optim)};
  method.add_parameters(optimizers.encoder, config.decoder.own_optimizer ? optimizers.decoder : optimizers.encoder);
  return optimizers;
}

}  // namespace plumage
