// Every environment variable that plumage reads, in one place (docs/environment.md lists them).
#pragma once
#include <string>

namespace plumage {

struct Environment {
  bool alloc_plain = false;  ///< PLUMAGE_ALLOC=plain: no reuse of memory, for sanitizers
  int threads = 0;           ///< PLUMAGE_THREADS=N: worker threads of the kernels; 0: one a core
  bool debug = false;        ///< PLUMAGE_DEBUG=1: errors say where they were thrown from
  bool trace = false;        ///< PLUMAGE_TRACE=1: every op on standard error with its shapes and time
  std::string backend;       ///< PLUMAGE_BACKEND=ref: run every op by its plain definition
  std::string plans;         ///< PLUMAGE_PLANS=FOLDER: time cuDNN's engines and keep the choices there
  bool unfused = false;      ///< PLUMAGE_UNFUSED=1: with it, no kernel that makes a convolution and its statistics: they compile at every start
};

/// Read once, at the first call. Throws InputError for a value that is not understood.
const Environment& environment();

/// "PLUMAGE_THREADS=2 ..." for what is set, or an empty string.
std::string environment_summary();

/// For the first line of main(). A waiting thread of libgomp spins for longer than a time slice, in which the thread that it
/// waits for could have run if something else has the other core: steps beside another program took 1.6 times as long.
/// libgomp reads GOMP_SPINCOUNT before main(), so this sets it and starts the program again, once; nothing happens where
/// it or OMP_WAIT_POLICY is set, or where there is no /proc.
void let_waiting_threads_sleep(char** argv);

}  // namespace plumage
