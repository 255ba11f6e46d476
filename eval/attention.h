// Where an encoder looks: Grad-CAM (Selvaraju et al., ICCV 2017) of its last feature map, for any score of v.
// Next in the walk: eval/picture.h, which shows it.
#pragma once
#include <functional>

#include "autograd/var.h"
#include "data/image.h"
#include "nn/resnet.h"

namespace plumage {

/// A score for each row of v: [N, n] -> [N].
using Score = std::function<Var(const Var& v)>;

Score feature_norm();                                    ///< |v|
Score class_logit(const Tensor& weight, int64_t label);  ///< weight [C, n], of a classifier or a probe
Score similarity_to(const Tensor& other);                ///< cosine with other [n]: what makes the two alike

/// relu(sum over channels c of a_c * map_c), a_c the mean over the map of d score / d map_c; divided by each
/// picture's largest value (all 0 where nothing speaks for the score). x: [N, H, W, 3], normalised -> [N, h,
/// w], 0 to 1, at the resolution of the last stage. Running statistics; no parameter's gradient is touched.
/// Throws ShapeError if the score is not [N].
Tensor grad_cam(const ResNet& encoder, const Tensor& x, const Score& score);

/// Bilinear between the centres of its cells: map [h, w] -> [height, width].
Tensor upsample_map(const Tensor& map, int64_t height, int64_t width);

/// The picture with the map laid over it in warm colours, `strength` of them where the map is 1. map [h, w]
/// of any size.
Image overlay(const Image& picture, const Tensor& map, double strength = 0.6);

}  // namespace plumage
