// The program `plumage`: one file a command; this one only routes, and turns errors into one line and an exit code.
#include "cli/commands.h"
#include "tensor/env.h"

int main(int argc, char** argv) {
  plumage::let_waiting_threads_sleep(argv);
  return plumage::run_program(argc, argv);
}
