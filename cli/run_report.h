// report.html of a run folder: what was run, the curves, the latest pairs.
#pragma once
#include <filesystem>

namespace plumage {

/// Writes RUN/report.html from config.toml, metrics.jsonl and samples/; returns its path. Throws InputError if RUN is
/// no run folder.
std::filesystem::path write_run_report(const std::filesystem::path& run);

}  // namespace plumage
