// plumage report: the page of a run.
#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/commands.h"
#include "cli/run_report.h"

namespace plumage {

void add_report(CLI::App& program) {
  auto* command = program.add_subcommand("report", "write the report.html of a run folder");
  command->footer("Example: plumage report runs/birds");
  auto run = std::make_shared<std::string>();
  command->add_option("run", *run, "folder of the run")->required();
  command->callback([run] { std::cout << "report: " << write_run_report(*run).string() << '\n'; });
}

}  // namespace plumage
