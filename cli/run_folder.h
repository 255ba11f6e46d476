// The folder of a run: config.toml, metrics.jsonl, checkpoint.safetensors (and the one before), samples/, log.txt,
// report.html. Files are written beside, synced and renamed: what was there is never lost. Next: cli/checkpoint.h.
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace plumage {

class RunFolder {
 public:
  /// A new run: makes the folder. Throws InputError if it holds a run already, MachineError if it cannot be written.
  static RunFolder create(const std::filesystem::path& path);
  /// An earlier run. Throws InputError if there is no checkpoint.
  static RunFolder open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path checkpoint() const { return path_ / "checkpoint.safetensors"; }
  std::filesystem::path previous_checkpoint() const { return path_ / "checkpoint.previous.safetensors"; }
  std::filesystem::path sample(const std::string& name) const { return path_ / "samples" / (name + ".png"); }

  /// Replaces a small file by way of a file beside it.
  void write(const std::string& name, const std::string& text) const;
  /// One line of metrics.jsonl: numbers by name, `phase` first. Numbers that are not finite are left out.
  void add_metrics(const std::string& phase, const std::vector<std::pair<std::string, double>>& values) const;
  /// Drops the lines of metrics.jsonl that come after `step` of `phase` (a resumed run writes them again).
  void cut_metrics(const std::string& phase, int64_t step) const;
  /// To log.txt, with the time, and to standard error.
  void log(const std::string& line) const;

 private:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}
  void append(const std::string& name, const std::string& text) const;
  std::filesystem::path path_;
};

}  // namespace plumage
