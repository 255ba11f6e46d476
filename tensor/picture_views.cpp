// Checks, scratch memory and upload for the kernels that make views. Next: tensor/backend/cuda/kernels/views.cu.
#include "tensor/picture_views.h"

#include <vector>

#include "tensor/accelerator.h"
#include "tensor/context.h"
#include "tensor/profile.h"

namespace plumage {
namespace {

constexpr int64_t kRows = 64;  // between the two passes of a resize: enough for most, few enough to stay in the cache

void check_axis(const char* name, const views::Axis& axis) {
  if (!(axis.size >= 1 && axis.begin >= 0 && axis.low >= 0 && axis.scale > 0 && axis.low < double(axis.size)))
    throw InputError(message("make_views: ", name, ": ", axis.size, " source pixels from ", axis.low, " in steps of ",
                             axis.scale));
}

// That no pixel of the crop lies outside of the pictures: a device would not say so.
void check_slot(const ViewSlot& slot, int64_t bytes) {
  check_axis("across", slot.across);
  check_axis("down", slot.down);
  int64_t row = slot.across.size * 3;
  if (!(slot.first >= 0 && slot.stride >= row && slot.first <= bytes - row &&
        slot.down.size - 1 <= (bytes - row - slot.first) / slot.stride))
    throw InputError(message("make_views: ", slot.across.size, "x", slot.down.size, " pixels at byte ", slot.first, " of ",
                             bytes, ": wanted a crop inside of the pictures"));
  if (!(slot.sigma >= 0 && slot.sigma <= kLargestSigma))
    throw InputError(message("make_views: sigma = ", slot.sigma, "; it must be 0 to ", kLargestSigma));
}

void check_shapes(const Tensor& pictures, size_t slots, const Tensor& out) {
  if (out.rank() != 4 || out.size(0) != int64_t(slots) || out.size(1) != out.size(2) || out.size(3) < 3 || out.size(3) > 4)
    throw ShapeError(message("make_views: out ", out.shape().str(), ": wanted [", slots, ", size, size, 3 or 4]"));
  if (out.dtype() != DType::f32 && out.dtype() != DType::bf16)
    throw DTypeError(message("make_views: out is ", name_of(out.dtype()), ": wanted f32 or bf16"));
  if (pictures.dtype() != DType::u8)
    throw DTypeError(message("make_views: pictures are ", name_of(pictures.dtype()), ": wanted u8"));
  if (out.device().kind != Device::Kind::cuda || pictures.device() != out.device())
    throw DeviceError(message("make_views: pictures on ", pictures.device().str(), ", out on ", out.device().str(),
                              ": wanted one CUDA device"));
}

template <class T>
T* as(Tensor& t) {
  return t.defined() ? static_cast<T*>(t.raw()) : nullptr;
}

}  // namespace

void make_views(const Tensor& pictures, std::span<const ViewSlot> slots, const ColourScale& colours, const Tensor& levels,
                Tensor& out) {
  check_shapes(pictures, slots.size(), out);
  if (out.count() == 0) return;
  ViewJob job;
  job.views = out.size(0);
  job.size = out.size(1);
  job.colours = colours;
  job.rows = kRows;
  Context& context = Context::of(out.device());
  OpTimer timer(context, OtherWork::make_views, out.shape(), out.dtype());
  timer.moves_bytes(double(out.bytes()));
  std::vector<ViewSlot> numbered(slots.begin(), slots.end());
  for (ViewSlot& slot : numbered) {
    check_slot(slot, pictures.bytes());
    if (slot.sigma > 0) slot.blur = int32_t(job.blurs++);
    if (slot.noise > 0 && levels.count() != 4096) throw InputError("make_views: noise without the levels of its distribution");
    timer.moves_bytes(3 * double(slot.across.size) * double(slot.down.size));
    job.taps = std::max({job.taps, slot.across.taps(), slot.down.taps()});
  }
  job.rows = std::max(job.rows, job.taps);
  Device device = out.device();
  auto scratch = [&](int64_t count, int64_t bytes) {
    return count > 0 ? Tensor::empty({count * bytes}, DType::u8, device) : Tensor();
  };
  const int64_t pixels = job.size * job.size;
  Tensor described = scratch(job.views, sizeof(ViewSlot)), weights = scratch(job.views * 2 * job.size * (2 + job.taps), 4),
         narrowed = scratch(job.views * job.rows * job.size, 4), resized = scratch(job.views * pixels, 4),
         sharp = scratch(2 * job.blurs * pixels, 8);
  accelerator::copy(described.raw(), device, numbered.data(), Device{}, described.bytes());
  job.pictures = static_cast<const uint8_t*>(pictures.raw());
  job.slots = as<const ViewSlot>(described);
  job.levels = levels.defined() ? static_cast<const float*>(levels.raw()) : nullptr;
  job.weights = as<int32_t>(weights);
  job.narrowed = as<uint32_t>(narrowed);
  job.resized = as<uint32_t>(resized);
  job.sharp = as<uint64_t>(sharp);
  job.dtype = out.dtype();
  job.channels = out.size(3);
  job.out = out.raw();
  accelerator::make_views(context, job);
}

}  // namespace plumage
