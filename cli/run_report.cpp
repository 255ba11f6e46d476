#include "cli/run_report.h"

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/decode.h"
#include "eval/report.h"

namespace plumage {

namespace {

using Series = std::map<std::string, Curve>;

// metrics.jsonl: phase -> name -> curve over steps. A line that a crash cut short is passed over.
std::map<std::string, Series> read_metrics(const std::filesystem::path& file) {
  std::map<std::string, Series> phases;
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    nlohmann::json j = nlohmann::json::parse(line, nullptr, false);
    if (!j.is_object() || !j.contains("phase") || !j["phase"].is_string() || !j.contains("step")) continue;
    double step = j["step"].is_number() ? j["step"].get<double>() : 0;
    for (auto& [name, value] : j.items()) {
      if (!value.is_number() || name == "step" || name == "epoch") continue;
      Curve& curve = phases[j["phase"].get<std::string>()][name];
      curve.name = name;
      curve.x.push_back(step);
      curve.y.push_back(value.get<double>());
    }
  }
  return phases;
}

Chart chart_of(const std::string& phase, const Series& series, const std::string& title, const std::vector<std::string>& names) {
  Chart chart;
  chart.key = phase + "." + names[0];
  chart.title = title;
  chart.x_label = "step";
  for (const std::string& name : names)
    if (auto found = series.find(name); found != series.end()) chart.curves.push_back(found->second);
  return chart;
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

std::filesystem::path write_run_report(const std::filesystem::path& run) {
  std::error_code error;
  if (!std::filesystem::exists(run / "metrics.jsonl", error) || !std::filesystem::exists(run / "config.toml", error))
    throw InputError(run.string() + ": no config.toml and metrics.jsonl in it; is it a run folder?");
  ReportData data;
  data.title = "plumage: " + std::filesystem::absolute(run).lexically_normal().filename().string();
  data.config = text_of(run / "config.toml");
  for (const auto& [phase, series] : read_metrics(run / "metrics.jsonl")) {
    for (const auto& [title, names] : std::vector<std::pair<std::string, std::vector<std::string>>>{
             {phase + ": loss and its terms", {"loss", "L_C", "L_R", "L_Cp", "cross_entropy"}},
             {phase + ": effective rank of v", {"effective_rank"}},
             {phase + ": spread of unit features (1 is the whole sphere)", {"unit_std"}},
             {phase + ": noise by feature spread", {"noise_to_signal_gradcam", "noise_to_signal_lowvar"}},
             {phase + ": kNN top-1, %", {"knn_top1"}}}) {
      Chart chart = chart_of(phase, series, title, names);
      if (!chart.curves.empty()) data.charts.push_back(chart);
    }
    if (auto rate = series.find("images_per_s"); rate != series.end() && !rate->second.y.empty())
      data.facts.push_back({phase, message(rate->second.x.back(), " steps, ", std::lround(rate->second.y.back()), " images/s at the end")});
  }
  // The latest sheet of each phase.
  std::map<std::string, std::pair<int64_t, std::filesystem::path>> latest;
  for (const auto& entry : std::filesystem::directory_iterator(run / "samples", error)) {
    std::string stem = entry.path().stem().string();
    size_t dash = stem.rfind('-');
    if (dash == std::string::npos || entry.path().extension() != ".png") continue;
    int64_t step = std::atoll(stem.c_str() + dash + 1);
    auto& best = latest[stem.substr(0, dash)];
    if (step >= best.first) best = {step, entry.path()};
  }
  for (const auto& [phase, sheet] : latest)
    data.galleries.push_back({phase + ": generated pairs at step " + std::to_string(sheet.first),
                              "Original, reconstruction from v, from the perturbed v, and their difference.",
                              {},
                              {{Picture{decode_image(sheet.second), "", Verdict::none}}}});
  return write_report(run, data);
}

}  // namespace plumage
