// plumage knn: labels by nearest neighbours in the training part.
#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/evaluation.h"
#include "eval/knn.h"

namespace plumage {

namespace {

struct Arguments : EvaluationArguments {
  KnnOptions knn;
  bool plain = false;
};

void run(const Arguments& a) {
  KnnOptions options = a.knn;
  options.weighted = !a.plain;
  a.report(true);
  Features gallery = a.features(a.train_split), queries = a.features(a.split);
  double top1 = percent(knn_top1(queries, gallery, options));
  nlohmann::ordered_json out = {{"top1", top1}, {"k", options.k}, {"images", queries.size()}};
  if (a.json) std::cout << out.dump() << '\n';
  else std::cout << "top-1 " << top1 << " % of " << queries.size() << " images\n";
}

}  // namespace

void add_knn(CLI::App& program) {
  auto* command = program.add_subcommand("knn", "judge an encoder by k nearest neighbours in the training part");
  command->footer("Example: plumage knn --weights runs/birds/checkpoint.safetensors --data photos --size 64 -k 20");
  auto a = std::make_shared<Arguments>();
  a->add_to(*command);
  command->add_option("-k,--neighbours", a->knn.k, "neighbours that vote")->check(CLI::Range(1, 1000000));
  command->add_option("--temperature", a->knn.temperature, "votes weigh exp(similarity / temperature)");
  command->add_flag("--plain", a->plain, "each vote counts the same");
  command->add_option("--train-split", a->train_split, "part whose labels vote");
  command->callback([a] { run(*a); });
}

}  // namespace plumage
