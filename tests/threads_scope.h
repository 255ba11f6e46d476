// Kernels run on n threads while one lives.
#pragma once
#include "tensor/context.h"

namespace plumage::test {

struct ThreadsScope {
  explicit ThreadsScope(int n) : saved(Context::cpu().threads()) { Context::cpu().set_threads(n); }
  ~ThreadsScope() { Context::cpu().set_threads(saved); }
  ThreadsScope(const ThreadsScope&) = delete;
  ThreadsScope& operator=(const ThreadsScope&) = delete;
  int saved;
};

}  // namespace plumage::test
