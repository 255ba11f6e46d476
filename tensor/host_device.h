// The marker of code that runs in CUDA kernels too. Nothing else of the toolkit shows outside of tensor/backend/cuda.
#pragma once

#ifdef __CUDACC__
#define PLUMAGE_HOST_DEVICE __host__ __device__
#else
#define PLUMAGE_HOST_DEVICE
#endif
