// Everything that a bitwise resume needs, in one safetensors file: the method's state, momenta, position.
#pragma once
#include <filesystem>
#include <string>

#include "cli/config.h"
#include "nn/weights/safetensors.h"
#include "ssl/train_step.h"

namespace plumage {

/// Where a run stands.
struct RunState {
  std::string command;            ///< pretrain, pretrain-decoder or supervised
  std::string phase;              ///< "decoder", "method" or "supervised"
  int64_t step = 0;               ///< optimiser steps done in this phase
  int64_t epoch = 0, epoch_step = 0;  ///< of the next batch
};

/// The state of method and optimisers as named tensors; metadata holds config and position.
TensorFile pack_checkpoint(Method& method, Optimizers& optimizers, const RunState& state, const Config& config);
/// Writes it, the last one becoming `previous`. Throws MachineError; the last one then stands.
void save_checkpoint(const std::filesystem::path& file, const std::filesystem::path& previous, const TensorFile& packed);

/// Position and configuration of a checkpoint. Throws InputError if the file was not written by plumage.
RunState read_run_state(const TensorFile& file, const std::string& name);
Config read_checkpoint_config(const TensorFile& file, const std::string& name);
/// Fills method and optimisers from it, strictly.
void restore_checkpoint(const TensorFile& file, const std::string& name, Method& method, Optimizers& optimizers);

}  // namespace plumage
