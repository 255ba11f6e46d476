#include "cli/dump_step.h"

#include "nn/weights/state.h"

namespace plumage {

namespace {

// As files hold it: convolution weights OIHW.
Tensor as_stored(const Tensor& value, Role role) {
  return role == Role::weight && value.rank() == 4 ? to_oihw(value) : value.clone();
}

}  // namespace

StepDump::StepDump(const std::optional<std::filesystem::path>& file, Method& method, const Config& config)
    : path_(file), method_(method) {
  if (!path_) return;
  file_.metadata["config"] = config_text(config);
  method_.visit("", [&](const std::string& name, Var& value, Role role) {
    file_.tensors["param/" + name] = as_stored(value.value(), role);
  });
}

BeforeUpdate StepDump::before_update() {
  if (!path_) return {};
  return [this](const Step& step) {
    method_.visit("", [&](const std::string& name, Var& value, Role role) {
      if (value.grad().defined()) file_.tensors["grad/" + name] = as_stored(value.grad(), role);
    });
    step.visit([&](const char* name, const Tensor& value) { file_.tensors[name] = value.clone(); });
  };
}

void StepDump::write(const Step& step, const StepResult& result) {
  if (!path_) return;
  method_.visit("", [&](const std::string& name, Var& value, Role role) {
    file_.tensors["after/" + name] = as_stored(value.value(), role);
  });
  for (const auto& [name, value] : step.terms) file_.tensors[name] = Tensor::scalar(value, DType::f64);
  file_.tensors["loss"] = Tensor::scalar(result.loss, DType::f64);
  write_safetensors(*path_, file_);
}

}  // namespace plumage
