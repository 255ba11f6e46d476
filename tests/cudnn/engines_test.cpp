// cuDNN asked without a device: has it an engine for all that the networks will want?
#include <doctest/doctest.h>

#ifndef PLUMAGE_HAS_CUDNN
TEST_CASE("cuDNN has an engine for every convolution of the networks [slow]") {
  MESSAGE("skipped: cuDNN was not found when this was built");
}
#else

#include <fstream>
#include <map>

#include "tensor/backend/cuda/conv_plan.h"
#include "tests/cudnn/survey.h"

using namespace plumage;
using namespace plumage::test;

namespace {

/// Lines of the committed table by problem; the head under "".
std::map<std::string, std::string> committed_table() {
  std::map<std::string, std::string> table;
  std::ifstream in(PLUMAGE_SOURCE_DIR "/tests/cudnn/expected/engines.txt");
  for (std::string line; std::getline(in, line);)
    if (line[0] != '#')
      table[line.substr(0, line.find(" |"))] = line;
    else
      table[""] += line;
  return table;
}

}  // namespace

TEST_CASE("cuDNN has an engine for every convolution of the networks [slow]") {
  bool driver = load_driver();
  if (!driver) MESSAGE("skipped: fused convolutions: no libcuda.so, neither the driver's nor the one that the toolkit links with");
  auto table = committed_table();
  bool same_version = table[""].find(cudnn_version() + ".") != std::string::npos;
  if (!same_version)
    MESSAGE("skipped: comparison with the table, which is of another version than ", cudnn_version());

  std::vector<SurveyRow> rows = survey(!driver);
  CHECK(rows.size() > 500);
  for (const SurveyRow& row : rows) {
    CAPTURE(row.problem);
    CAPTURE(row.users);
    for (const Answer& answer : row.answers) {
      CHECK(answer.engines > 0);
      CHECK(answer.workspace <= cuda::kWorkspaceLimit);
      CHECK(answer.refusal == "");
    }
    if (same_version) CHECK(row.str() == table[row.problem]);
  }
  if (same_version && driver) CHECK(rows.size() + 1 == table.size());
}

TEST_CASE("engines that would not repeat or would round are left out") {
  cuda::ConvProblem f32{.dtype = DType::f32}, bf16{.dtype = DType::bf16},
      tf32{.dtype = DType::f32, .tf32 = true};
  cuda::EngineNotes plain, atomic{.nondeterministic = true}, coarse{.coarse_sums = true},
      tensor{.tensor_core = true}, converts{.converts_inputs = true};
  for (const cuda::ConvProblem& p : {f32, bf16, tf32}) {
    CHECK(cuda::allowed(plain, p));
    CHECK(!cuda::allowed(atomic, p));
    CHECK(!cuda::allowed(coarse, p));
    CHECK(cuda::allowed(tensor, p) == !(p == f32));
    CHECK(cuda::allowed(converts, p) == !(p == f32));
  }
}

TEST_CASE("what cuDNN does not support is an empty list, and its refusals carry its words [slow]") {
  // 16-bit activations with an f32 gradient of the filter: the reason why dw comes in 16 bits.
  cuda::Descriptor h100 = described_device("h100");
  cuda::Graph graph;
  graph.tensor(1, {2, 64, 8, 8}, DType::bf16, 16);
  graph.tensor(2, {2, 64, 8, 8}, DType::bf16, 16);
  graph.tensor(3, {64, 64, 3, 3}, DType::f32, 16);
  graph.convolution_dw(1, 2, 3, {3, 3, 1, 1});
  CHECK(graph.engines(h100, CUDNN_HEUR_MODE_A).empty());
  // Statistics of another shape or type than f32 [1, K, 1, 1]: refused when engines are asked for, not before.
  auto engines_with = [](const cuda::Descriptor& device, const cuda::Graph::Sizes& sizes, DType type) {
    cuda::Graph fused;
    fused.tensor(1, {2, 64, 8, 8}, DType::bf16, 16);
    fused.tensor(2, {32, 64, 3, 3}, DType::bf16, 16);
    fused.tensor(3, {2, 32, 8, 8}, DType::bf16, 16);
    for (int64_t id : {4, 5}) fused.tensor(id, sizes, type, 16);
    fused.convolution(1, 2, 3, {3, 3, 1, 1});
    fused.statistics(3, 4, 5);
    return fused.engines(device, CUDNN_HEUR_MODE_A);
  };
  if (load_driver())
    for (const std::string& name : kSurveyDevices) {
      std::vector<cuda::EngineConfig> engines = engines_with(described_device(name), {1, 32, 1, 1}, DType::f32);
      CHECK(!engines.empty());
      for (const cuda::EngineConfig& engine : engines) CHECK(engine.notes().compiles);  // seconds at every start
    }
  CHECK(engines_with(h100, {1, 31, 1, 1}, DType::f32).empty());
  CHECK(engines_with(h100, {32, 1, 1, 1}, DType::f32).empty());
  CHECK(engines_with(h100, {1, 32, 1, 1}, DType::bf16).empty());
  CHECK_THROWS_WITH_AS(cuda::device_properties(std::string("{")), doctest::Contains("cuDNN: "), MachineError);
  cuda::Graph wrong;
  wrong.tensor(1, {2, 64, 8, 8}, DType::bf16, 16);
  wrong.tensor(2, {32, 64, 3, 3}, DType::bf16, 16);
  wrong.tensor(3, {2, 32, 9, 9}, DType::bf16, 16);
  CHECK_THROWS_WITH_AS(wrong.convolution(1, 2, 3, {3, 3, 1, 1}), doctest::Contains("BAD_PARAM"),
                       MachineError);
}
#endif
