#include "ssl/method.h"

namespace plumage {

Var BaseMethod::predict_contrast(const Var&, const Tensor&, const Pass&) { throw Error("this method has no predictor"); }

}  // namespace plumage
