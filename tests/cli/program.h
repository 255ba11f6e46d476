// Runs the built program as a user would, in folders of its own.
#pragma once
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace plumage {

struct Outcome {
  int code = -1;
  std::string out, err;
};

inline std::string read_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void write_text(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

/// A folder that goes with the test.
struct Scratch {
  std::filesystem::path path;
  explicit Scratch(const std::string& name)
      : path(std::filesystem::path(PLUMAGE_BINARY_DIR) / "test-cli" / (name + "-" + std::to_string(getpid()))) {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  ~Scratch() {
    std::error_code error;
    std::filesystem::remove_all(path, error);
  }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
};

/// Runs a shell line with `plumage` standing for the program.
inline Outcome shell(const Scratch& scratch, const std::string& line) {
  static int count = 0;
  std::string out = scratch / ("out" + std::to_string(count)), err = scratch / ("err" + std::to_string(count));
  ++count;
  std::string program = std::string(PLUMAGE_BINARY_DIR) + "/plumage";
  std::string command = "plumage() { PLUMAGE_THREADS=1 '" + program + "' \"$@\"; }; cd '" PLUMAGE_SOURCE_DIR "'; { " + line + " ; } >'" + out +
                        "' 2>'" + err + "'";
  int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(out), read_text(err)};
}

inline Outcome plumage(const Scratch& scratch, const std::string& arguments) { return shell(scratch, "plumage " + arguments); }

/// Options that make a run take a second.
inline const char* kTiny =
    " --set encoder.width=4 --set train.size=16 --set train.batch=8 --set train.epochs=2 --set train.log_every=1"
    " --set moco.dim=8 --set simsiam.dim=16 --set simsiam.predictor=8 --set decoder.pretrain_epochs=1 --set decoder.latent=8"
    " --set decoder.widths=[8,4] --set data.threads=1 ";

/// A set of 4 species, 8 training and 4 test pictures each, at 16 pixels.
inline std::string tiny_birds(const Scratch& scratch) {
  plumage(scratch, "synth '" + scratch / "birds" + "' --classes 4 --per-class 8 --seed 1 --px 16");
  return "--data '" + scratch / "birds" + "' --dataset synthetic ";
}

/// The last line that starts with `plumage: `.
inline std::string complaint(const Outcome& o) {
  std::string lines = "\n" + o.err;
  size_t at = lines.rfind("\nplumage: ");
  return at == std::string::npos ? "" : lines.substr(at + 1, lines.find('\n', at + 1) - at - 1);
}

}  // namespace plumage
