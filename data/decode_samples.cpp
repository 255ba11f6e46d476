// One counter that threads take samples from, and the first failure that stops them all.
#include "data/decode_samples.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "data/resize.h"
#include "tensor/env.h"
#include "tensor/errors.h"

namespace plumage {
namespace {

constexpr int kMaxThreads = 1024;

Image reduced(Image image, int64_t short_side) {
  int64_t side = std::min(image.width, image.height);
  if (short_side <= 0 || side <= short_side) return image;
  return resize(view(image), image.width * short_side / side, image.height * short_side / side);
}

class Decoding {
 public:
  Decoding(const Dataset& dataset, const DecodeOptions& options,
           const std::function<void(int64_t, Image&&, const std::string&)>& keep)
      : dataset_(dataset), options_(options), keep_(keep) {}

  void run() {
    std::vector<std::jthread> threads;
    int64_t count = std::min<int64_t>(worker_threads(options_.threads), dataset_.size());
    for (int64_t t = 0; t < count; ++t) threads.emplace_back([this] { work(); });
    std::unique_lock lock(mutex_);
    while (done_ < dataset_.size() && !failed_) {
      changed_.wait_for(lock, std::chrono::milliseconds(200));
      if (!options_.progress) continue;
      lock.unlock();
      options_.progress(done_, dataset_.size());
      lock.lock();
    }
    lock.unlock();
    threads.clear();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void work() {
    for (int64_t i; !failed_ && (i = next_++) < dataset_.size();) {
      try {
        decode(i);
      } catch (...) {
        std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
        failed_ = true;
      }
      if (++done_ < dataset_.size() && !failed_) continue;
      std::lock_guard lock(mutex_);
      changed_.notify_one();
    }
  }

  void decode(int64_t i) {
    const Sample& sample = dataset_.samples[size_t(i)];
    Image image;
    std::string problem;
    try {
      image = reduced(load_sample(sample), options_.short_side);
    } catch (const InputError& error) {
      problem = error.what();
    } catch (const std::bad_alloc&) {
      throw MachineError(sample.path.string() + ": not enough memory to decode it");
    }
    keep_(i, std::move(image), problem);
  }

  const Dataset& dataset_;
  const DecodeOptions& options_;
  const std::function<void(int64_t, Image&&, const std::string&)>& keep_;
  std::atomic<int64_t> next_ = 0, done_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::exception_ptr failure_;
};

}  // namespace

int worker_threads(int wanted) {
  if (wanted > kMaxThreads) throw InputError(message(wanted, " threads: at most ", kMaxThreads));
  if (wanted > 0) return wanted;
  if (environment().threads > 0) return environment().threads;
  return std::max(1, int(std::thread::hardware_concurrency()));
}

void decode_samples(const Dataset& dataset, const DecodeOptions& options,
                    const std::function<void(int64_t, Image&&, const std::string&)>& keep) {
  Decoding(dataset, options, keep).run();
}

}  // namespace plumage
