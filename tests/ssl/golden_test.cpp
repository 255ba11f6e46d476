// Ten losses of every method, pinned in tests/golden/: a change of any number on the way shows here, wanted or not.
// PLUMAGE_GOLDEN=write writes the files anew.
#include "ssl/decoder_pretraining.h"
#include "tests/ssl/expected_values.h"
#include "tests/ssl/tiny_methods.h"

using namespace plumage;
using namespace plumage::test;

namespace {

using Trace = std::vector<std::pair<std::string, double>>;  // "3 L_C" and its value

Trace run(Method& method) {
  auto optimizers = tiny_optimizers(method);
  Trace trace;
  for (int64_t i = 0; i < 10; ++i) {
    Step step;
    StepResult result = train_step(method, tiny_views(i), step, optimizers, 1 - 0.05 * double(i));
    for (auto& [name, value] : step.terms) trace.push_back({message(i, " ", name), value});
    trace.push_back({message(i, " loss"), result.loss});
    trace.push_back({message(i, " gradient_norm"), result.gradient_norm});
  }
  return trace;
}

void compare(const std::string& name, const Trace& got) {
  std::filesystem::path path = std::filesystem::path(PLUMAGE_SOURCE_DIR) / "tests/golden" / (name + ".txt");
  const char* mode = std::getenv("PLUMAGE_GOLDEN");
  if (mode && std::string(mode) == "write") {
    std::ofstream file(path);
    file.precision(17);
    file << "# ten steps of " << name << " on a tiny encoder in f64 (tests/ssl/golden_test.cpp): step, name, value\n";
    for (auto& [key, value] : got) file << key << ' ' << value << '\n';
    MESSAGE("written: ", path.string());
    return;
  }
  std::ifstream file(path);
  REQUIRE_MESSAGE(file, path.string());
  size_t next = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    REQUIRE(next < got.size());
    CAPTURE(line);
    size_t space = line.rfind(' ');
    double wanted = std::stod(line.substr(space + 1)), value = got[next].second;
    CHECK(got[next].first == line.substr(0, space));
    // Rounding of other compilers and flags grows about tenfold a step in so small a net (seen: SimSiam's predictor).
    double tolerance = std::min(1e-9 * std::pow(10, std::stod(line)), 1e-2);
    CHECK_FALSE(!(std::abs(value - wanted) <= tolerance * (1 + std::abs(wanted))));
    ++next;
  }
  CHECK(next == got.size());
}

}  // namespace

TEST_CASE("golden trace: MoCo v2") { compare("moco", run(*tiny_base(Base::moco))); }
TEST_CASE("golden trace: SimSiam") { compare("simsiam", run(*tiny_base(Base::simsiam))); }
TEST_CASE("golden trace: MoCo v2 + pairs") { compare("moco-pairs", run(*tiny_pairs(Base::moco))); }
TEST_CASE("golden trace: SimSiam + pairs") { compare("simsiam-pairs", run(*tiny_pairs(Base::simsiam))); }
TEST_CASE("golden trace: decoder pre-training") {
  Init encoder_init{3, DType::f64}, decoder_init{4, DType::f64};
  auto encoder = std::make_unique<ResNet>(tiny_encoder(), encoder_init);
  DecoderOptions options{.arch = "light", .widths = {4, 4}};
  auto decoder = make_decoder(options, tiny_encoder(), encoder->feature_count(), kPixels, decoder_init);
  DecoderPretraining method(std::move(encoder), std::move(decoder));
  compare("decoder", run(method));
}
