#include <CLI/CLI.hpp>
#include <iostream>
#include <new>

#include "cli/commands.h"
#include "tensor/env.h"
#include "tensor/errors.h"

namespace plumage {

namespace {

int fail(std::string what, int code) {
  for (char& c : what)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';  // one line, also where it quotes a hostile file
  std::cerr << "plumage: " << what << '\n';
  return code;
}

}  // namespace

int run_program(int argc, char** argv) {
  CLI::App program{"plumage: discriminative encoders from unlabelled photographs"};
  program.require_subcommand(1);
  program.set_help_all_flag("--help-all", "help of every command");
  program.set_version_flag("--version", "plumage 0.1.0");
  try {
    environment();
    add_demo(program);
    add_pretrain(program);
    add_pretrain_decoder(program);
    add_supervised(program);
    add_linear(program);
    add_retrieve(program);
    add_knn(program);
    add_features(program);
    add_inspect(program);
    add_convert(program);
    add_export(program);
    add_dataset(program);
    add_synth(program);
    add_report(program);
    add_info(program);
    auto known = program.get_subcommands([&](CLI::App* command) { return argc > 1 && command->get_name() == argv[1]; });
    if (argc > 1 && argv[1][0] != '-' && known.empty())
      throw InputError(message("unknown command ", argv[1], "; see plumage --help"));
    program.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help, --version
    return fail(std::string(error.what()) + "; see plumage --help", 2);
  } catch (const ExitWith& exit) {
    return exit.code;
  } catch (const Error& error) {
    if (environment().debug) throw;  // uncaught: a debugger or core file then shows where it came from
    return fail(error.what(), error.exit_code());
  } catch (const std::bad_alloc&) {
    return fail("out of memory; try a smaller batch or image size", 1);
  } catch (const std::exception& error) {
    return fail(error.what(), 1);
  }
}

}  // namespace plumage
