// From a configuration to the objects that train. Next: cli/training.h.
#pragma once
#include <memory>

#include "cli/config.h"
#include "ssl/decoder_pretraining.h"
#include "ssl/supervised.h"
#include "ssl/train_step.h"

namespace plumage {

/// The method that config asks for, its parameters drawn from config.seed. images: in the training set (they bound
/// queue and bank). Throws InputError where options contradict each other.
std::unique_ptr<Method> build_method(const Config& config, int64_t images, Device device = {});
std::unique_ptr<Supervised> build_supervised(const Config& config, int64_t classes, Device device = {});
std::unique_ptr<Decoder> build_decoder(const Config& config, int64_t features, Device device = {});
/// The optimisers with the method's parameters in them.
Optimizers build_optimizers(const Config& config, Method& method);

}  // namespace plumage
