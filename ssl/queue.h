// MoCo's queue of keys: a ring of the latest K, the oldest replaced first.
#pragma once
#include "nn/module.h"

namespace plumage {

class KeyQueue : public Module {
 public:
  KeyQueue() = default;
  /// K random unit rows of d numbers from Philox (seed, queue). Throws InputError if K < 1.
  KeyQueue(int64_t size, int64_t dim, uint64_t seed, DType dtype, Device device = {});
  const Tensor& keys() const { return keys_.value(); }  ///< [K, d], one unit key a row
  /// Writes B rows at the pointer, in both pieces where the ring ends. Throws ShapeError if B > K.
  void enqueue(const Tensor& rows);
  void visit(const std::string& prefix, const Visitor& f) override;  ///< keys, pointer

 private:
  Var keys_, pointer_;  // [K, d]; i64 [1]
};

/// The longest queue worth having: a queue as long as the data holds stale copies of the query itself as negatives.
/// min(wanted, floor((images - batch) / batch) * batch), at least one batch.
int64_t queue_size(int64_t wanted, int64_t images, int64_t batch);

}  // namespace plumage
