// Every convolution that the networks ask for, forward and backward, by running them on a table of kernels
// that computes nothing and writes down the shapes.
#pragma once
#include <string>
#include <vector>

#include "tensor/backend/cuda/conv_plan.h"

namespace plumage::test {

/// One convolution of batch 1; `users` are the networks that have it: "resnet50, resnet18 64 px".
struct Layer {
  cuda::ConvProblem problem;
  std::string users;
};

/// ResNet-18 and 50 at 224 pixels, ResNet-18 at 64, their decoders: training step (forward, also with
/// statistics, dx, dw) and frozen. f32, each once, in the order of their problems.
std::vector<Layer> recorded_layers();

}  // namespace plumage::test
