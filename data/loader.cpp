// The worker threads behind the loader. Each takes one picture of one batch at a time; what it writes depends
// on that picture's key alone, so who does the work and when cannot be seen in the batch.
#include "data/loader.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>

#include "data/decode_samples.h"
#include "data/device_pictures.h"
#include "tensor/errors.h"
#include "tensor/philox.h"

namespace plumage {
namespace {

constexpr int64_t kMaxQueue = 1024;
constexpr size_t kStreamed = 2;  // batches on their way to a device: one that waits for its step, one that is being copied

// The workers share the cores with the training step, whose threads wait for each other many times in it: one
// of them put aside for a worker's time slice stops them all. Views are work that somebody has to do, but not
// just then. So the workers step back behind the step: they get what it leaves, and all the cores once it
// waits for data. That other programs at the usual priority could then hold them up does not hold up the
// step: next() makes what is missing of its batch itself.
constexpr int kNicer = 10;

void step_back() {
  // Linux counts a thread as a process here; who may not be nicer than now stays as it is.
  id_t thread = id_t(gettid());
  setpriority(PRIO_PROCESS, thread, getpriority(PRIO_PROCESS, thread) + kNicer);
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A batch on its way.
struct Pending {
  Batch batch;
  int64_t size = 0, taken = 0, done = 0;  // pictures
  StreamedPictures* streamed = nullptr;   // what they are put into if the views are made on a device
  int64_t failed_slot = 0;
  std::exception_ptr failure;  // of the first picture that failed, whoever failed first

  void fail(int64_t slot, std::exception_ptr error) {
    if (!failure || slot < failed_slot) {
      failure = error;
      failed_slot = slot;
    }
  }
};

}  // namespace

struct Loader::Workers {
  Workers(const ImageCache& cache, std::vector<View> plan, const LoaderOptions& options, Position start);
  ~Workers();

  void check() const;
  void normalise(Position& position) const;
  bool exhausted(const Position& position) const { return options.evaluation && position.epoch > 0; }
  void run();
  Pending* pending_with_work();
  Pending& begin_batch();
  void make_device_views(Pending& pending);
  void prepare(const Pending& pending, int64_t slot, Image& scratch);
  void make_next_picture(Pending& pending, Image& scratch, std::unique_lock<std::mutex>& lock);

  const ImageCache& cache;
  const std::vector<View> plan;
  const LoaderOptions options;
  int64_t steps = 0;

  std::mutex mutex;
  std::condition_variable work, ready;  // for the workers; for the consumer
  std::deque<std::unique_ptr<Pending>> queue;
  Position begin, next;  // of the batch to be begun; of the batch to be handed out
  std::vector<int64_t> order;
  int64_t order_epoch = -1;
  bool stop = false;

  std::vector<std::unique_ptr<StreamedPictures>> streams;  // in turn; empty if no pictures are streamed
  size_t streamed = 0;                                     // batches that have been begun

  double waited = 0;
  Clock::time_point measured_from;
  bool measuring = false;
  std::vector<std::thread> threads;
};

void Loader::Workers::check() const {
  if (options.batch < 1) throw InputError(message("batch of ", options.batch, ": wanted at least 1"));
  if (options.queue > kMaxQueue) {
    throw InputError(message("loader: ", options.queue, " batches ahead, at most ", kMaxQueue));
  }
  if (!options.evaluation && options.batch > cache.size()) {
    throw InputError(message("batch of ", options.batch, " is larger than the data: ", cache.size(),
                             " pictures in ", cache.dataset().name, "; use a smaller batch"));
  }
  if (begin.epoch < 0 || begin.step < 0 || begin.step > steps) {
    throw InputError(
        message("loader: cannot start at epoch ", begin.epoch, ", step ", begin.step, " of ", steps));
  }
  for (const View& view : plan) {
    if (options.pictures && (!view.slot || view.height != view.width))
      throw InputError(message("view `", view.name, "`: only square views with a slot are made on a device"));
    if (view.height < 1 || view.width < 1 || !view.make) {
      throw InputError(message("view `", view.name, "` of ", view.height, " x ", view.width, " pixels"));
    }
  }
}

Loader::Workers::Workers(const ImageCache& cache, std::vector<View> plan, const LoaderOptions& options,
                         Position start)
    : cache(cache), plan(std::move(plan)), options(options), begin(start) {
  int64_t batch = std::max<int64_t>(options.batch, 1);
  steps = options.evaluation ? (cache.size() - 1) / batch + 1 : cache.size() / batch;
  check();
  normalise(begin);
  next = begin;
  if (options.pictures && options.pictures->resident()) return;
  if (options.pictures)
    for (size_t i = 0; i < kStreamed; ++i) streams.push_back(options.pictures->stream(options.batch));
  for (int t = 0; t < worker_threads(options.threads); ++t) threads.emplace_back([this] { run(); });
}

Loader::Workers::~Workers() {
  {
    std::lock_guard lock(mutex);
    stop = true;
  }
  work.notify_all();
  for (std::thread& thread : threads) thread.join();
}

void Loader::Workers::normalise(Position& position) const {
  if (position.step >= steps) position = {position.epoch + 1, 0};
}

// Under the lock: the earliest batch with a picture that nobody has taken, or nullptr if there is no room for
// one.
Pending* Loader::Workers::pending_with_work() {
  for (auto& pending : queue) {
    if (pending->taken < pending->size) return pending.get();
  }
  bool room = int64_t(queue.size()) < (streams.empty() ? std::max<int64_t>(options.queue, 1) : int64_t(kStreamed));
  return room && !exhausted(begin) ? &begin_batch() : nullptr;
}

Pending& Loader::Workers::begin_batch() {
  if (order_epoch != begin.epoch) {
    if (options.shuffle && !options.evaluation) {
      order = epoch_order(cache.size(), options.seed, begin.epoch);
    } else {
      order.resize(size_t(cache.size()));
      std::iota(order.begin(), order.end(), 0);
    }
    order_epoch = begin.epoch;
  }
  queue.push_back(std::make_unique<Pending>());
  Pending& pending = *queue.back();
  Batch& batch = pending.batch;
  batch.position = begin;
  int64_t first = begin.step * options.batch;
  pending.size = std::min(options.batch, cache.size() - first);
  normalise(begin = {begin.epoch, begin.step + 1});
  try {
    batch.index = Tensor::empty({pending.size}, DType::i64);
    batch.labels = Tensor::empty({pending.size}, DType::i64);
    for (int64_t slot = 0; slot < pending.size; ++slot) {
      int64_t i = order[size_t(first + slot)];
      batch.index.data<int64_t>()[slot] = i;
      batch.labels.data<int64_t>()[slot] = cache.dataset().samples[size_t(i)].label;
    }
    if (!options.pictures) {
      for (const View& view : plan) batch.views.push_back(Tensor::empty({pending.size, view.height, view.width, 3}));
    } else if (streams.empty()) {
      pending.taken = pending.done = pending.size;
    } else {
      pending.streamed = streams[streamed++ % kStreamed].get();
      pending.streamed->begin(batch.index.span<int64_t>());
    }
  } catch (...) {
    pending.fail(0, std::current_exception());
    pending.taken = pending.done = pending.size;
    ready.notify_all();
  }
  return pending;
}

// On a device; next() alone does this.
void Loader::Workers::make_device_views(Pending& pending) {
  Batch& batch = pending.batch;
  batch.views = options.pictures->views(plan, batch.index.span<int64_t>(), options.seed, uint64_t(batch.position.epoch), pending.streamed);
}

// Makes a picture's views, or sends it to where they will be made.
void Loader::Workers::prepare(const Pending& pending, int64_t slot, Image& scratch) {
  int64_t i = pending.batch.index.data<int64_t>()[slot];
  try {
    if (pending.streamed) return pending.streamed->put(slot);
    const Image& image = cache.get(i, scratch);
    for (size_t v = 0; v < plan.size(); ++v) {
      Tensor rows = pending.batch.views[v].slice(slot, 1);
      ViewKey key{options.seed, uint64_t(pending.batch.position.epoch), uint64_t(i), uint64_t(v)};
      plan[v].make(image, key, rows.data<float>());
    }
  } catch (const MachineError&) {
    throw;
  } catch (const std::exception& error) {
    throw InputError(cache.dataset().samples[size_t(i)].path.string() + ": " + error.what());
  }
}

// Under the lock, which is given up while the picture is prepared.
void Loader::Workers::make_next_picture(Pending& pending, Image& scratch,
                                        std::unique_lock<std::mutex>& lock) {
  int64_t slot = pending.taken++;
  lock.unlock();
  std::exception_ptr failure;
  try {
    prepare(pending, slot, scratch);
  } catch (...) {
    failure = std::current_exception();
  }
  lock.lock();
  if (failure) pending.fail(slot, failure);
  if (++pending.done == pending.size) ready.notify_all();
}

void Loader::Workers::run() {
  step_back();
  Image scratch;
  std::unique_lock lock(mutex);
  while (!stop) {
    Pending* pending = pending_with_work();
    if (!pending) {
      work.wait(lock);
    } else if (pending->taken < pending->size) {  // else it failed when it began
      make_next_picture(*pending, scratch, lock);
    }
  }
}

std::vector<int64_t> epoch_order(int64_t n, uint64_t seed, int64_t epoch) {
  std::vector<std::pair<uint64_t, int64_t>> places(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    auto words = philox({seed, Purpose::shuffle, uint64_t(epoch)}, uint64_t(i));
    places[size_t(i)] = {uint64_t(words[0]) << 32 | words[1], i};
  }
  std::sort(places.begin(), places.end());
  std::vector<int64_t> order;
  order.reserve(places.size());
  for (const auto& [place, i] : places) order.push_back(i);
  return order;
}

Loader::Loader(const ImageCache& cache, std::vector<View> plan, const LoaderOptions& options, Position start)
    : workers_(std::make_unique<Workers>(cache, std::move(plan), options, start)) {}

Loader::~Loader() = default;

int64_t Loader::steps_per_epoch() const { return workers_->steps; }

bool Loader::has_next() const { return !workers_->exhausted(workers_->next); }

Batch Loader::next() {
  Workers& w = *workers_;
  if (!has_next()) throw InputError(w.cache.dataset().name + ": all batches have been handed out");
  Clock::time_point start = Clock::now();
  std::unique_lock lock(w.mutex);
  if (!w.measuring) w.measured_from = start;
  w.measuring = true;
  if (w.queue.empty()) w.begin_batch();
  Pending& front = *w.queue.front();
  if (front.streamed && front.done < front.size) {
    lock.unlock();
    front.streamed->wait();
    lock.lock();
    start = Clock::now();  // that the device has not come so far yet is no waiting for data
  }
  Image scratch;
  while (front.done < front.size) {
    if (front.taken == front.size)
      w.ready.wait(lock);
    else
      w.make_next_picture(front, scratch, lock);
  }
  if (w.options.pictures && !front.failure) {
    lock.unlock();
    w.make_device_views(front);
    lock.lock();
  }
  w.waited += seconds_since(start);
  if (front.failure) std::rethrow_exception(front.failure);  // again at the next call
  Batch batch = std::move(front.batch);
  w.queue.pop_front();
  w.normalise(w.next = {batch.position.epoch, batch.position.step + 1});
  lock.unlock();
  w.work.notify_all();
  return batch;
}

Position Loader::position() const { return workers_->next; }

double Loader::take_wait_share() {
  Workers& w = *workers_;
  std::lock_guard lock(w.mutex);
  double elapsed = w.measuring ? seconds_since(w.measured_from) : 0;
  double share = elapsed > 0 ? std::min(1.0, w.waited / elapsed) : 0;
  w.waited = 0;
  w.measured_from = Clock::now();
  return share;
}

}  // namespace plumage
