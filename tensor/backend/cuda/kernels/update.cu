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
  R weight_decay;
  double lr_scale;
  bool constant_lr;  // does not follow the schedule
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

/// A slot's rate; `schedule`: a factor on that of those who follow it, or null.
template <class R>
__device__ R rate(double lr, const Slot<R>& slot, const double* schedule) {
  return R(lr * (slot.lr_scale * (slot.constant_lr || !schedule ? 1 : *schedule)));
}

template <class R>
struct Sgd {
  static constexpr int kArrays = 3, kWritten = 2;  // parameter, momentum, gradient
  double lr;
  const double* schedule;
  R momentum;
  bool nesterov, first;
  __device__ R prepare(const Slot<R>& slot) const { return rate(lr, slot, schedule); }
  __device__ void operator()(const Slot<R>& slot, R rate, R* v) const {
    R g = v[2] + slot.weight_decay * v[0];
    if (momentum != 0) {
      R m = first ? g : momentum * v[1] + g;
      v[1] = m;
      g = nesterov ? g + momentum * m : m;
    }
    v[0] -= rate * g;
  }
};

/// SGD without momentum has no memory for it.
template <class R>
struct PlainSgd {
  static constexpr int kArrays = 2, kWritten = 1;  // parameter, gradient
  double lr;
  const double* schedule;
  __device__ R prepare(const Slot<R>& slot) const { return rate(lr, slot, schedule); }
  __device__ void operator()(const Slot<R>& slot, R rate, R* v) const {
    v[0] -= rate * (v[1] + slot.weight_decay * v[0]);
  }
};

template <class R>
struct Adam {
  static constexpr int kArrays = 4, kWritten = 3;  // parameter, first, second, gradient
  double lr, decay1, decay2;                       // beta1, beta2
  const double* schedule;
  const int64_t* count;  // of this step, from 1 on; or null, then `step`
  int64_t step;
  R beta1, beta2, rest1, rest2, epsilon;  // rest: 1 - beta
  bool decoupled;
  struct Now { R rate, correction1, correction2; };
  __device__ Now prepare(const Slot<R>& slot) const {
    double n = double(count ? *count : step);
    return {rate(lr, slot, schedule), R(1 - std::pow(decay1, n)), R(1 - std::pow(decay2, n))};
  }
  __device__ void operator()(const Slot<R>& slot, const Now& now, R* v) const {
    R p = v[0], g = v[3];
    if (decoupled)
      p -= now.rate * slot.weight_decay * p;
    else
      g += slot.weight_decay * p;
    v[1] = beta1 * v[1] + rest1 * g;
    v[2] = beta2 * v[2] + rest2 * g * g;
    v[0] = p - now.rate * (v[1] / now.correction1) / (std::sqrt(v[2] / now.correction2) + epsilon);
  }
};

template <class R>
struct Ema {
  static constexpr int kArrays = 2, kWritten = 1;  // target, source
  R kept, taken;
  __device__ R prepare(const Slot<R>&) const { return kept; }
  __device__ void operator()(const Slot<R>&, R, R* v) const { v[0] = kept * v[0] + taken * v[1]; }
};

/// Elements i..i+N-1 of a slot through the rule.
template <int N, class Rule, class R, class Now>
__device__ void update_pack(const Rule& rule, const Slot<R>& slot, const Now& now, int64_t i) {
  Pack<R, N> packs[Rule::kArrays];
#pragma unroll
  for (int a = 0; a < Rule::kArrays; ++a) packs[a] = load<N>(slot.arrays[a] + i);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    R v[Rule::kArrays];
#pragma unroll
    for (int a = 0; a < Rule::kArrays; ++a) v[a] = packs[a].v[k];
    rule(slot, now, v);
#pragma unroll
    for (int a = 0; a < Rule::kWritten; ++a) packs[a].v[k] = v[a];
  }
#pragma unroll
  for (int a = 0; a < Rule::kWritten; ++a) store(slot.arrays[a] + i, packs[a]);
}

/// The last slot that begins at or before this block.
__device__ inline int slot_of_block(const int64_t* first_block, int used) {
  int low = 0, high = used - 1;
  while (low < high) {
    int middle = (low + high + 1) / 2;
    if (first_block[middle] <= int64_t(blockIdx.x))
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

template <class Rule, class R>
__global__ void update_list_kernel(const __grid_constant__ Table<R> table,
                                   const __grid_constant__ Rule rule) {
  int low = slot_of_block(table.first_block, table.used);
  const Slot<R>& slot = table.slots[low];
  const auto now = rule.prepare(slot);
  constexpr int kWide = int(16 / sizeof(R));
  uintptr_t addresses = 0;
  for (int a = 0; a < Rule::kArrays; ++a) addresses |= reinterpret_cast<uintptr_t>(slot.arrays[a]);
  int64_t first = (int64_t(blockIdx.x) - table.first_block[low]) * kBlockElements;
  int64_t end = first + kBlockElements < slot.count ? first + kBlockElements : slot.count;
  int64_t whole = addresses % 16 == 0 ? first + (end - first) / kWide * kWide : first;
  for (int64_t i = first + int64_t(threadIdx.x) * kWide; i < whole; i += int64_t(kThreads) * kWide)
    update_pack<kWide>(rule, slot, now, i);
  for (int64_t i = whole + threadIdx.x; i < end; i += kThreads) update_pack<1>(rule, slot, now, i);
}

/// Arrays whose squares are added up, and the first block of each.
template <class T>
struct NormTable {
  const T* x[kSlots];
  int64_t count[kSlots], first_block[kSlots];
  int used = 0;
  int64_t blocks = 0;
};

/// parts[block] = sum of the squares of the block's elements
template <class T>
__global__ void squares_kernel(const __grid_constant__ NormTable<T> table, double* parts) {
  int slot = slot_of_block(table.first_block, table.used);
  int64_t first = (int64_t(blockIdx.x) - table.first_block[slot]) * kBlockElements;
  int64_t end = first + kBlockElements < table.count[slot] ? first + kBlockElements : table.count[slot];
  double sum = 0;
  for (int64_t i = first + threadIdx.x; i < end; i += kThreads) {
    double x = double(Real<T>(table.x[slot][i]));
    sum += x * x;
  }
  sum = block_reduce(sum, Plus{});
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

/// One block: y = the sum of the parts, in an order that depends on their number alone.
__global__ void add_up_kernel(int64_t count, const double* parts, double* y) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) sum += parts[i];
  sum = block_reduce(sum, Plus{});
  if (threadIdx.x == 0) *y = sum;
}

/// One thread: a counter of the step, which kernels after it read.
__global__ void advance_kernel(int64_t* counter, int64_t by, int64_t modulo) {
  int64_t n = *counter + by;
  *counter = modulo > 0 ? n % modulo : n;
}

/// Whoever finds a number that is none says so; all of them write the same.
template <class T>
__global__ void check_finite_kernel(int64_t count, const T* x, int64_t* flag) {
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < count; i += int64_t(gridDim.x) * kThreads)
    if (!isfinite(Real<T>(x[i]))) *flag = 0;
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

void sgd(Context& context, std::span<const SgdSlot> slots, SgdStep step, In schedule) {
  if (slots.empty()) return;
  const double* factor = schedule.as<double>();
  visit_real(slots[0].parameter.dtype, [&](auto zero) {
    using R = decltype(zero);
    if (step.momentum == 0)
      return update_list<R>(context, PlainSgd<R>{step.lr, factor}, slots, [](const SgdSlot& s) {
        return Slot<R>{{s.parameter.as<R>(), writable<R>(s.gradient)},
                       s.parameter.count(),
                       R(s.weight_decay),
                       s.lr_scale,
                       s.constant_lr};
      });
    update_list<R>(context, Sgd<R>{step.lr, factor, R(step.momentum), step.nesterov, step.first}, slots,
                   [](const SgdSlot& s) {
                     return Slot<R>{{s.parameter.as<R>(), s.momentum.as<R>(), writable<R>(s.gradient)},
                                    s.parameter.count(),
                                    R(s.weight_decay),
                                    s.lr_scale,
                                    s.constant_lr};
                   });
  });
}

void adam(Context& context, std::span<const AdamSlot> slots, AdamStep step, In schedule, In count) {
  if (slots.empty()) return;
  visit_real(slots[0].parameter.dtype, [&](auto zero) {
    using R = decltype(zero);
    Adam<R> rule{step.lr,
                 step.beta1,
                 step.beta2,
                 schedule.as<double>(),
                 count.as<int64_t>(),
                 step.step,
                 R(step.beta1),
                 R(step.beta2),
                 R(1 - step.beta1),
                 R(1 - step.beta2),
                 R(step.epsilon),
                 step.decoupled};
    update_list<R>(context, rule, slots, [](const AdamSlot& s) {
      return Slot<R>{{s.parameter.as<R>(), s.first.as<R>(), s.second.as<R>(), writable<R>(s.gradient)},
                     s.parameter.count(),
                     R(s.weight_decay),
                     s.lr_scale,
                     s.constant_lr};
    });
  });
}

void ema(Context& context, std::span<const EmaSlot> slots, double momentum) {
  if (slots.empty()) return;
  visit_real(slots[0].target.dtype, [&](auto zero) {
    using R = decltype(zero);
    update_list<R>(context, Ema<R>{R(momentum), R(1 - momentum)}, slots, [](const EmaSlot& s) {
      return Slot<R>{{s.target.as<R>(), writable<R>(s.source)}, s.target.count(), R(0), 0, true};
    });
  });
}

void advance(Context& context, Out counter, int64_t by, int64_t modulo) {
  launch(advance_kernel, 1, 1, 0, stream(context), counter.as<int64_t>(), by, modulo);
}

void check_finite(Context& context, In x, Out flag) {
  int64_t blocks = std::min<int64_t>(ceil_div(x.count(), kThreads), 1024);
  visit_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(check_finite_kernel<T>, dim3(grid_size(blocks)), kThreads, 0, stream(context), x.count(), x.as<T>(), flag.as<int64_t>());
  });
}

void squared_norm(Context& context, std::span<const NormSlot> slots, Out y) {
  int64_t blocks = 0, done = 0;
  for (const NormSlot& slot : slots) blocks += ceil_div(slot.x.count(), kBlockElements);
  auto* parts = static_cast<double*>(context.scratch(std::max<int64_t>(blocks, 1) * 8));
  if (!slots.empty()) {
    visit_float(slots[0].x.dtype, [&](auto zero) {
      using T = decltype(zero);
      NormTable<T> table;
      auto flush = [&] {
        launch(squares_kernel<T>, dim3(grid_size(table.blocks)), kThreads, 0, stream(context), table, parts + done);
        done += table.blocks;
        table.used = 0;
        table.blocks = 0;
      };
      for (const NormSlot& slot : slots) {
        if (slot.x.count() == 0) continue;
        table.x[table.used] = slot.x.as<T>();
        table.count[table.used] = slot.x.count();
        table.first_block[table.used++] = table.blocks;
        table.blocks += ceil_div(slot.x.count(), kBlockElements);
        if (table.used == kSlots) flush();
      }
      flush();
    });
  }
  launch(add_up_kernel, 1, kThreads, 0, stream(context), blocks, parts, y.as<double>());
}

}  // namespace plumage::cuda
