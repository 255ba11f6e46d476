#include "cli/dump_step.h"

#include "nn/weights/state.h"

namespace plumage {

StepDump::StepDump(const std::optional<std::filesystem::path>& file, Method& method, const Config& config)
    : path_(file), method_(method) {
  if (!path_) return;
  file_.metadata["config"] = config_text(config);
  file_.metadata["compute"] = name_of(used_compute_type(method.encoder().device(), config.base.compute));
  method_.visit("", [&](const std::string& name, Var& value, Role) {
    file_.tensors["param/" + name] = as_stored(value.value());
  });
}

BeforeUpdate StepDump::before_update() {
  if (!path_) return {};
  return [this](const Step& step) {
    method_.visit("", [&](const std::string& name, Var& value, Role) {
      if (value.grad().defined()) file_.tensors["grad/" + name] = as_stored(value.grad());
    });
    step.visit([&](const char* name, const Tensor& value) { file_.tensors[name] = value.to(Device{}).clone(); });
  };
}

void StepDump::write(const Step& step, const StepResult& result) {
  if (!path_) return;
  method_.visit("", [&](const std::string& name, Var& value, Role) {
    file_.tensors["after/" + name] = as_stored(value.value());
  });
  for (const auto& [name, value] : step.terms) file_.tensors[name] = Tensor::scalar(value, DType::f64);
  file_.tensors["loss"] = Tensor::scalar(result.loss, DType::f64);
  write_safetensors(*path_, file_);
}

}  // namespace plumage
