#include "ssl/step.h"

namespace plumage {

void Step::visit(const std::function<void(const char*, const Tensor&)>& f) const {
  const std::pair<const char*, const Tensor*> all[] = {
      {"x", &x}, {"x1", &x1}, {"x2", &x2}, {"key", &key}, {"queue", &queue}, {"v1", &v1}, {"v2", &v2}, {"v", &v}, {"z", &z},
      {"eta", &eta}, {"eta_bar", &eta_bar}, {"bank", &bank}, {"s", &s}, {"s_bar", &s_bar}, {"noise_g", &noise_g},
      {"noise_var", &noise_var}, {"v_p", &v_p}, {"x_hat", &x_hat}, {"x_hat_p", &x_hat_p}, {"z_hat", &z_hat}, {"z_hat_p", &z_hat_p}};
  for (auto [name, tensor] : all)
    if (tensor->defined()) f(name, *tensor);
}

}  // namespace plumage
