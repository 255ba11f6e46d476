// Optimisers and the moving average: one parallel pass over all parameters of a list, cut into pieces.
#include <vector>

#include "tensor/backend/cpu/parallel.h"
#include "tensor/backend/cpu/simd.h"

namespace plumage::cpu {
namespace {

// f(slot, begin, end) over pieces of all slots; `target` names the tensor that a slot updates.
template <class Slot, class F>
void for_pieces(Context& context, std::span<const Slot> slots, Out Slot::*target, F&& f) {
  struct Piece { const Slot* slot; int64_t begin, end; };
  std::vector<Piece> pieces;
  for (const Slot& slot : slots)
    for (int64_t i = 0, n = (slot.*target).count(); i < n; i += kGrain) pieces.push_back({&slot, i, std::min(n, i + kGrain)});
  parallel(context, int64_t(pieces.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) f(*pieces[size_t(i)].slot, pieces[size_t(i)].begin, pieces[size_t(i)].end);
  });
}

}  // namespace

void sgd(Context& context, std::span<const SgdSlot> slots, SgdStep step, In schedule) {
  for_pieces(context, slots, &SgdSlot::parameter, [&](const SgdSlot& slot, int64_t begin, int64_t end) {
    float* __restrict p = slot.parameter.as<float>();
    float* __restrict m = slot.momentum.as<float>();
    const float* __restrict gradient = slot.gradient.as<float>();
    float decay = float(slot.weight_decay), lr = float(step.lr * rate_scale(slot, schedule));
    // On the first step momentum holds anything, NaN perhaps: it is not read.
    float keep = float(step.momentum);
    if (keep == 0.f) {
      for (int64_t i = begin; i < end; ++i) p[i] -= lr * (gradient[i] + decay * p[i]);
      return;
    }
    if (step.first)
      for (int64_t i = begin; i < end; ++i) m[i] = gradient[i] + decay * p[i];
    else
      for (int64_t i = begin; i < end; ++i) m[i] = keep * m[i] + (gradient[i] + decay * p[i]);
    if (step.nesterov)
      for (int64_t i = begin; i < end; ++i) p[i] -= lr * ((gradient[i] + decay * p[i]) + keep * m[i]);
    else
      for (int64_t i = begin; i < end; ++i) p[i] -= lr * m[i];
  });
}

void adam(Context& context, std::span<const AdamSlot> slots, AdamStep step, In schedule, In count) {
  if (count.data) step.step = *count.as<int64_t>();
  float correction1 = float(1 / (1 - std::pow(step.beta1, double(step.step))));
  float correction2 = float(1 / (1 - std::pow(step.beta2, double(step.step))));
  float keep1 = float(step.beta1), take1 = float(1 - step.beta1), keep2 = float(step.beta2), take2 = float(1 - step.beta2);
  float epsilon = float(step.epsilon);
  for_pieces(context, slots, &AdamSlot::parameter, [&](const AdamSlot& slot, int64_t begin, int64_t end) {
    float* __restrict p = slot.parameter.as<float>();
    float* __restrict first = slot.first.as<float>();
    float* __restrict second = slot.second.as<float>();
    const float* __restrict gradient = slot.gradient.as<float>();
    double lr = step.lr * rate_scale(slot, schedule);
    float rate = float(lr), shrink = step.decoupled ? float(1 - lr * slot.weight_decay) : 1.f;
    float decay = step.decoupled ? 0.f : float(slot.weight_decay);
    for (int64_t i = begin; i < end; ++i) {
      float g = gradient[i] + decay * p[i];
      float m = keep1 * first[i] + take1 * g, v = keep2 * second[i] + take2 * g * g;
      first[i] = m;
      second[i] = v;
      p[i] = shrink * p[i] - rate * (m * correction1) / (std::sqrt(v * correction2) + epsilon);
    }
  });
}

void ema(Context& context, std::span<const EmaSlot> slots, double momentum) {
  float keep = float(momentum), take = float(1 - momentum);
  for_pieces(context, slots, &EmaSlot::target, [&](const EmaSlot& slot, int64_t begin, int64_t end) {
    float* __restrict target = slot.target.as<float>();
    const float* __restrict source = slot.source.as<float>();
    if (keep < 0.5f)
      for (int64_t i = begin; i < end; ++i) target[i] = keep * target[i] + take * source[i];
    else  // where both are equal the target stays what it is
      for (int64_t i = begin; i < end; ++i) target[i] += take * (source[i] - target[i]);
  });
}

// Sums of pieces that do not depend on the threads, added in order.
void squared_norm(Context& context, std::span<const NormSlot> slots, Out y) {
  struct Piece { const NormSlot* slot; int64_t begin, end; double sum; };
  std::vector<Piece> pieces;
  for (const NormSlot& slot : slots)
    for (int64_t i = 0, n = slot.x.count(); i < n; i += kGrain) pieces.push_back({&slot, i, std::min(n, i + kGrain), 0});
  parallel(context, int64_t(pieces.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) {
      Piece& piece = pieces[size_t(p)];
      visit_float(piece.slot->x.dtype, [&](auto zero) {
        const auto* x = piece.slot->x.as<decltype(zero)>();
        double lanes[kLanes] = {};
        auto add = [&](int64_t i, int lane) { lanes[lane] += double(float(x[i])) * double(float(x[i])); };
        int64_t i = piece.begin;
        for (; i + kLanes <= piece.end; i += kLanes)
          for (int lane = 0; lane < kLanes; ++lane) add(i + lane, lane);
        for (; i < piece.end; ++i) add(i, int(i % kLanes));
        for (double lane : lanes) piece.sum += lane;
      });
    }
  });
  double sum = 0;
  for (const Piece& piece : pieces) sum += piece.sum;
  *y.as<double>() = sum;
}

}  // namespace plumage::cpu
