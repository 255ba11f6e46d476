// The program `plumage`: one file a command; this one only routes, and turns errors into one line and an exit code.
#include <unistd.h>

#include <cstdlib>

#include "cli/commands.h"

namespace {

// A waiting thread of libgomp spins for longer than a time slice, in which the thread that it waits for could have run if
// something else has the other core: steps beside another program took 1.6 times as long. libgomp reads its settings
// before main(), so the program starts itself again, once.
void sleep_soon(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  setenv("GOMP_SPINCOUNT", "2000", 1);
  execv("/proc/self/exe", argv);  // where there is no /proc, it goes on as it is
}

}  // namespace

int main(int argc, char** argv) {
  sleep_soon(argv);
  return plumage::run_program(argc, argv);
}
