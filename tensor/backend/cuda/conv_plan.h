// A convolution as cuDNN sees it: which graph it is, and which of the engines may compute it. Needs no
// device, so that tests can ask for every layer of the networks (tests/cudnn). Next:
// tensor/backend/cuda/plan_cache.h.
#pragma once
#include <compare>

#include "tensor/backend/cuda/cudnn_graph.h"

namespace plumage::cuda {

enum class ConvPass : uint8_t { forward, dx, dw, frozen, stats };

/// All that decides between plans, and so the key under which one is kept. Sizes as in ops.def: x [N,H,W,C],
/// w [K,R,S,C], y [N,P,Q,K].
struct ConvProblem {
  ConvPass pass = ConvPass::forward;
  DType dtype = DType::f32;  ///< f32 or bf16, of all tensors but shift and statistics, which are f32; sums are f32
  int64_t N = 0, H = 0, W = 0, C = 0, K = 0, R = 0, S = 0, P = 0, Q = 0, stride = 1, pad = 0;
  bool onto = false;                    ///< dx: added to what its memory holds
  bool residual = false, relu = false;  ///< frozen: what follows conv + shift
  int64_t alignment = 16;               ///< bytes that all pointers are multiples of, at most 16
  bool tf32 = false;                    ///< f32 inputs may be rounded to 10 bits of mantissa

  /// "frozen bf16 x 32 56 56 64 w 256 1 1 y 56 56 stride 1 pad 0 residual relu align 16": one line, names the
  /// plan.
  std::string str() const;
  auto operator<=>(const ConvProblem&) const = default;
};

/// A problem of these tensors: shapes of x (or dx), w (or dw) and y (or dy).
ConvProblem conv_problem(ConvPass pass, DType dtype, const Shape& x, const Shape& w, const Shape& y,
                         const Window& window);

/// Pictures have three channels; engines for 16-bit types read 8 bytes a pixel. Such an x and w get a fourth
/// of zeros.
constexpr int64_t kStemChannels = 4;
constexpr bool is_stem(DType type, int64_t channels) { return type == DType::bf16 && channels == 3; }

/// Whether cuDNN is asked for a convolution and what follows it in one kernel: the engines that fuse all round
/// their inputs to 16 bits or TF32, so in plain f32 it is a convolution and a pass over y.
inline bool fusible(const ConvProblem& p) { return p.dtype == DType::bf16 || p.tf32; }

/// Numbers of the tensors in a plan. For dx and dw the gradient stands in its tensor's place. kZero: the
/// number 0, for relu.
enum ConvTensor : int64_t {
  kTensorX = 1,
  kTensorW,
  kTensorY,
  kTensorShift,
  kTensorResidual,
  kTensorSum,  ///< stats: of y and of its squares over all but the channels, f32 [1, K]
  kTensorSquares,
  kZero,
  kFirstWithin
};

Graph conv_graph(const ConvProblem& problem);

/// Whether an engine may be used: repeatable bit for bit, sums in f32, f32 inputs not rounded unless tf32
/// allows it.
bool allowed(const EngineNotes& notes, const ConvProblem& problem);

/// Bytes of workspace that a convolution may ask for.
inline constexpr int64_t kWorkspaceLimit = int64_t(1) << 30;

/// The allowed engines within the limit, the one held for the fastest first. Where the heuristics have none:
/// those of cuDNN's fallback list, but for frozen and stats, which two kernels do better.
std::vector<EngineConfig> conv_engines(const ConvProblem& problem, const Descriptor& device);

}  // namespace plumage::cuda
