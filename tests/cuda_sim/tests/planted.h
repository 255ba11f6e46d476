// For tests of the simulated device: launching a kernel, and running what must abort in a child.
#pragma once
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <tuple>
#include <vector>

#include "cuda_runtime.h"
#include "tests/cuda_sim/control.h"

/// Like tensor/backend/cuda/launch.h, without plumage.
template <class... P, class... A>
cudaError_t start(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                  A... arguments) {
  std::tuple<P...> values(static_cast<P>(arguments)...);
  return std::apply(
      [&](auto&... value) {
        void* pointers[] = {&value..., nullptr};
        return cudaLaunchKernel(kernel, grid, block, pointers, shared_bytes, stream);
      },
      values);
}

/// What a child that runs `body` says on its error stream; `ended` tells how it ended.
struct Child {
  std::string said;
  bool aborted = false, exited_well = false;
  bool says(const std::string& words) const { return said.find(words) != std::string::npos; }
};

template <class Body>
Child in_child(Body body) {
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  std::fflush(nullptr);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(ends[1], 2);
    close(ends[0]);
    std::signal(SIGABRT, SIG_DFL);  // doctest has its own
    body();
    std::_Exit(0);
  }
  close(ends[1]);
  Child child;
  char buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
    child.said.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  child.aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
  child.exited_well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return child;
}

/// n values on the device, filled from `values` or left as they are born.
template <class T>
struct OnDevice {
  T* data = nullptr;
  size_t count;
  explicit OnDevice(size_t n) : count(n) {
    if (cudaMalloc(reinterpret_cast<void**>(&data), n * sizeof(T))) std::abort();
  }
  explicit OnDevice(const std::vector<T>& values) : OnDevice(values.size()) {
    if (cudaMemcpy(data, values.data(), count * sizeof(T), cudaMemcpyHostToDevice)) std::abort();
    if (cudaDeviceSynchronize())
      std::abort();  // such a copy may end after the call; only blocking streams wait for it
  }
  ~OnDevice() { cudaFree(data); }
  OnDevice(const OnDevice&) = delete;
  std::vector<T> host() const {
    std::vector<T> values(count);
    if (cudaDeviceSynchronize()) std::abort();
    if (cudaMemcpy(values.data(), data, count * sizeof(T), cudaMemcpyDeviceToHost)) std::abort();
    return values;
  }
};

/// In a build with the race detector whatever plants a race runs in races_test.cpp, and only there.
#ifdef __SANITIZE_THREAD__
constexpr bool kWatched = true;
#else
constexpr bool kWatched = false;
#endif

/// Sets the orders in this scope.
struct Seeded {
  explicit Seeded(uint64_t seed) { cuda_sim::set_seed(seed); }
  ~Seeded() { cuda_sim::set_seed(1); }
};

/// Every order that a test of orders tries: the plain one and some of each temper of the streams.
constexpr uint64_t kSeeds[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
