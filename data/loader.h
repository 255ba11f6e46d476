// Batches of views, made ahead of their use by worker threads and the same for any number of them.
// Next in the walk: ssl/, which is handed a batch's tensors.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/augment.h"
#include "data/cache.h"
#include "tensor/tensor.h"

namespace plumage {

class DevicePictures;

/// One view that a batch has of each of its pictures, such as `plain` or `augmented 1`.
struct View {
  std::string name;
  int64_t height = 0, width = 0;
  /// Writes height * width * 3 normalised floats (HWC). Called from several threads at once. The key's index
  /// is the picture's position in the cache, its view this view's position in the plan.
  std::function<void(const Image& image, const ViewKey& key, float* out)> make;
  /// The same view for a device, of a picture of this width and height; empty if it is made on the CPU only.
  std::function<ViewSlot(int64_t width, int64_t height, const ViewKey& key)> slot;
  Normalization normalization;  ///< of a device's view
};

struct Position {
  int64_t epoch = 0, step = 0;  ///< step: batches of this epoch already handed out
  bool operator==(const Position&) const = default;
};

struct Batch {
  Position position;          ///< of this batch
  std::vector<Tensor> views;  ///< in the plan's order; each f32 [B, H, W, 3], where they were made
  Tensor index;               ///< i64 [B]: positions in the cache
  Tensor labels;              ///< i64 [B]: -1 where not known
};

struct LoaderOptions {
  int64_t batch = 128;
  uint64_t seed = 0;
  int threads = 0;          ///< 0: one a core
  int64_t queue = 4;        ///< batches made ahead; two if their pictures are streamed
  bool shuffle = true;      ///< a new order each epoch; the last batch is dropped unless full
  bool evaluation = false;  ///< one epoch, in order, with the rest as a smaller last batch; ignores shuffle
  /// Views are made by this, on its device, when next() asks for them; the threads copy pictures to it that it does not keep. It
  /// must outlive the loader. nullptr: on the CPU.
  DevicePictures* pictures = nullptr;
};

/// Order of epoch `epoch` over n pictures: a pure function of (seed, epoch, n).
std::vector<int64_t> epoch_order(int64_t n, uint64_t seed, int64_t epoch);

class Loader {
 public:
  /// `cache` must outlive the loader. Throws InputError for a batch of less than 1 or, in training, larger
  /// than the data.
  Loader(const ImageCache& cache, std::vector<View> plan, const LoaderOptions& options, Position start = {});
  ~Loader();  ///< stops the workers after the view that each is at
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  int64_t steps_per_epoch() const;
  /// False only when an evaluation's epoch has been handed out.
  bool has_next() const;
  /// The next batch. Rethrows what went wrong in a worker as InputError with the picture's file name.
  Batch next();
  /// Where next() will go on: a run that resumes here sees the same batches.
  Position position() const;
  /// Share of the time since the last call (or the first next()) that next() spent waiting for data, 0 to 1.
  double take_wait_share();

 private:
  struct Workers;
  std::unique_ptr<Workers> workers_;
};

}  // namespace plumage
