#include "tests/op_cases/guarded_buffer.h"

#include <cstring>

namespace plumage::op_cases {
namespace {

constexpr unsigned char kNan = 0xff, kSmall = 0xa5;  // as floats of any type
constexpr int64_t kMargin = 128;

}  // namespace

GuardedBuffer::GuardedBuffer(const void* contents, int64_t bytes, int64_t shift, Device device, bool written)
    : sentinel_(written ? kSmall : kNan),
      begin_(kMargin + shift),
      bytes_(bytes),
      image_(Tensor::empty({begin_ + bytes + kMargin}, DType::u8)) {
  auto* image = static_cast<unsigned char*>(image_.raw());
  std::memset(image, sentinel_, size_t(image_.bytes()));
  if (bytes) std::memcpy(image + begin_, contents, size_t(bytes));
  memory_ = image_;
  if (device.kind == Device::Kind::cpu) return;
  memory_ = Tensor::empty(image_.shape(), DType::u8, device);
  memory_.copy_from(image_);
}

void* GuardedBuffer::data() { return static_cast<unsigned char*>(memory_.raw()) + begin_; }

const unsigned char* GuardedBuffer::fetch() {
  if (!memory_.same_memory(image_)) image_.copy_from(memory_);
  return static_cast<const unsigned char*>(image_.raw()) + begin_;
}

std::optional<int64_t> GuardedBuffer::damage() const {
  auto* image = static_cast<const unsigned char*>(image_.raw());
  for (int64_t i = 0; i < image_.count(); ++i)
    if ((i < begin_ || i >= begin_ + bytes_) && image[i] != sentinel_) return i - begin_;
  return std::nullopt;
}

}  // namespace plumage::op_cases
