#include "tensor/backend/cuda/plan_cache.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <sstream>

namespace plumage::cuda {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "plumage plans 1, ";
constexpr uintmax_t kLargestFile = 16 << 20;

// "plans-cuDNN-9-19-0-NVIDIA-H100.txt": what is no letter or digit becomes one dash.
std::string file_name(const std::string& head) {
  std::string out = "plans";
  bool gap = true;
  for (char c : head) {
    bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (word && gap) out += '-';
    if (word) out += c;
    gap = !word;
  }
  return out + ".txt";
}

void ignore(const std::string& path, const std::string& why) {
  std::cerr << "plumage: " << path << ": " << why << "; engines are timed anew\n";
}

// One line; false if it is not one of ours.
bool read_choice(const std::string& line, PlanChoices& choices) {
  std::istringstream in(line);
  PlanChoice choice;
  std::string problem;
  if (!(in >> choice.engine >> choice.place >> choice.microseconds) || in.get() != ' ' ||
      !std::getline(in, problem))
    return false;
  if (choice.engine < kNoEngine || choice.place < 0 || !std::isfinite(choice.microseconds) || problem.empty())
    return false;
  choices[problem] = choice;
  return true;
}

}  // namespace

PlanChoices read_choices(const std::string& path, const std::string& head) {
  std::error_code error;
  if (!fs::exists(path, error)) return {};
  if (!fs::is_regular_file(path, error) || fs::file_size(path, error) > kLargestFile)
    return ignore(path, "not a file of plans"), PlanChoices{};
  std::ifstream in(path);
  std::string line;
  if (!std::getline(in, line) || line != kFormat + head)
    return ignore(path, "made by another version or for another device"), PlanChoices{};
  PlanChoices choices;
  for (int64_t number = 2; std::getline(in, line); ++number)
    if (!read_choice(line, choices))
      return ignore(path, message("line ", number, " is damaged")), PlanChoices{};
  return choices;
}

bool write_choices(const std::string& path, const std::string& head, const PlanChoices& choices) {
  std::string beside = path + "." + std::to_string(getpid());
  {
    std::ofstream out(beside);
    out << kFormat << head << '\n';
    for (const auto& [problem, c] : choices)
      out << c.engine << ' ' << c.place << ' ' << c.microseconds << ' ' << problem << '\n';
    if (!out.flush()) return std::remove(beside.c_str()), false;
  }
  if (std::rename(beside.c_str(), path.c_str()) == 0) return true;
  std::remove(beside.c_str());
  return false;
}

PlanCache::PlanCache(Descriptor device, std::string head, const std::string& folder)
    : device_(std::move(device)), head_(std::move(head)) {
  if (folder.empty()) return;
  std::error_code error;
  fs::create_directories(folder, error);
  path_ = (fs::path(folder) / file_name(head_)).string();
  choices_ = read_choices(path_, head_);
}

const Plan* PlanCache::find(const ConvProblem& problem, const Timer& timer, const Without& without) {
  auto it = plans_.find(problem);
  if (it == plans_.end()) it = plans_.emplace(problem, make(problem, timer, without)).first;
  return it->second.get();
}

std::unique_ptr<Plan> PlanCache::make(const ConvProblem& problem, const Timer& timer, const Without& without) {
  if (without && path_.empty()) return nullptr;
  std::vector<EngineConfig> engines = conv_engines(problem, device_);
  // An engine may refuse when it comes to the plan: then it is as if it were not in the list.
  auto plan_of = [&](size_t place) -> std::unique_ptr<Plan> {
    if (place >= engines.size()) return nullptr;
    try {
      return std::make_unique<Plan>(engines[place], device_);
    } catch (const MachineError&) {
      return nullptr;
    }
  };

  std::string name = problem.str();
  if (auto known = choices_.find(name); known != choices_.end()) {
    if (without && known->second.engine == kNoEngine) return nullptr;
    size_t place = size_t(known->second.place);
    if (place < engines.size() && engines[place].notes().id == known->second.engine)
      if (auto plan = plan_of(place)) return plan;
  }
  std::unique_ptr<Plan> best;
  PlanChoice choice{.microseconds = std::numeric_limits<double>::infinity()};
  if (without && !engines.empty()) choice.microseconds = without();
  size_t timed = 0;
  for (size_t place = 0; place < engines.size() && timed < kMostTimed; ++place) {
    auto plan = plan_of(place);
    if (!plan) continue;
    if (path_.empty()) return plan;  // not timed: the first that works
    double microseconds = timer(*plan);
    if (microseconds < choice.microseconds) {
      best = std::move(plan);
      choice = {engines[place].notes().id, int64_t(place), microseconds};
    }
    ++timed;
  }
  if (timed > 0) {
    choices_[name] = choice;
    if (!write_choices(path_, head_, choices_)) ignore(path_, "cannot be written");
  }
  return best;
}

}  // namespace plumage::cuda
