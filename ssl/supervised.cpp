#include "ssl/supervised.h"

namespace plumage {

void Supervised::forward(const Views& views, Step& step, const Emit& emit) {
  Pass pass = Pass::train(step.statistics, options_.bn_splits);
  pass.compute = options_.compute;
  step.x1 = views.x1;
  Var v = encoder_.features(Var(views.x1), pass);                   // [B, n]
  Var loss = cross_entropy(encoder_.logits(v, pass), views.labels);  // [B]
  step.v1 = v.value();
  emit({{"cross_entropy", mean(loss), 1}});
}

}  // namespace plumage
