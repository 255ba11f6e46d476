// Which dimensions of v matter to the contrastive loss: input-gradient Grad-CAM (paper, section 3.3).
// Next: ssl/feature_bank.h.
#pragma once
#include "tensor/tensor.h"

namespace plumage {

/// The quantity whose gradient is taken. `loss` is eq. 3 to the letter; it protects features that raise the loss,
/// against the text's meaning; `negative_loss` is that meaning; `abs` protects both (docs/paper-notes.md, d).
enum class SaliencyTarget { loss, negative_loss, abs };
/// How eta is brought to [0, 1]: eq. 4, or clipped at its 90th percentile, or by rank (the least stay zero).
enum class SaliencyScale { minmax, p90, rank };

/// eta [B, n] = relu(gradient * v), of each image's own loss (paper, eq. 3). gradient, v: [B, n]
Tensor gradcam(const Tensor& gradient, const Tensor& v, SaliencyTarget target);

/// eta_bar [B, n] in [0, 1], each image by itself (paper, eq. 4). Where all eta of an image are equal: 0, full noise.
/// p90 where fewer than a tenth are above the least: those are 1.
Tensor scale_saliency(const Tensor& eta, SaliencyScale scale);

/// (x - min) / (max - min) along the last dimension; 0 where max = min.
Tensor min_max(const Tensor& x);

}  // namespace plumage
