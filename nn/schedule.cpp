#include "nn/schedule.h"

#include <algorithm>
#include <cmath>

#include "tensor/errors.h"

namespace plumage {

double schedule_factor(const ScheduleOptions& options, int64_t step, int64_t steps_per_epoch,
                       int64_t epochs) {
  if (steps_per_epoch < 1 || epochs < 1)
    throw InputError(
        message("schedule: ", epochs, " epochs of ", steps_per_epoch, " steps: wanted at least 1"));
  if (!(options.warmup_epochs >= 0)) throw InputError("schedule: warmup_epochs is negative");
  double epoch = double(step) / double(steps_per_epoch), warmup = options.warmup_epochs;
  if (epoch < warmup) return epoch / warmup;  // by step even where the rest moves by epoch
  if (options.by_epoch) epoch = std::floor(epoch);
  if (options.kind == "constant") return 1;
  if (options.kind == "step") {
    double factor = 1;
    for (double milestone : options.milestones) factor *= epoch >= milestone ? options.gamma : 1;
    return factor;
  }
  if (options.kind == "cosine") {
    double length = double(epochs) - warmup;
    double done = length > 0 ? std::clamp((epoch - warmup) / length, 0.0, 1.0) : 1;
    return 0.5 * (1 + std::cos(M_PI * done));
  }
  throw InputError("schedule '" + options.kind + "' is unknown: wanted cosine, step or constant");
}

}  // namespace plumage
