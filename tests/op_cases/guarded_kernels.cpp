#include "tests/op_cases/guarded_kernels.h"

#include <cstring>
#include <tuple>

namespace plumage::op_cases {
namespace {

GuardedKernels* active = nullptr;  // tests are single-threaded

constexpr unsigned char kSentinel = 0xc3;
constexpr int64_t kMargin = 128;

std::string_view name_of_op(Op op) { return op_list()[size_t(op)].name; }

/// An argument that is no view passes as it is.
template <class T>
struct Held {
  T value;
  explicit Held(const T& v) : value(v) {}
  const T& view() const { return value; }
  void finish(Op) {}
};

template <>
struct Held<In> {
  In in;
  std::vector<char> before;
  explicit Held(const In& i) : in(i), before(bytes()) {
    if (!before.empty()) std::memcpy(before.data(), in.data, before.size());
  }
  size_t bytes() const { return in ? size_t(in.count() * size_of(in.dtype)) : 0; }
  const In& view() const { return in; }
  void finish(Op op) {
    if (!before.empty() && std::memcmp(before.data(), in.data, before.size()))
      active->note_violation(message(name_of_op(op), ": wrote to an input of shape ", in.shape));
  }
};

template <>
struct Held<Out> {
  Out real, guarded;
  std::vector<unsigned char> buffer;
  size_t bytes = 0, begin = 0;
  explicit Held(const Out& out) : real(out), guarded(out) {
    if (!out) return;
    bytes = size_t(out.count() * size_of(out.dtype));
    begin = size_t(kMargin + size_of(out.dtype));
    buffer.assign(begin + bytes + kMargin, kSentinel);
    if (bytes) std::memcpy(buffer.data() + begin, out.data, bytes);  // some kernels read what they write to
    guarded.data = buffer.data() + begin;
  }
  const Out& view() const { return guarded; }
  void finish(Op op) {
    for (size_t i = 0; i < buffer.size(); ++i)
      if ((i < begin || i >= begin + bytes) && buffer[i] != kSentinel) {
        active->note_violation(message(name_of_op(op), ": wrote ", int64_t(i) - int64_t(begin),
                                       " bytes from the start of an output of ", bytes, " bytes"));
        break;
      }
    if (bytes) std::memcpy(real.data, buffer.data() + begin, bytes);
  }
};

template <>
struct Held<BatchNorm> {
  BatchNorm value;
  Held<In> mean, variance, gamma, beta;
  explicit Held(const BatchNorm& n)
      : value(n), mean(n.mean), variance(n.variance), gamma(n.gamma), beta(n.beta) {}
  const BatchNorm& view() const { return value; }
  void finish(Op op) {
    for (Held<In>* h : {&mean, &variance, &gamma, &beta}) h->finish(op);
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
  void hold(const In& in) { ins.emplace_back(in); }
  std::span<const Slot> view() const { return slots; }
  void finish(Op op) {
    for (Held<Out>& h : outs) h.finish(op);
    for (Held<In>& h : ins) h.finish(op);
  }
  explicit HeldSlots(std::span<const Slot> given) : slots(given.begin(), given.end()) {
    outs.reserve(slots.size() * 3);  // the buffers' addresses are in the slots: no moving
    for (Slot& s : slots) {
      if constexpr (requires { s.source; }) {
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
    const Kernels& own = context.own_kernels(type_of_first(arguments...));
    std::apply([&](auto&... h) { (own.*member)(context, h.view()...); }, held);
    std::apply([&](auto&... h) { (h.finish(op), ...); }, held);
  }
};

const Kernels& guarded_table() {
  static const Kernels table = {
#define OP(name, arguments, keeps) &Guarded<Op::name, &Kernels::name, decltype(Kernels::name)>::call,
#include "tensor/ops.def"
#undef OP
  };
  return table;
}

}  // namespace

GuardedKernels::GuardedKernels() {
  active = this;
  Context::cpu().stand_in = &guarded_table();
}

GuardedKernels::~GuardedKernels() {
  Context::cpu().stand_in = nullptr;
  active = nullptr;
}

}  // namespace plumage::op_cases
