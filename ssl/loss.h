// The losses of the method: pure functions from Vars to Vars. Next: ssl/saliency.h.
#pragma once
#include <string>

#include "autograd/functions.h"

namespace plumage {

/// Whether the positive takes part in the denominator of InfoNCE. The paper's eq. 1 and 7 leave it out (Yeh et al.,
/// "Decoupled Contrastive Learning", ECCV 2022); MoCo keeps it.
enum class Denominator { with_positive, without_positive };

/// InfoNCE against a queue (MoCo v2; He et al. 2020, eq. 1), one loss a row [B]:
///   -q.k/tau + log(exp(q.k/tau) + sum over queue of exp(q.n/tau))
/// q, k: [B, d] unit rows, k a constant; queue: [K, d] unit rows. Throws InputError if tau <= 0.
Var queue_loss(const Var& q, const Tensor& k, const Tensor& queue, double tau, Denominator denominator);

/// InfoNCE within the batch (paper, eq. 1 and 7), one loss a row of a, [B]: the positive of a_i is b_i, its negatives
/// are the other 2B - 2 rows of a and b. a, b: [B, d] unit rows. Throws ShapeError if B < 2 (no negatives).
Var batch_loss(const Var& a, const Var& b, double tau, Denominator denominator);
/// Mean over both directions, a to b and b to a: [2B].
Var symmetric_batch_loss(const Var& a, const Var& b, double tau, Denominator denominator);

/// -cos(p_i, z_i), one a row [B]; z is taken as a constant (SimSiam's stop-gradient; Chen and He 2021, eq. 1).
Var negative_cosine(const Var& p, const Tensor& z);

/// Mean squared error over all pixels, colours and images, rank 0 (paper, eq. 2). x: as x_hat, a constant.
Var reconstruction_loss(const Var& x_hat, const Tensor& x);

}  // namespace plumage
