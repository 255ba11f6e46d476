// The commands of the program. Each adds itself, with its options and an example, to the parser.
#pragma once

namespace CLI {
class App;
}

namespace plumage {

/// Parses, runs one command, prints errors as `plumage: ...`, returns the exit code: 0, 1 (the machine's fault),
/// 2 (the user's mistake), 130 or 143 (stopped by a signal, saved).
int run_program(int argc, char** argv);

void add_dataset(CLI::App& program);
void add_synth(CLI::App& program);
void add_supervised(CLI::App& program);
void add_pretrain_decoder(CLI::App& program);
void add_pretrain(CLI::App& program);
void add_linear(CLI::App& program);
void add_retrieve(CLI::App& program);
void add_knn(CLI::App& program);
void add_features(CLI::App& program);
void add_inspect(CLI::App& program);
void add_convert(CLI::App& program);
void add_export(CLI::App& program);
void add_report(CLI::App& program);
void add_info(CLI::App& program);
void add_demo(CLI::App& program);

/// A command that must end the program with another code than 0 although nothing failed (a signal).
struct ExitWith {
  int code;
};

}  // namespace plumage
