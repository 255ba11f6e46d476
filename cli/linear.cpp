// plumage linear: a linear classifier on frozen features.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/evaluation.h"
#include "data/list_file.h"
#include "data/split.h"
#include "eval/linear_probe.h"

namespace plumage {

namespace {

struct Arguments : EvaluationArguments {
  std::vector<double> fractions{1.0};
  std::string lists;
  ProbeOptions probe;
  double validation = 0;
  bool raw = false;
};

// Parts of the training pictures to learn from and to judge on; groups (GTSRB's tracks) stay together.
std::pair<Features, Features> hold_out(const Features& all, double share, uint64_t seed) {
  Dataset dataset;
  for (int64_t i = 0; i < all.size(); ++i) dataset.samples.push_back({all.name(i), all.label(i), {}, all.group(i)});
  ValidationSplit parts = validation_split(dataset, share, seed);
  return {subset(all, parts.train), subset(all, parts.validation)};
}

std::vector<int64_t> labels_of_features(const Features& features) {
  auto span = features.labels.span<int64_t>();
  return {span.begin(), span.end()};
}

// The pictures whose labels were used, as a list file.
void write_fraction(const std::string& folder, const Features& train, const std::vector<int64_t>& rows, double fraction) {
  std::filesystem::create_directories(folder);
  Dataset dataset;
  dataset.name = "labels";
  for (int64_t row : rows) dataset.samples.push_back({std::filesystem::absolute(train.paths[size_t(row)]), train.label(row), {}, {}});
  for (int64_t c = 0; c < train.class_count(); ++c) dataset.class_names.push_back(std::to_string(c));
  write_list(std::filesystem::path(folder) / message("labels-", std::lround(fraction * 100), ".txt"), dataset);
}

void run(const Arguments& a) {
  a.report(a.validation <= 0);
  Features train = a.features(a.train_split), test;
  if (a.validation > 0) std::tie(train, test) = hold_out(train, a.validation, a.probe.seed);
  else test = a.features(a.split);
  ProbeOptions options = a.probe;
  options.normalize = !a.raw;
  nlohmann::ordered_json out;
  out["images"] = test.size();
  for (double fraction : a.fractions) {
    std::vector<int64_t> rows = label_fraction(labels_of_features(train), fraction, options.seed);
    if (!a.lists.empty()) write_fraction(a.lists, train, rows, fraction);
    ProbeResult result = linear_probe(train, test, options, rows);
    double top1 = percent(result.test.top1);
    std::cerr << "linear probe, " << options.solver << ", " << rows.size() << " labels (" << percent(fraction) << " %): top-1 "
              << top1 << " %, mean over classes " << percent(result.test.mean_class_top1) << " %\n";
    nlohmann::ordered_json one = {{"fraction", fraction}, {"labels", rows.size()}, {"top1", top1},
                                  {"mean_class_top1", percent(result.test.mean_class_top1)},
                                  {"train_top1", percent(result.train_top1)}};
    if (!out.contains("top1")) out["top1"] = top1;
    out["fractions"].push_back(one);
  }
  if (a.json) std::cout << out.dump() << '\n';
  else std::cout << "top-1 " << out["top1"].get<double>() << " % of " << test.size() << " images\n";
}

}  // namespace

void add_linear(CLI::App& program) {
  auto* command = program.add_subcommand("linear", "judge an encoder by a linear classifier on frozen features");
  command->footer("Example: plumage linear --weights runs/birds/checkpoint.safetensors --data photos --size 64 --fraction 1 0.5 0.2");
  auto a = std::make_shared<Arguments>();
  a->add_to(*command);
  command->add_option("--train-split", a->train_split, "part whose labels the classifier learns from");
  command->add_option("--fraction", a->fractions, "shares of the labels, stratified and nested (probe.fraction)");
  command->add_option("--lists", a->lists, "folder to write the pictures of each share to");
  command->add_option("--solver", a->probe.solver, "sgd (MoCo's protocol) or lbfgs (seconds) (probe.solver)")->check(CLI::IsMember({"sgd", "lbfgs"}));
  command->add_option("--lr", a->probe.lr, "sgd: learning rate");
  command->add_option("--epochs", a->probe.epochs, "sgd: epochs");
  command->add_option("--seed", a->probe.seed, "of shares, shuffles and validation split");
  command->add_option("--validation", a->validation, "judge on this share of the training part instead of the test part")->check(CLI::Range(0.0, 0.9));
  command->add_flag("--raw", a->raw, "features as they are, not of unit length (probe.normalize)");
  command->callback([a] { run(*a); });
}

}  // namespace plumage
