// Learning rates over a run, as factors of the base rate.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace plumage {

struct ScheduleOptions {
  std::string kind = "cosine";     ///< cosine, step or constant
  double warmup_epochs = 0;        ///< linear from 0
  std::vector<double> milestones;  ///< step: epochs at which the factor is multiplied by gamma
  double gamma = 0.1;
  bool by_epoch = false;           ///< cosine moves once an epoch (as MoCo's script) instead of every step
};

/// Factor at `step` of epochs * steps_per_epoch; cosine: 0.5 (1 + cos(pi t / T)). Throws InputError, unknown kind.
double schedule_factor(const ScheduleOptions& options, int64_t step, int64_t steps_per_epoch, int64_t epochs);

}  // namespace plumage
