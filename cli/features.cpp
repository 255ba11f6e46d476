// plumage features: what an encoder makes of a set of pictures, as numbers for other programs.
#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/evaluation.h"
#include "nn/weights/output_file.h"
#include "nn/weights/safetensors.h"

namespace plumage {

namespace {

struct Arguments : EvaluationArguments {
  std::string out;
};

void run(const Arguments& a) {
  std::filesystem::path out = a.out, list = std::filesystem::path(a.out).replace_extension(".txt");
  a.report(false);
  if (out.extension() != ".safetensors")
    throw InputError(a.out + ": features are written as safetensors; give a name that ends in .safetensors");
  if (std::filesystem::exists(list) && !std::filesystem::exists(out))
    throw InputError(list.string() + ": is there already, and not beside " + a.out +
                     "; the paths would be written over it: give another name");
  { OutputFile probe(list); }  // said before the work, not after it
  Features features = a.features(a.split, Labels::wanted);
  check_features(features, a.data.c_str());
  std::string paths;
  for (const std::string& path : features.paths) paths += path + "\n";
  OutputFile text(list);
  text.write(paths.data(), int64_t(paths.size()));
  write_safetensors(out, TensorFile{{{"features", features.v}, {"labels", features.labels}}, {}});
  text.finish();
  std::cerr << a.out << ": features " << features.v.shape() << ", paths in " << list.string() << '\n';
  nlohmann::ordered_json report = {
      {"images", features.size()}, {"features", features.v.size(1)}, {"out", a.out}, {"paths", list.string()}};
  if (a.json) std::cout << report.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

}  // namespace

void add_features(CLI::App& program) {
  auto* command = program.add_subcommand("features", "write an encoder's features of a set of pictures");
  command->footer(
      "Example: plumage features --weights resnet50.pth --data CUB_200_2011 --dataset cub --split test "
      "--size 224 --out cub.safetensors\n"
      "         writes features [N, n] f32, labels [N] i64 (-1: not known), and the pictures' paths in the "
      "same order in cub.txt");
  auto a = std::make_shared<Arguments>();
  a->add_to(*command);
  command->add_option("--out", a->out, "FILE.safetensors; the paths go to FILE.txt")->required();
  command->callback([a] { run(*a); });
}

}  // namespace plumage
