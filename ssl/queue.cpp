#include "ssl/queue.h"

#include "tensor/ops.h"

namespace plumage {

KeyQueue::KeyQueue(int64_t size, int64_t dim, uint64_t seed, DType dtype, Device device) {
  if (size < 1) throw InputError(message("moco.queue=", size, ": wanted at least 1"));
  Tensor random = ops::normal({size, dim}, {seed, Purpose::queue}, 0, 1, dtype);
  keys_ = Var(ops::l2_normalize(random).first.to(device));
  pointer_ = Var(Tensor::zeros({1}, DType::i64, device));
}

void KeyQueue::enqueue(const Tensor& rows) {
  ops::put_rows(keys_.value(), rows, pointer_.value());
  ops::advance(pointer_.value(), rows.size(0), keys_.size(0));
}

void KeyQueue::visit(const std::string& prefix, const Visitor& f) {
  f(join_name(prefix, "keys"), keys_, Role::buffer);
  f(join_name(prefix, "pointer"), pointer_, Role::buffer);
}

int64_t queue_size(int64_t wanted, int64_t images, int64_t batch) {
  return std::max(batch, std::min(wanted, (images - batch) / batch * batch));
}

}  // namespace plumage
