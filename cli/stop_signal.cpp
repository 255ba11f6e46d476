#include "cli/stop_signal.h"

#include <csignal>

namespace plumage {

namespace {
volatile std::sig_atomic_t arrived = 0;

void note(int signal) {
  arrived = signal;
  std::signal(signal, SIG_DFL);
}
}  // namespace

void watch_signals() {
  arrived = 0;
  std::signal(SIGINT, note);
  std::signal(SIGTERM, note);
}

int stop_signal() { return arrived; }

}  // namespace plumage
