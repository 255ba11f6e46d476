// plumage retrieve: does a picture find others of its class?
#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/evaluation.h"
#include "eval/retrieval.h"

namespace plumage {

namespace {

struct Arguments : EvaluationArguments {
  std::string gallery = "self";
  bool leave_out_group = false;
};

void run(const Arguments& a) {
  RetrievalOptions options;
  options.leave_out_group = a.leave_out_group;
  a.report(a.gallery != "self");
  Features queries = a.features(a.split);
  RetrievalScores s = a.gallery == "self" ? retrieve(queries, options) : retrieve(queries, a.features(a.train_split), options);
  if (s.without_answer > 0) std::cerr << s.without_answer << " queries have no other picture of their class and are left out\n";
  nlohmann::ordered_json out = {{"rank1", percent(s.rank1)}, {"rank5", percent(s.rank5)}, {"mAP", percent(s.map)},
                                {"images", queries.size()}, {"queries", s.queries}};
  if (a.json) std::cout << out.dump() << '\n';
  else
    std::cout << "rank-1 " << percent(s.rank1) << " %, rank-5 " << percent(s.rank5) << " %, mAP " << percent(s.map) << " % of "
              << s.queries << " queries\n";
}

}  // namespace

void add_retrieve(CLI::App& program) {
  auto* command = program.add_subcommand("retrieve", "judge an encoder by nearest neighbours: rank-1, rank-5, mAP");
  command->footer("Example: plumage retrieve --weights runs/birds/checkpoint.safetensors --data photos --size 64");
  auto a = std::make_shared<Arguments>();
  a->add_to(*command);
  command->add_option("--gallery", a->gallery, "self: each against the rest; train: against the training part (retrieval.gallery)")
      ->check(CLI::IsMember({"self", "train"}));
  command->add_flag("--leave-out-group", a->leave_out_group, "pictures of the query's own group (GTSRB: track) are not found");
  command->callback([a] { run(*a); });
}

}  // namespace plumage
