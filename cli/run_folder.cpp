#include "cli/run_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tensor/errors.h"

namespace plumage {

namespace {

[[noreturn]] void cannot_write(const std::filesystem::path& file) {
  throw MachineError(message(file.string(), ": cannot be written: ", std::strerror(errno)));
}

void write_all(int descriptor, const std::string& text, const std::filesystem::path& file) {
  size_t done = 0;
  while (done < text.size()) {
    ssize_t n = ::write(descriptor, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      int error = errno;
      ::close(descriptor);
      errno = error;
      cannot_write(file);
    }
    done += size_t(n);
  }
}

}  // namespace

RunFolder RunFolder::create(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::exists(path / "checkpoint.safetensors", error))
    throw InputError(message(path.string(), ": holds a run already; continue it with --resume ", path.string(), " or choose another --out"));
  if (std::filesystem::exists(path, error) && !std::filesystem::is_directory(path, error))
    throw InputError(path.string() + ": is a file, wanted a folder for the run");
  std::filesystem::create_directories(path / "samples", error);
  if (error) throw MachineError(message(path.string(), ": the run folder cannot be made: ", error.message()));
  RunFolder folder(path);
  folder.write("metrics.jsonl", "");  // finds an unwritable folder before the work, not after it
  return folder;
}

RunFolder RunFolder::open(const std::filesystem::path& path) {
  RunFolder folder(path);
  std::error_code error;
  if (!std::filesystem::exists(folder.checkpoint(), error))
    throw InputError(message(path.string(), ": no checkpoint.safetensors in it; is it a run folder?"));
  std::filesystem::create_directories(path / "samples", error);
  return folder;
}

void RunFolder::write(const std::string& name, const std::string& text) const {
  std::filesystem::path file = path_ / name, beside = file;
  beside += ".part";
  int descriptor = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) cannot_write(file);
  write_all(descriptor, text, file);
  ::fsync(descriptor);
  ::close(descriptor);
  if (::rename(beside.c_str(), file.c_str()) != 0) cannot_write(file);
}

void RunFolder::append(const std::string& name, const std::string& text) const {
  std::filesystem::path file = path_ / name;
  int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) cannot_write(file);
  write_all(descriptor, text, file);
  ::close(descriptor);
}

void RunFolder::add_metrics(const std::string& phase, const std::vector<std::pair<std::string, double>>& values) const {
  nlohmann::ordered_json line;
  line["phase"] = phase;
  for (const auto& [name, value] : values) {
    if (!std::isfinite(value)) continue;
    if (value == std::floor(value) && std::abs(value) < 1e15) line[name] = int64_t(value);
    else line[name] = value;
  }
  append("metrics.jsonl", line.dump() + "\n");
}

void RunFolder::cut_metrics(const std::string& phase, int64_t step) const {
  std::ifstream in(path_ / "metrics.jsonl");
  std::string line, kept;
  while (std::getline(in, line)) {
    nlohmann::json j = nlohmann::json::parse(line, nullptr, false);
    if (!j.is_object()) break;  // a line that a crash cut short
    if (j.value("phase", "") == phase && j.value("step", int64_t(0)) > step) break;
    kept += line + "\n";
  }
  write("metrics.jsonl", kept);
}

void RunFolder::log(const std::string& line) const {
  std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S  ", &utc);
  append("log.txt", stamp + line + "\n");
  std::cerr << line << '\n';
}

}  // namespace plumage
