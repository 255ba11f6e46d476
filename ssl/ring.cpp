#include "ssl/ring.h"

namespace plumage {

int64_t write_ring(Tensor& ring, const Tensor& rows, int64_t first) {
  int64_t size = ring.size(0), count = rows.size(0);
  expect_shape(rows, {-1, ring.size(1)}, "ring: rows");
  if (count > size) throw ShapeError(message("ring: ", count, " rows do not fit into ", size));
  int64_t head = std::min(count, size - first);
  ring.slice(first, head).copy_from(rows.slice(0, head));
  if (count > head) ring.slice(0, count - head).copy_from(rows.slice(head, count - head));
  return (first + count) % size;
}

}  // namespace plumage
