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

// What a slot's update moves, for a profile.
void note_moves(OpTimer& timer, const SgdSlot& s) { timer.moves(s.parameter, s.gradient, s.momentum); }
void note_moves(OpTimer& timer, const AdamSlot& s) { timer.moves(s.parameter, s.gradient, s.first, s.second); }
void note_moves(OpTimer& timer, const EmaSlot& s) { timer.moves(s.target, s.source); }

// Lists may mix f32 and f64, but not devices; each type is one kernel call: call(kernels, context, slots).
template <class Parameter, class Slot, class Call>
void by_type(std::span<const Parameter> list, Op op, Device device, Slot slot, Call call) {
  std::string name(op_list()[size_t(op)].name);
  for (DType type : {DType::f32, DType::f64}) {
    std::vector<decltype(slot(list[0]).second)> slots;
    for (const Parameter& p : list) {
      auto [updated, s] = slot(p);
      if (!is_float(updated.dtype()) || updated.dtype() == DType::bf16)
        throw DTypeError(message(name, ": parameters must be f32 or f64, got ", name_of(updated.dtype())));
      if (!(updated.device() == device))
        throw DeviceError(message(name, ": parameters on ", device.str(), " and on ", updated.device().str()));
      if (updated.dtype() == type) slots.push_back(s);
    }
    if (slots.empty()) continue;
    Context& context = Context::of(device);
    OpTimer timer(context, op, {int64_t(slots.size())}, type);
    for (const auto& s : slots) note_moves(timer, s);
    call(context.kernels(type), context, slots);
  }
}

}  // namespace

void sgd(std::span<const SgdParameter> list, SgdStep step, const Tensor& schedule) {
  if (list.empty()) return;
  if (schedule.defined()) check_live(schedule, DType::f64, list[0].parameter.device(), "sgd", "schedule");
  by_type(list, Op::sgd, list[0].parameter.device(), [&](const SgdParameter& p) {
    SgdParameter q = p;
    check_slot(q.gradient, q.parameter, "sgd", "gradient");
    if (step.momentum != 0 || q.momentum.defined()) check_slot(q.momentum, q.parameter, "sgd", "momentum");
    return std::pair{q.parameter, SgdSlot{out(q.parameter), in(q.gradient), q.momentum.defined() ? out(q.momentum) : Out{},
                                          q.weight_decay, q.lr_scale, q.constant_lr}};
  }, [&](const Kernels& kernels, Context& context, const auto& slots) { kernels.sgd(context, slots, step, maybe_in(schedule)); });
}

void adam(std::span<const AdamParameter> list, AdamStep step, const Tensor& schedule, const Tensor& count) {
  if (list.empty()) return;
  if (schedule.defined()) check_live(schedule, DType::f64, list[0].parameter.device(), "adam", "schedule");
  if (count.defined()) check_live(count, DType::i64, list[0].parameter.device(), "adam", "count");
  by_type(list, Op::adam, list[0].parameter.device(), [](const AdamParameter& p) {
    AdamParameter q = p;
    check_slot(q.gradient, q.parameter, "adam", "gradient");
    check_slot(q.first, q.parameter, "adam", "first");
    check_slot(q.second, q.parameter, "adam", "second");
    return std::pair{q.parameter, AdamSlot{out(q.parameter), in(q.gradient), out(q.first), out(q.second), q.weight_decay,
                                           q.lr_scale, q.constant_lr}};
  }, [&](const Kernels& kernels, Context& context, const auto& slots) {
    kernels.adam(context, slots, step, maybe_in(schedule), maybe_in(count));
  });
}

void ema(std::span<const EmaParameter> list, double momentum) {
  if (list.empty()) return;
  by_type(list, Op::ema, list[0].target.device(), [](const EmaParameter& p) {
    EmaParameter q = p;
    check_slot(q.source, q.target, "ema", "source");
    return std::pair{q.target, EmaSlot{out(q.target), in(q.source)}};
  }, [&](const Kernels& kernels, Context& context, const auto& slots) { kernels.ema(context, slots, momentum); });
}

void advance(Tensor& counter, int64_t by, int64_t modulo) {
  check_live(counter, DType::i64, counter.defined() ? counter.device() : Device{}, "advance", "counter");
  if (by < 0 || modulo < 0) throw ShapeError(message("advance: by ", by, " modulo ", modulo, ": neither may be negative"));
  DISPATCH(advance, counter, out(counter), by, modulo);
}

void check_finite(const Tensor& x, Tensor& flag) {
  check_float(x, "check_finite", "x");
  check_live(flag, DType::i64, x.device(), "check_finite", "flag");
  DISPATCH(check_finite, x, in(x), out(flag));
}

Tensor squared_norm(std::span<const Tensor> list) {
  if (list.empty()) throw ShapeError("squared_norm: no tensors");
  Device device = list[0].defined() ? list[0].device() : Device{};
  Tensor total;
  for (DType type : {DType::f64, DType::f32, DType::bf16}) {
    std::vector<NormSlot> slots;
    for (const Tensor& x : list) {
      check_float(x, "squared_norm", "x");
      check_device(x, list[0], "squared_norm", "x");
      if (x.dtype() == type) slots.push_back({in(x)});
    }
    if (slots.empty()) continue;
    Tensor sum = Tensor::empty({1}, DType::f64, device);
    Context& context = Context::of(device);
    {
      OpTimer timer(context, Op::squared_norm, {int64_t(slots.size())}, type);
      for (const NormSlot& s : slots) timer.moves(s.x);
      context.kernels(type).squared_norm(context, slots, out(sum));
    }
    total = total.defined() ? add(total, sum) : sum;
  }
  return total;
}

}  // namespace plumage::ops
