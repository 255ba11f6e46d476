// Softmax regression on cached features, by SGD or L-BFGS. Next in the walk: eval/retrieval.h.
#include "eval/linear_probe.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "data/loader.h"
#include "data/split.h"
#include "eval/lbfgs.h"
#include "tensor/context.h"
#include "tensor/ops.h"

namespace plumage {
namespace {

void check_options(const ProbeOptions& options) {
  auto wrong = [](const char* what, auto got) { throw InputError(message("probe: ", what, ", got ", got)); };
  if (options.solver != "sgd" && options.solver != "lbfgs")
    wrong("solver must be sgd or lbfgs", options.solver);
  if (options.epochs < 1) wrong("epochs must be at least 1", options.epochs);
  if (options.batch < 1) wrong("batch must be at least 1", options.batch);
  if (!(options.lr > 0)) wrong("lr must be above 0", options.lr);
  if (!(options.momentum >= 0 && options.momentum < 1)) wrong("momentum must be in [0, 1)", options.momentum);
  if (options.penalties.empty()) wrong("penalties must name one or more", "none");
  for (double p : options.penalties)
    if (!(p >= 0 && std::isfinite(p))) wrong("penalties must be 0 or more", p);
  if (!(options.validation_share > 0 && options.validation_share < 1)) {
    wrong("validation_share must be between 0 and 1", options.validation_share);
  }
}

void check_labels(const Features& features, const char* what) {
  for (int64_t i = 0; i < features.size(); ++i) {
    if (features.label(i) >= 0) continue;
    throw InputError(message("probe: ", features.name(i),
                             " has no label; linear evaluation needs one for every ", what, " picture"));
  }
}

void check_train(const Features& train) {
  check_features(train, "probe (train)");
  check_labels(train, "training");
  auto labels = train.labels.span<int64_t>();
  if (std::all_of(labels.begin(), labels.end(), [&](int64_t l) { return l == labels[0]; })) {
    throw InputError(
        message("probe: all ", train.size(), " training pictures are of one class; it needs two"));
  }
}

/// f64 stays, everything else is computed in f32.
Tensor prepare(const Tensor& v, bool normalize) {
  Tensor x = v.dtype() == DType::f64 ? v : ops::cast(v, DType::f32);
  return normalize ? ops::l2_normalize(x).first : x;
}

/// Steps as small as a probe's are over before a second thread has woken up, and where other programs want
/// the cores too, waiting for it costs ten times the work: one thread serves where a step is short.
class ThreadsForSteps {
 public:
  explicit ThreadsForSteps(int64_t multiplications) : saved_(Context::cpu().threads()) {
    constexpr int64_t kShort = 100'000'000;
    if (multiplications < kShort) Context::cpu().set_threads(1);
  }
  ~ThreadsForSteps() { Context::cpu().set_threads(saved_); }
  ThreadsForSteps(const ThreadsForSteps&) = delete;
  ThreadsForSteps& operator=(const ThreadsForSteps&) = delete;

 private:
  int saved_;
};

struct Gradient {
  Tensor dweight, dbias;
};

/// Mean cross-entropy over the rows of x, and its gradient.
double loss_and_gradient(const Tensor& x, const Tensor& labels, const LinearProbe& probe,
                         Gradient& gradient) {
  int64_t rows = x.size(0);
  Tensor logits = ops::matmul(x, probe.weight, false, true, probe.bias);  // logits: [B, C]
  auto [loss, lse] = ops::cross_entropy(logits, labels);                  // loss: [B]
  Tensor dlogits =
      ops::cross_entropy_bwd(logits, labels, lse, Tensor::full({rows}, 1.0 / double(rows), x.dtype()));
  gradient.dweight = ops::matmul(dlogits, x, true, false);  // dweight: [C, n]
  gradient.dbias = ops::sum_to(dlogits, probe.bias.shape());
  double sum = 0;
  for (double l : loss.to_vector()) sum += l;
  return sum / double(rows);
}

LinearProbe train_sgd(const Tensor& x, const Tensor& labels, int64_t classes, const ProbeOptions& options) {
  LinearProbe probe;
  probe.weight = ops::normal({classes, x.size(1)}, {options.seed, Purpose::probe, 0}, 0, 0.01, x.dtype());
  probe.bias = Tensor::zeros({classes}, x.dtype());
  Tensor weight_momentum = Tensor::zeros(probe.weight.shape(), x.dtype());
  Tensor bias_momentum = Tensor::zeros(probe.bias.shape(), x.dtype());
  SgdStep step{options.lr, options.momentum, false, true};
  for (int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    if (std::count(options.milestones.begin(), options.milestones.end(), epoch)) step.lr *= 0.1;
    Tensor order = Tensor::from(epoch_order(x.size(0), options.seed, epoch), {x.size(0)});
    double loss = 0;
    for (int64_t first = 0; first < x.size(0); first += options.batch) {  // the last batch may be smaller
      Tensor rows = order.slice(first, std::min(options.batch, x.size(0) - first));
      Gradient gradient;
      loss += double(rows.size(0)) *
              loss_and_gradient(ops::gather_rows(x, rows), ops::gather_rows(labels, rows), probe, gradient);
      ops::sgd(std::vector<ops::SgdParameter>{{probe.weight, gradient.dweight, weight_momentum},
                                              {probe.bias, gradient.dbias, bias_momentum}},
               step);
      step.first = false;
    }
    probe.loss = loss / double(x.size(0));
    if (!std::isfinite(probe.loss)) {
      throw MachineError(message("probe: the loss is not finite in epoch ", epoch + 1, " at lr ", options.lr,
                                 "; use a smaller rate or l2-normalised features"));
    }
  }
  return probe;
}

Tensor tensor_of(std::span<const double> values, const Shape& shape, DType dtype) {
  return ops::cast(Tensor::from(values, shape), dtype);
}

/// Minimises over the flat parameters [C * n + C], which are where the search starts and where it ends.
LinearProbe train_lbfgs(const Tensor& v, const Tensor& labels, double penalty, std::vector<double>& flat,
                        const ProbeOptions& options) {
  // Centred features condition the problem far better, and a free bias makes the minimum the same.
  Tensor mean = ops::scale(ops::sum_to(v, {v.size(1)}), 1.0 / double(v.size(0)));  // mean: [n]
  Tensor x = ops::sub(v, mean);                                                    // x: [N, n]
  int64_t n = x.size(1), classes = int64_t(flat.size()) / (n + 1);
  LinearProbe probe;
  auto unpack = [&](std::span<const double> parameters) {
    probe.weight = tensor_of(parameters.first(size_t(classes * n)), {classes, n}, x.dtype());
    probe.bias = tensor_of(parameters.last(size_t(classes)), {classes}, x.dtype());
  };
  auto objective = [&](std::span<const double> parameters, std::span<double> gradient) {
    unpack(parameters);
    Gradient g;
    double value = loss_and_gradient(x, labels, probe, g);
    std::vector<double> dweight = g.dweight.to_vector(), dbias = g.dbias.to_vector();
    for (size_t i = 0; i < dweight.size(); ++i) {
      value += penalty / 2 * parameters[i] * parameters[i];
      gradient[i] = dweight[i] + penalty * parameters[i];
    }
    std::copy(dbias.begin(), dbias.end(), gradient.begin() + std::ptrdiff_t(dweight.size()));
    return value;
  };
  LbfgsOptions lbfgs;
  lbfgs.max_iterations = options.max_iterations;
  if (x.dtype() == DType::f64)
    lbfgs.tolerance = 1e-9;
  else
    lbfgs.noise = 1e-7;
  probe.loss = minimize_lbfgs(objective, flat, lbfgs).value;
  unpack(flat);
  Tensor shift = ops::matmul(mean.reshape({1, n}), probe.weight, false, true).reshape({classes});
  probe.bias = ops::sub(probe.bias, shift);
  probe.penalty = penalty;
  return probe;
}

double top1(const LinearProbe& probe, const Tensor& x, const Tensor& labels) {
  Tensor logits = ops::matmul(x, probe.weight, false, true, probe.bias);
  Tensor predicted = ops::max_last(logits).second;
  int64_t right = 0;
  for (int64_t i = 0; i < x.size(0); ++i) right += predicted.data<int64_t>()[i] == labels.data<int64_t>()[i];
  return double(right) / double(x.size(0));
}

/// Rows for fitting and rows for choosing the penalty: by class, groups kept together.
ValidationSplit split_rows(const Features& train, const ProbeOptions& options) {
  Dataset rows;
  for (int64_t i = 0; i < train.size(); ++i) {
    rows.samples.push_back({{}, train.label(i), {}, train.group(i)});
  }
  return validation_split(rows, options.validation_share, options.seed);
}

/// From the largest penalty to the smallest, each starting where the last one ended.
double choose_penalty(const Features& train, const Tensor& x, int64_t classes, const ProbeOptions& options) {
  std::vector<double> penalties = options.penalties;
  std::sort(penalties.rbegin(), penalties.rend());
  ValidationSplit split = split_rows(train, options);
  if (penalties.size() == 1 || split.validation.empty()) return penalties[penalties.size() / 2];
  auto take = [&](const Tensor& t, const std::vector<int64_t>& rows) {
    return ops::gather_rows(t, Tensor::from(rows, {int64_t(rows.size())}));
  };
  Tensor fit_x = take(x, split.train), fit_labels = take(train.labels, split.train);
  Tensor held_x = take(x, split.validation), held_labels = take(train.labels, split.validation);
  std::vector<double> flat(size_t(classes * (x.size(1) + 1)));
  double best = penalties[0], best_top1 = -1;
  for (double penalty : penalties) {
    double share = top1(train_lbfgs(fit_x, fit_labels, penalty, flat, options), held_x, held_labels);
    if (share > best_top1) best = penalty, best_top1 = share;
  }
  return best;
}

}  // namespace

Tensor LinearProbe::logits(const Tensor& v) const {
  Tensor x = ops::cast(prepare(v, normalize), weight.dtype());
  return ops::matmul(x, weight, false, true, bias);
}

LinearProbe train_probe(const Features& train, const ProbeOptions& options) {
  check_options(options);
  check_train(train);
  Tensor x = prepare(train.v, options.normalize);  // x: [N, n]
  int64_t classes = train.class_count();
  int64_t rows = options.solver == "sgd" ? std::min(options.batch, train.size()) : train.size();
  ThreadsForSteps threads(rows * x.size(1) * classes);
  LinearProbe probe;
  if (options.solver == "sgd") {
    probe = train_sgd(x, train.labels, classes, options);
  } else {
    double penalty = choose_penalty(train, x, classes, options);
    std::vector<double> flat(size_t(classes * (x.size(1) + 1)));
    probe = train_lbfgs(x, train.labels, penalty, flat, options);
  }
  probe.normalize = options.normalize;
  return probe;
}

ProbeScores score_probe(const LinearProbe& probe, const Features& test) {
  check_features(test, "probe (test)");
  check_labels(test, "test");
  Tensor predicted = ops::max_last(probe.logits(test.v)).second;  // predicted: [N]
  std::vector<ClassScore> classes(size_t(test.class_count()));
  int64_t right = 0;
  for (int64_t i = 0; i < test.size(); ++i) {
    ClassScore& score = classes[size_t(test.label(i))];
    bool hit = predicted.data<int64_t>()[i] == test.label(i);
    ++score.count;
    score.right += hit;
    right += hit;
  }
  ProbeScores scores;
  scores.top1 = double(right) / double(test.size());
  for (size_t c = 0; c < classes.size(); ++c) {
    if (classes[c].count == 0) continue;
    classes[c].label = int64_t(c);
    scores.mean_class_top1 += double(classes[c].right) / double(classes[c].count);
    scores.per_class.push_back(classes[c]);
  }
  scores.mean_class_top1 /= double(scores.per_class.size());
  return scores;
}

ProbeResult linear_probe(const Features& train, const Features& test, const ProbeOptions& options,
                         const std::vector<int64_t>& train_rows) {
  auto start = std::chrono::steady_clock::now();
  Features part = train_rows.empty() ? train : subset(train, train_rows);
  ProbeResult result;
  result.probe = train_probe(part, options);
  result.train_top1 = score_probe(result.probe, part).top1;
  result.test = score_probe(result.probe, test);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace plumage
