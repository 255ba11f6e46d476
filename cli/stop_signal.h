// SIGINT and SIGTERM: finish the step, save, leave with 130 or 143.
#pragma once

namespace plumage {

/// From now on the first SIGINT or SIGTERM is only noted; a second one ends the program at once.
void watch_signals();
/// The signal that arrived, or 0.
int stop_signal();

}  // namespace plumage
