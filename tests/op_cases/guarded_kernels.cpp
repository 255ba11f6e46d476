#include "tests/op_cases/guarded_kernels.h"

#include <cstring>
#include <optional>
#include <tuple>

#include "tests/op_cases/guarded_buffer.h"

namespace plumage::op_cases {
namespace {

GuardedKernels* active = nullptr;  // tests are single-threaded

/// A view's bytes between guards, on the target's device.
class HeldBytes {
 public:
  HeldBytes(const void* data, int64_t count, DType dtype, bool written) : bytes_(count * size_of(dtype)) {
    if (data) buffer_.emplace(data, bytes_, active->shift(size_of(dtype)), active->device(), written);
  }
  void* data() { return buffer_ ? buffer_->data() : nullptr; }
  int64_t bytes() const { return bytes_; }
  /// The bytes after the call, or null; a violation if the guards were written to.
  const unsigned char* finish(Op op, const char* what) {
    if (!buffer_) return nullptr;
    const unsigned char* now = buffer_->fetch();
    if (auto at = buffer_->damage())
      active->note_violation(message(op_list()[size_t(op)].name, ": wrote ", *at,
                                     " bytes from the start of an ", what, " of ", bytes_, " bytes"));
    return now;
  }

 private:
  int64_t bytes_;
  std::optional<GuardedBuffer> buffer_;
};

/// An argument that is no view passes as it is.
template <class T>
struct Held {
  T value;
  explicit Held(const T& v) : value(v) {}
  const T& view() const { return value; }
  void finish(Op) {}
};

/// On the CPU the kernel reads the row's own memory and the copy tells whether it wrote there; on a device it
/// reads the copy, and the row's memory tells.
template <>
struct Held<In> {
  In in, guarded;
  HeldBytes bytes;
  explicit Held(const In& i) : in(i), guarded(i), bytes(i.data, i.count(), i.dtype, false) {
    if (active->device().kind != Device::Kind::cpu) guarded.data = bytes.data();
  }
  const In& view() const { return guarded; }
  void finish(Op op) {
    const unsigned char* copy = bytes.finish(op, "input");
    if (copy && bytes.bytes() && std::memcmp(copy, in.data, size_t(bytes.bytes())))
      active->note_violation(message(op_list()[size_t(op)].name, ": wrote to an input of shape ", in.shape));
  }
};

template <>
struct Held<Out> {
  Out real, guarded;
  HeldBytes bytes;  // begin as the output's own: some kernels read what they write to
  explicit Held(const Out& out) : real(out), guarded(out), bytes(out.data, out.count(), out.dtype, true) {
    guarded.data = bytes.data();
  }
  const Out& view() const { return guarded; }
  void finish(Op op) {
    const unsigned char* now = bytes.finish(op, "output");
    if (now && bytes.bytes()) std::memcpy(real.data, now, size_t(bytes.bytes()));
  }
};

template <>
struct Held<BatchNorm> {
  BatchNorm value;
  Held<In> mean, variance, gamma, beta;
  explicit Held(const BatchNorm& n)
      : value(n), mean(n.mean), variance(n.variance), gamma(n.gamma), beta(n.beta) {
    value.mean = mean.view();
    value.variance = variance.view();
    value.gamma = gamma.view();
    value.beta = beta.view();
  }
  const BatchNorm& view() const { return value; }
  void finish(Op op) {
    for (Held<In>* h : {&mean, &variance, &gamma, &beta}) h->finish(op);
  }
};

template <>
struct Held<NormSource> {
  NormSource value;
  Held<In> x, y;
  Held<BatchNorm> norm;
  Held<Out> sums;
  explicit Held(const NormSource& s) : value(s), x(s.x), y(s.y), norm(s.norm), sums(s.sums) {
    value = {x.view(), y.view(), norm.view(), sums.view()};
  }
  const NormSource& view() const { return value; }
  void finish(Op op) {
    x.finish(op), y.finish(op), norm.finish(op), sums.finish(op);
  }
};

/// A list of slots: its views one by one.
template <class Slot>
struct HeldSlots {
  std::vector<Held<Out>> outs;
  std::vector<Held<In>> ins;
  std::vector<Slot> slots;
  void hold(Out& out) {
    outs.emplace_back(out);
    out = outs.back().view();
  }
  void hold(In& in) {
    ins.emplace_back(in);
    in = ins.back().view();
  }
  std::span<const Slot> view() const { return slots; }
  void finish(Op op) {
    for (Held<Out>& h : outs) h.finish(op);
    for (Held<In>& h : ins) h.finish(op);
  }
  explicit HeldSlots(std::span<const Slot> given) : slots(given.begin(), given.end()) {
    outs.reserve(slots.size() * 3);  // the buffers' addresses are in the slots: no moving
    for (Slot& s : slots) {
      if constexpr (requires { s.x; }) {
        hold(s.x);
      } else if constexpr (requires { s.source; }) {
        hold(s.target);
        hold(s.source);
      } else {
        hold(s.parameter);
        hold(s.gradient);
        if constexpr (requires { s.first; }) {
          hold(s.first);
          hold(s.second);
        } else {
          hold(s.momentum);
        }
      }
    }
  }
};
template <class Slot>
struct Held<std::span<const Slot>> : HeldSlots<Slot> {
  using HeldSlots<Slot>::HeldSlots;
};

DType type_of(const In& in) { return in.dtype; }
DType type_of(const Out& out) { return out.dtype; }
DType type_of(std::span<const SgdSlot> s) { return s[0].parameter.dtype; }
DType type_of(std::span<const AdamSlot> s) { return s[0].parameter.dtype; }
DType type_of(std::span<const EmaSlot> s) { return s[0].target.dtype; }
DType type_of(std::span<const NormSlot> s) { return s[0].x.dtype; }
/// Type of the first view: it is the one that ops.cpp picks the table by.
template <class First, class... Rest>
DType type_of_first(const First& first, const Rest&... rest) {
  if constexpr (requires { type_of(first); })
    return type_of(first);
  else
    return type_of_first(rest...);
}

template <Op op, auto member, class Pointer>
struct Guarded;
template <Op op, auto member, class... Arguments>
struct Guarded<op, member, void (*)(Context&, Arguments...)> {
  static void call(Context& context, Arguments... arguments) {
    active->note_call(op);
    std::tuple<Held<Arguments>...> held{Held<Arguments>(arguments)...};
    Context& own = active->device().kind == Device::Kind::cpu ? context : Context::of(active->device());
    const Kernels& kernels = own.own_kernels(type_of_first(arguments...));
    std::apply([&](auto&... h) { (kernels.*member)(own, h.view()...); }, held);
    std::apply([&](auto&... h) { (h.finish(op), ...); }, held);
  }
};

bool sees_upsampled(const Shape& w, const Shape& y, const Window& window, DType type) {
  auto* sees = Context::of(active->device()).own_kernels(type).sees_upsampled;
  return sees && sees(w, y, window, type);
}

bool sums_gradient(const Shape& w, const Shape& dy, const Window& window, DType type) {
  auto* sums = Context::of(active->device()).own_kernels(type).sums_gradient;
  return sums && sums(w, dy, window, type);
}

const Kernels& guarded_table() {
  static const Kernels table = {
#define OP(name, arguments, keeps) &Guarded<Op::name, &Kernels::name, decltype(Kernels::name)>::call,
#include "tensor/ops.def"
#undef OP
      &sees_upsampled,
      &sums_gradient,
  };
  return table;
}

}  // namespace

bool has_device() {
  static const bool has = [] {
    try {
      Context::of({Device::Kind::cuda, 0});
      return true;
    } catch (const Error&) {
      return false;
    }
  }();
  return has;
}

GuardedKernels::GuardedKernels(Target target)
    : target_(target), scope_(target == Target::ref ? Backend::ref : Backend::fast) {
  active = this;
  Context::cpu().stand_in = &guarded_table();
}

GuardedKernels::~GuardedKernels() {
  Context::cpu().stand_in = nullptr;
  active = nullptr;
}

Device GuardedKernels::device() const {
  bool on_device = target_ == Target::device || target_ == Target::device_unaligned;
  return on_device ? Device{Device::Kind::cuda, 0} : Device{};
}

}  // namespace plumage::op_cases
