// The device of a build without CUDA: there is none, and every door says so.
#include "tensor/accelerator.h"

#include "tensor/context.h"

namespace plumage::accelerator {

bool built() { return false; }
bool simulated() { return false; }
int count() { return 0; }
std::string why_none() { return "plumage was built without CUDA; use --device cpu, or configure with -DPLUMAGE_CUDA=ON"; }

void require(Device device) { throw DeviceError(message("device ", device.str(), ": ", why_none())); }

Properties properties(int index) {
  require({Device::Kind::cuda, index});
  return {};
}

std::vector<std::pair<std::string, std::string>> versions() { return {}; }

const Kernels& kernels() { return absent::kernels(); }

std::unique_ptr<MemorySource> memory(int index) {
  require({Device::Kind::cuda, index});
  return nullptr;
}

std::shared_ptr<void> open(int index) {
  require({Device::Kind::cuda, index});
  return nullptr;
}

void copy(void*, Device to_device, const void*, Device from_device, int64_t) {
  require(to_device.kind == Device::Kind::cuda ? to_device : from_device);
}

std::unique_ptr<Upload> upload(Context& context, void*, int64_t) {
  require(context.device());
  return nullptr;
}

std::shared_ptr<void> record(Context& context, const std::function<void()>&, const int64_t*, const std::function<void()>&) {
  require(context.device());
  return nullptr;
}

void replay(Context& context, void*) { require(context.device()); }

int64_t free_bytes(int index) {
  require({Device::Kind::cuda, index});
  return 0;
}

void make_views(Context& context, const ViewJob&) { require(context.device()); }

void synchronize(Context& context) { require(context.device()); }

std::shared_ptr<void> mark(Context& context) {
  require(context.device());
  return nullptr;
}
double seconds_between(const std::shared_ptr<void>&, const std::shared_ptr<void>&) { return 0; }

}  // namespace plumage::accelerator
