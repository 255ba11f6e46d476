// Linear evaluation: how well a linear classifier on frozen features tells the classes. Two solvers: `sgd` is
// the protocol of MoCo's and LCR's code, with a rate that only makes sense for features of unit length;
// `lbfgs` minimises the same loss with an L2 penalty, in seconds. Next in the walk: eval/lbfgs.h.
#pragma once
#include <string>
#include <vector>

#include "eval/features.h"

namespace plumage {

struct ProbeOptions {
  std::string solver = "sgd";  ///< sgd or lbfgs
  bool normalize = true;       ///< l2-normalise the features
  uint64_t seed = 0;           ///< initial weights and shuffles (sgd), validation split (lbfgs)

  int64_t epochs = 100, batch = 256;
  double lr = 30, momentum = 0.9;
  std::vector<int64_t> milestones{60, 80};  ///< epochs at which the rate falls to a tenth

  /// Loss = mean cross-entropy + penalty / 2 * |W|^2, biases free. Of several the best on `validation_share`
  /// of the training pictures is used on all of them; a tie goes to the larger penalty.
  std::vector<double> penalties{1e-2, 1e-3, 1e-4, 1e-5, 1e-6};
  double validation_share = 0.2;
  int64_t max_iterations = 200;
};

/// logits = v W' + b, of l2-normalised v if it was trained so.
struct LinearProbe {
  Tensor weight, bias;  ///< [C, n], [C]; of the features' type
  bool normalize = true;
  double penalty = 0;                    ///< the one used; 0 for sgd
  double loss = 0;                       ///< at the end: of the last epoch (sgd), of the minimum (lbfgs)
  Tensor logits(const Tensor& v) const;  ///< v: [N, n] -> [N, C]
};

/// Last epoch, never the best on test. Throws InputError for a training picture without label, fewer than two
/// classes, an unknown solver or a number out of range; MachineError naming the rate if sgd diverges.
LinearProbe train_probe(const Features& train, const ProbeOptions& options = {});

struct ClassScore {
  int64_t label = 0, count = 0, right = 0;
};

struct ProbeScores {
  double top1 = 0;             ///< share of test pictures, 0 to 1; of equal logits the first class wins
  double mean_class_top1 = 0;  ///< mean over classes
  std::vector<ClassScore> per_class;  ///< classes with test pictures, ascending
};

/// Throws InputError for a test picture without label, ShapeError if the widths differ.
ProbeScores score_probe(const LinearProbe& probe, const Features& test);

struct ProbeResult {
  LinearProbe probe;
  ProbeScores test;
  double train_top1 = 0;
  double seconds = 0;
};

/// Trains and scores. `train_rows` (if not empty) are the rows of `train` whose labels may be used: label
/// fractions.
ProbeResult linear_probe(const Features& train, const Features& test, const ProbeOptions& options = {},
                         const std::vector<int64_t>& train_rows = {});

}  // namespace plumage
