// Memory between sentinel zones, on the CPU or on a device: shows who writes where he must not.
#pragma once
#include <cstdint>
#include <optional>

#include "tensor/tensor.h"

namespace plumage::op_cases {

class GuardedBuffer {
 public:
  /// A copy of `bytes` from `contents`, `shift` bytes behind an address that is a multiple of 64. What is read only lies
  /// between NaNs, which show in a result. What is written lies between small numbers: a NaN that is worked upon stays
  /// the same NaN.
  GuardedBuffer(const void* contents, int64_t bytes, int64_t shift, Device device, bool written);

  /// The bytes where a kernel finds them.
  void* data();
  /// The bytes as they are now, on the CPU; waits for the device.
  const unsigned char* fetch();
  /// Of what was fetched: where a zone was written to, in bytes from the start of the contents.
  std::optional<int64_t> damage() const;

 private:
  unsigned char sentinel_;
  int64_t begin_, bytes_;
  Tensor image_;   // zone, contents, zone
  Tensor memory_;  // the same on the device; image_ itself on the CPU
};

}  // namespace plumage::op_cases
