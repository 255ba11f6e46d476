// Optimisers and the moving average: a whole list of parameters in one launch, whose table of pointers
// travels as the kernel's argument; longer lists take one launch for every kSlots parameters.
#include "tensor/backend/cuda/device_code.h"
#include "tensor/backend/cuda/launch.h"
#include "tensor/backend/cuda/ops.h"

namespace plumage::cuda {
namespace {

constexpr int kSlots = 256;    // a table of at most 18 KiB: arguments may have 32 KiB
constexpr int kElements = 16;  // of one thread
constexpr int64_t kBlockElements = int64_t(kThreads) * kElements;

/// One parameter: up to four arrays of `count` elements. What is written comes first.
template <class R>
struct Slot {
  R* arrays[4];
  int64_t count;
  R weight_decay, lr_scale;
};

/// Slots, and the first block of each.
template <class R>
struct Table {
  Slot<R> slots[kSlots];
  int64_t first_block[kSlots];
  int used = 0;
  int64_t blocks = 0;

  void push_back(const Slot<R>& slot) {
    slots[used] = slot;
    first_block[used++] = blocks;
    blocks += ceil_div(slot.count, kBlockElements);
  }
};

template <class R>
struct Sgd {
  static constexpr int kArrays = 3, kWritten = 2;  // parameter, momentum, gradient
  R lr, momentum;
  bool nesterov, first;
  __device__ void operator()(const Slot<R>& slot, R* v) const {
    R g = v[2] + slot.weight_decay * v[0];
    if (momentum != 0) {
      R m = first ? g : momentum * v[1] + g;
      v[1] = m;
      g = nesterov ? g + momentum * m : m;
    }
    v[0] -= lr * slot.lr_scale * g;
  }
};

/// SGD without momentum has no memory for it.
template <class R>
struct PlainSgd {
  static constexpr int kArrays = 2, kWritten = 1;  // parameter, gradient
  R lr;
  __device__ void operator()(const Slot<R>& slot, R* v) const {
    v[0] -= lr * slot.lr_scale * (v[1] + slot.weight_decay * v[0]);
  }
};

template <class R>
struct Adam {
  static constexpr int kArrays = 4, kWritten = 3;                       // parameter, first, second, gradient
  R lr, beta1, beta2, rest1, rest2, correction1, correction2, epsilon;  // rest: 1 - beta
  bool decoupled;
  __device__ void operator()(const Slot<R>& slot, R* v) const {
    R p = v[0], g = v[3], rate = lr * slot.lr_scale;
    if (decoupled)
      p -= rate * slot.weight_decay * p;
    else
      g += slot.weight_decay * p;
    v[1] = beta1 * v[1] + rest1 * g;
    v[2] = beta2 * v[2] + rest2 * g * g;
    v[0] = p - rate * (v[1] / correction1) / (std::sqrt(v[2] / correction2) + epsilon);
  }
};

template <class R>
struct Ema {
  static constexpr int kArrays = 2, kWritten = 1;  // target, source
  R kept, taken;
  __device__ void operator()(const Slot<R>&, R* v) const { v[0] = kept * v[0] + taken * v[1]; }
};

/// Elements i..i+N-1 of a slot through the rule.
template <int N, class Rule, class R>
__device__ void update_pack(const Rule& rule, const Slot<R>& slot, int64_t i) {
  Pack<R, N> packs[Rule::kArrays];
#pragma unroll
  for (int a = 0; a < Rule::kArrays; ++a) packs[a] = load<N>(slot.arrays[a] + i);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    R v[Rule::kArrays];
#pragma unroll
    for (int a = 0; a < Rule::kArrays; ++a) v[a] = packs[a].v[k];
    rule(slot, v);
#pragma unroll
    for (int a = 0; a < Rule::kWritten; ++a) packs[a].v[k] = v[a];
  }
#pragma unroll
  for (int a = 0; a < Rule::kWritten; ++a) store(slot.arrays[a] + i, packs[a]);
}

template <class Rule, class R>
__global__ void update_list_kernel(const __grid_constant__ Table<R> table,
                                   const __grid_constant__ Rule rule) {
  int low = 0, high = table.used - 1;  // the last slot that begins at or before this block
  while (low < high) {
    int middle = (low + high + 1) / 2;
    if (table.first_block[middle] <= int64_t(blockIdx.x))
      low = middle;
    else
      high = middle - 1;
  }
  const Slot<R>& slot = table.slots[low];
  constexpr int kWide = int(16 / sizeof(R));
  uintptr_t addresses = 0;
  for (int a = 0; a < Rule::kArrays; ++a) addresses |= reinterpret_cast<uintptr_t>(slot.arrays[a]);
  int64_t first = (int64_t(blockIdx.x) - table.first_block[low]) * kBlockElements;
  int64_t end = first + kBlockElements < slot.count ? first + kBlockElements : slot.count;
  int64_t whole = addresses % 16 == 0 ? first + (end - first) / kWide * kWide : first;
  for (int64_t i = first + int64_t(threadIdx.x) * kWide; i < whole; i += int64_t(kThreads) * kWide)
    update_pack<kWide>(rule, slot, i);
  for (int64_t i = whole + threadIdx.x; i < end; i += kThreads) update_pack<1>(rule, slot, i);
}

/// The rule over a list, whose slots `slot_of` makes.
template <class R, class Rule, class Slots, class F>
void update_list(Context& context, const Rule& rule, const Slots& slots, F&& slot_of) {
  Table<R> table;
  auto flush = [&] {
    launch(update_list_kernel<Rule, R>, dim3(grid_size(table.blocks)), kThreads, 0, stream(context), table,
           rule);
    table.used = 0;
    table.blocks = 0;
  };
  for (const auto& slot : slots) {
    Slot<R> s = slot_of(slot);
    if (s.count == 0) continue;
    table.push_back(s);
    if (table.used == kSlots) flush();
  }
  flush();
}

template <class R>
R* writable(const In& in) {
  return const_cast<R*>(in.as<R>());
}  // the table has one type of pointer; rules only read it

/// g(float or double) for the type of a list; nothing for an empty one.
template <class G>
void visit_real(DType dtype, G&& g) {
  if (dtype == DType::f64)
    g(double{});
  else
    g(float{});
}

}  // namespace

void sgd(Context& context, std::span<const SgdSlot> slots, SgdStep step) {
  if (slots.empty()) return;
  visit_real(slots[0].parameter.dtype, [&](auto zero) {
    using R = decltype(zero);
    if (step.momentum == 0)
      return update_list<R>(context, PlainSgd<R>{R(step.lr)}, slots, [](const SgdSlot& s) {
        return Slot<R>{{s.parameter.as<R>(), writable<R>(s.gradient)},
                       s.parameter.count(),
                       R(s.weight_decay),
                       R(s.lr_scale)};
      });
    update_list<R>(context, Sgd<R>{R(step.lr), R(step.momentum), step.nesterov, step.first}, slots,
                   [](const SgdSlot& s) {
                     return Slot<R>{{s.parameter.as<R>(), s.momentum.as<R>(), writable<R>(s.gradient)},
                                    s.parameter.count(),
                                    R(s.weight_decay),
                                    R(s.lr_scale)};
                   });
  });
}

void adam(Context& context, std::span<const AdamSlot> slots, AdamStep step) {
  if (slots.empty()) return;
  double correction1 = 1 - std::pow(step.beta1, double(step.step)),
         correction2 = 1 - std::pow(step.beta2, double(step.step));
  visit_real(slots[0].parameter.dtype, [&](auto zero) {
    using R = decltype(zero);
    Adam<R> rule{R(step.lr),     R(step.beta1),  R(step.beta2),   R(1 - step.beta1), R(1 - step.beta2),
                 R(correction1), R(correction2), R(step.epsilon), step.decoupled};
    update_list<R>(context, rule, slots, [](const AdamSlot& s) {
      return Slot<R>{{s.parameter.as<R>(), s.first.as<R>(), s.second.as<R>(), writable<R>(s.gradient)},
                     s.parameter.count(),
                     R(s.weight_decay),
                     R(s.lr_scale)};
    });
  });
}

void ema(Context& context, std::span<const EmaSlot> slots, double momentum) {
  if (slots.empty()) return;
  visit_real(slots[0].target.dtype, [&](auto zero) {
    using R = decltype(zero);
    update_list<R>(context, Ema<R>{R(momentum), R(1 - momentum)}, slots, [](const EmaSlot& s) {
      return Slot<R>{{s.target.as<R>(), writable<R>(s.source)}, s.target.count(), R(0), R(0)};
    });
  });
}

}  // namespace plumage::cuda
