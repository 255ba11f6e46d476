// Updates of whole parameter lists in place: SGD, Adam, EMA. Check, dispatch.
#include "tensor/dispatch.h"

namespace plumage::ops {

// --- updates

namespace {

void check_slot(const Tensor& t, const Tensor& parameter, const char* op, const char* argument) {
  if (parameter.dtype() != DType::f32 && parameter.dtype() != DType::f64)
    throw DTypeError(message(op, ": parameters must be f32 or f64, got ", name_of(parameter.dtype())));
  check_like(t, parameter, op, argument);
  check_shape(t, parameter.shape(), op, argument);
}

// Lists may mix f32 and f64; each type is one kernel call.
template <class Parameter, class Slot, class Call>
void by_type(std::span<const Parameter> list, const char* op, Slot slot, Call call) {
  for (DType type : {DType::f32, DType::f64}) {
    std::vector<decltype(slot(list[0]))> slots;
    for (const Parameter& p : list) {
      auto s = slot(p);
      if (!is_float(s.first.dtype) || s.first.dtype == DType::bf16)
        throw DTypeError(message(op, ": parameters must be f32 or f64, got ", name_of(s.first.dtype)));
      if (s.first.dtype == type) slots.push_back(s);
    }
    if (!slots.empty()) call(type, slots);
  }
}

template <class Slots>
auto seconds_of(const Slots& slots) {
  std::vector<decltype(slots[0].second)> out;
  for (const auto& s : slots) out.push_back(s.second);
  return out;
}

}  // namespace

void sgd(std::span<const SgdParameter> list, SgdStep step) {
  by_type(list, "sgd", [&](const SgdParameter& p) {
    SgdParameter q = p;
    check_slot(q.gradient, q.parameter, "sgd", "gradient");
    if (step.momentum != 0 || q.momentum.defined()) check_slot(q.momentum, q.parameter, "sgd", "momentum");
    return std::pair{out(q.parameter), SgdSlot{out(q.parameter), in(q.gradient),
                     q.momentum.defined() ? out(q.momentum) : Out{}, q.weight_decay, q.lr_scale}};
  }, [&](DType type, const auto& slots) {
    auto plain = seconds_of(slots);
    OpTimer timer(Op::sgd, {int64_t(plain.size())}, type);
    Context& context = Context::cpu();
    context.kernels(type).sgd(context, plain, step);
  });
}

void adam(std::span<const AdamParameter> list, AdamStep step) {
  by_type(list, "adam", [](const AdamParameter& p) {
    AdamParameter q = p;
    check_slot(q.gradient, q.parameter, "adam", "gradient");
    check_slot(q.first, q.parameter, "adam", "first");
    check_slot(q.second, q.parameter, "adam", "second");
    return std::pair{out(q.parameter), AdamSlot{out(q.parameter), in(q.gradient), out(q.first), out(q.second),
                                                q.weight_decay, q.lr_scale}};
  }, [&](DType type, const auto& slots) {
    auto plain = seconds_of(slots);
    OpTimer timer(Op::adam, {int64_t(plain.size())}, type);
    Context& context = Context::cpu();
    context.kernels(type).adam(context, plain, step);
  });
}

void ema(std::span<const EmaParameter> list, double momentum) {
  by_type(list, "ema", [](const EmaParameter& p) {
    EmaParameter q = p;
    check_slot(q.source, q.target, "ema", "source");
    return std::pair{out(q.target), EmaSlot{out(q.target), in(q.source)}};
  }, [&](DType type, const auto& slots) {
    auto plain = seconds_of(slots);
    OpTimer timer(Op::ema, {int64_t(plain.size())}, type);
    Context& context = Context::cpu();
    context.kernels(type).ema(context, plain, momentum);
  });
}

}  // namespace plumage::ops
