// Own kernels for what the libraries do not take: f64, pointers that are not aligned, shapes without an
// engine. Any type and shape, slow and certain. In kernels/conv2d.cu and kernels/matmul.cu.
#pragma once
#include "tensor/backend/kernels.h"

namespace plumage::cuda::plain {

void conv2d(Context& context, In x, In w, Out y, Window window);
void conv2d_dx(Context& context, In dy, In w, In onto, Out dx, Window window);
void conv2d_dw(Context& context, In x, In dy, Out dw, Window window);
void conv2d_frozen(Context& context, In x, In w, In shift, In residual, Out y, Window window,
                   Activation activation);
void matmul(Context& context, In a, In b, In bias, Out y, bool transpose_a, bool transpose_b);

/// y = act(y + shift + residual), y [.., K] read and written, shift [K], residual of y's shape or none.
void finish_frozen(Context& context, In shift, In residual, Out y, Activation activation);
/// Of `rows` numbers a channel: mean holds their sum and becomes the mean, variance holds that of their squares; both [1, C], f32.
void finish_stats(Context& context, int64_t rows, Out mean, Out variance);
/// x [.., c] -> y [.., C]: the first min(c, C) elements of each row, zeros behind.
void pad_last(Context& context, In x, Out y);

}  // namespace plumage::cuda::plain
