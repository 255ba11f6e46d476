// plumage synth: the synthetic fine-grained birds as an image folder.
#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/commands.h"
#include "data/synthetic_set.h"

namespace plumage {

namespace {

struct Arguments {
  std::string out, world = "simple";
  int64_t classes = 8, per_class = 100, px = 64, apart = 1, skip = 0;
  uint64_t seed = 0;
};

void run(const Arguments& a) {
  SyntheticSet set{SyntheticWorld::named(a.world), {}, a.seed, a.px};
  std::vector<Species> others;
  if (a.skip > 0) others = choose_species(a.skip, a.apart, a.seed);
  set.species = choose_species(a.classes, a.apart, a.seed, others);
  write_synthetic(a.out, set, a.per_class);
  std::cerr << a.out << ": " << a.classes << " classes, " << a.per_class << " training and "
            << std::max<int64_t>(1, a.per_class / 2) << " test pictures each\n";
}

}  // namespace

void add_synth(CLI::App& program) {
  auto* command = program.add_subcommand("synth", "write the synthetic birds as an image folder with train, test and masks");
  command->footer("Example: plumage synth birds --classes 8 --per-class 250 --seed 1");
  auto a = std::make_shared<Arguments>();
  command->add_option("out", a->out, "folder to make")->required();
  command->add_option("--classes", a->classes, "species")->check(CLI::Range(1, 72));
  command->add_option("--per-class", a->per_class, "training pictures of each; half as many for test")->check(CLI::Range(1, 1000000));
  command->add_option("--seed", a->seed, "of species and pictures");
  command->add_option("--world", a->world, "simple, or strict: pixels and colours say nothing of the class");
  command->add_option("--px", a->px, "pixels a side")->check(CLI::Range(8, 1024));
  command->add_option("--apart", a->apart, "marks that any two species differ in at least")->check(CLI::Range(1, 5));
  command->add_option("--skip", a->skip, "leave out the species that as many classes of this seed would take")->check(CLI::Range(0, 71));
  command->callback([a] { run(*a); });
}

}  // namespace plumage
