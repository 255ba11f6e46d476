#include "tensor/env.h"

#include <unistd.h>

#include <cstdlib>

#include "tensor/errors.h"

namespace plumage {

namespace {

std::string read(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool read_flag(const char* name) {
  std::string value = read(name);
  if (value.empty() || value == "0") return false;
  if (value == "1") return true;
  throw InputError(message(name, "=", value, ": wanted 0 or 1"));
}

Environment read_all() {
  Environment e;
  std::string alloc = read("PLUMAGE_ALLOC");
  if (!alloc.empty() && alloc != "plain" && alloc != "caching")
    throw InputError(message("PLUMAGE_ALLOC=", alloc, ": wanted plain or caching"));
  e.alloc_plain = alloc == "plain";
  if (std::string threads = read("PLUMAGE_THREADS"); !threads.empty()) {
    char* end = nullptr;
    long n = std::strtol(threads.c_str(), &end, 10);
    if (*end || n < 1 || n > 1024) throw InputError(message("PLUMAGE_THREADS=", threads, ": wanted 1 to 1024"));
    e.threads = int(n);
  }
  e.debug = read_flag("PLUMAGE_DEBUG");
  e.trace = read_flag("PLUMAGE_TRACE");
  e.plans = read("PLUMAGE_PLANS");
  e.unfused = read_flag("PLUMAGE_UNFUSED");
  e.backend = read("PLUMAGE_BACKEND");
  if (!e.backend.empty() && e.backend != "ref" && e.backend != "cpu")
    throw InputError(message("PLUMAGE_BACKEND=", e.backend, ": wanted ref or cpu"));
  return e;
}

}  // namespace

const Environment& environment() {
  static const Environment e = read_all();
  return e;
}

std::string environment_summary() {
  std::string out;
  for (const char* name : {"PLUMAGE_ALLOC", "PLUMAGE_THREADS", "PLUMAGE_DEBUG", "PLUMAGE_TRACE", "PLUMAGE_BACKEND", "PLUMAGE_PLANS", "PLUMAGE_UNFUSED"})
    if (std::string value = read(name); !value.empty()) out += (out.empty() ? "" : " ") + (name + ("=" + value));
  return out;
}

void let_waiting_threads_sleep(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  setenv("GOMP_SPINCOUNT", "2000", 1);
  execv("/proc/self/exe", argv);
}

}  // namespace plumage
