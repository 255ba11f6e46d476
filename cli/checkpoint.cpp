#include "cli/checkpoint.h"

#include <charconv>

#include "nn/weights/state.h"

namespace plumage {

namespace {

const char* kFormat = "plumage-run-1";

void visit_optimizers(Optimizers& optimizers, const std::function<void(const std::string&, Tensor&)>& f) {
  optimizers.encoder.visit_state([&](const std::string& name, Tensor& value) { f("optimizer.encoder/" + name, value); });
  optimizers.decoder.visit_state([&](const std::string& name, Tensor& value) { f("optimizer.decoder/" + name, value); });
}

std::string metadata(const TensorFile& file, const char* key, const std::string& name) {
  auto found = file.metadata.find(key);
  if (found == file.metadata.end()) throw InputError(message(name, ": no `", key, "` in its metadata; not a checkpoint of a plumage run"));
  return found->second;
}

int64_t metadata_number(const TensorFile& file, const char* key, const std::string& name) {
  std::string text = metadata(file, key, name);
  int64_t value = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    throw InputError(message(name, ": metadata ", key, "=", text, " is no count"));
  return value;
}

}  // namespace

TensorFile pack_checkpoint(Method& method, Optimizers& optimizers, const RunState& state, const Config& config) {
  TensorFile file;
  store_state(method, "", file.tensors);
  visit_optimizers(optimizers, [&](const std::string& name, Tensor& value) { file.tensors[name] = value.to(Device{}); });
  file.metadata = {{"format", kFormat},
                   {"command", state.command},
                   {"phase", state.phase},
                   {"step", std::to_string(state.step)},
                   {"epoch", std::to_string(state.epoch)},
                   {"epoch_step", std::to_string(state.epoch_step)},
                   {"config", config_text(config)}};
  return file;
}

void save_checkpoint(const std::filesystem::path& file, const std::filesystem::path& previous, const TensorFile& packed) {
  std::filesystem::path fresh = file;
  fresh += ".new";
  write_safetensors(fresh, packed);
  std::error_code error;
  if (std::filesystem::exists(file, error)) {
    // A hard link first: at no moment is there no checkpoint.
    std::filesystem::remove(previous, error);
    std::filesystem::create_hard_link(file, previous, error);
    if (error) std::filesystem::copy_file(file, previous, std::filesystem::copy_options::overwrite_existing, error);
  }
  std::filesystem::rename(fresh, file, error);
  if (error) throw MachineError(message(file.string(), ": cannot be written: ", error.message()));
}

RunState read_run_state(const TensorFile& file, const std::string& name) {
  if (metadata(file, "format", name) != kFormat)
    throw InputError(message(name, ": format ", file.metadata.at("format"), ", this program reads ", kFormat));
  return {metadata(file, "command", name), metadata(file, "phase", name), metadata_number(file, "step", name),
          metadata_number(file, "epoch", name), metadata_number(file, "epoch_step", name)};
}

Config read_checkpoint_config(const TensorFile& file, const std::string& name) {
  Config config;
  read_config_text(metadata(file, "config", name), name + " (its configuration)", config);
  return config;
}

void restore_checkpoint(const TensorFile& file, const std::string& name, Method& method, Optimizers& optimizers) {
  std::map<std::string, Tensor> model, momenta;
  for (const auto& [key, value] : file.tensors) (key.rfind("optimizer.", 0) == 0 ? momenta : model)[key] = value;
  load_state(method, model, {.file_name = name});
  visit_optimizers(optimizers, [&](const std::string& key, Tensor& value) {
    auto found = momenta.find(key);
    if (found == momenta.end()) throw InputError(message(name, ": ", key, " is missing; the checkpoint is not complete"));
    if (!(found->second.shape() == value.shape()) || found->second.dtype() != value.dtype())
      throw InputError(message(name, ": ", key, " is ", found->second.shape().str(), ", wanted ", value.shape().str()));
    value.copy_from(found->second);
  });
}

}  // namespace plumage
