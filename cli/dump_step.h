// `pretrain --dump-step FILE`: every named quantity of one training step in a safetensors file, so that a reader can
// follow the step with numbers in hand and another program can check it (docs/one-training-step.md).
#pragma once
#include <filesystem>
#include <optional>

#include "cli/config.h"
#include "nn/weights/safetensors.h"
#include "ssl/train_step.h"

namespace plumage {

class StepDump {
 public:
  /// Takes param/NAME now, before the step. Without a file everything here does nothing.
  StepDump(const std::optional<std::filesystem::path>& file, Method& method, const Config& config);
  /// Takes grad/NAME, and the queue as the step saw it.
  BeforeUpdate before_update();
  /// Adds after/NAME, the step's quantities (images NHWC, as the network saw them), `loss` and the terms; writes.
  void write(const Step& step, const StepResult& result);

 private:
  std::optional<std::filesystem::path> path_;
  Method& method_;
  TensorFile file_;
};

}  // namespace plumage
