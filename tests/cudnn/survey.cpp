#include "tests/cudnn/survey.h"

#include <dlfcn.h>

#include <fstream>
#include <sstream>

#include "tensor/backend/cuda/conv_plan.h"
#include "tests/cudnn/recorded_layers.h"

namespace plumage::test {
namespace {

using namespace cuda;

Answer ask(const ConvProblem& problem, const Descriptor& device) {
  Answer answer;
  std::vector<EngineConfig> engines = conv_engines(problem, device);
  answer.engines = int64_t(engines.size());
  if (engines.empty()) return answer;
  answer.first = engines[0].notes().id;
  answer.workspace = engines[0].workspace_bytes();
  if (engines[0].notes().compiles) return answer;  // to load what it compiled takes a device
  try {
    answer.workspace = Plan(engines[0], device).workspace_bytes();
  } catch (const MachineError& error) {
    answer.refusal = error.what();
  }
  return answer;
}

}  // namespace

cuda::Descriptor described_device(const std::string& name) {
  std::ifstream in(std::string(PLUMAGE_SOURCE_DIR "/tests/cudnn/devices/") + name + ".json");
  std::ostringstream text;
  text << in.rdbuf();
  return device_properties(text.str());
}

const std::vector<std::string> kSurveyDevices = {"h100", "a100"};
const std::vector<int64_t> kSurveyBatches = {1, 32, 128};

bool load_driver() {
  // A library that is loaded already serves everyone who asks for its name.
  return dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) ||
         dlopen(PLUMAGE_DRIVER_STUB, RTLD_NOW | RTLD_GLOBAL);
}

std::string cudnn_version() {
  size_t v = cudnnGetVersion();
  return message("cuDNN ", v / 10000, ".", v / 100 % 100, ".", v % 100);
}

std::string SurveyRow::str() const {
  std::string out = problem + " |";
  for (const Answer& a : answers)
    out += message(" ", a.engines, "/", a.first, "/", (a.workspace + (1 << 20) - 1) >> 20);
  return out + " | " + users;
}

std::vector<SurveyRow> survey(bool without_compiled) {
  std::vector<Descriptor> devices;
  for (const std::string& name : kSurveyDevices) devices.push_back(described_device(name));
  std::vector<SurveyRow> rows;
  for (const Layer& layer : recorded_layers())
    for (DType type : {DType::bf16, DType::f32}) {
      ConvProblem problem = layer.problem;
      problem.dtype = type;
      if (is_stem(type, problem.C) && problem.pass != ConvPass::dx) problem.C = kStemChannels;
      bool fused = problem.pass == ConvPass::frozen || problem.pass == ConvPass::stats;
      if (fused && (without_compiled || !fusible(problem))) continue;
      SurveyRow row{problem.str(), layer.users, {}};
      for (const Descriptor& device : devices)
        for (int64_t batch : kSurveyBatches) {
          problem.N = batch;
          row.answers.push_back(ask(problem, device));
        }
      rows.push_back(std::move(row));
    }
  return rows;
}

}  // namespace plumage::test
