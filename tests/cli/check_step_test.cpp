// A dumped step of the real program, recomputed by PyTorch (tests/check_step.py). PLUMAGE_PYTHON names an interpreter
// that has torch and safetensors; without it this is skipped.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace {

int run(const std::string& command) {
  int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string text_of(const std::filesystem::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("PyTorch agrees with every number of a dumped step [slow]") {
  const char* python = std::getenv("PLUMAGE_PYTHON");
  if (!python) {
    MESSAGE("skipped: PLUMAGE_PYTHON names no interpreter with torch and safetensors");
    return;
  }
  namespace fs = std::filesystem;
  const fs::path source = PLUMAGE_SOURCE_DIR, folder = fs::temp_directory_path() / ("plumage-step-" + std::to_string(getpid()));
  const std::string plumage = std::string(PLUMAGE_BINARY_DIR) + "/plumage", log = (folder / "log.txt").string();
  fs::create_directories(folder);
  REQUIRE(run(plumage + " synth " + (folder / "birds").string() + " --classes 2 --per-class 24 --seed 1 > " + log + " 2>&1") == 0);
  const std::string common = " --set train.size=32 --set train.batch=16 --set encoder.width=8 --set decoder.pretrain_epochs=0 "
                             "--compute f32 --set bank.min_fill=0 --set encoder.stem=small --steps 1 --dataset synthetic --data " + (folder / "birds").string();
  for (std::string variant : {"moco-pairs.toml", "simsiam-pairs.toml --set synth.loss=simsiam --set bn.synth=update --set bank.source=all",
                              "moco-pairs.toml --set synth.grad=full --set bn.splits=2 --set saliency.target=negative_loss "
                              "--set saliency.scale=p90 --set lowvar.criterion=raw --set lowvar.kappa=0.1",
                              "moco.toml"}) {
    CAPTURE(variant);
    const bool ref = variant != "moco-pairs.toml";  // that one on the fast kernels, the others to more digits
    const std::string dump = (folder / "step.safetensors").string();
    fs::remove_all(folder / "run");
    int made = run((ref ? "PLUMAGE_BACKEND=ref " : "") + plumage + " pretrain --config " + (source / "configs" / variant).string() + common + " --out " +
                   (folder / "run").string() + " --dump-step " + dump + " > " + log + " 2>&1");
    CHECK_MESSAGE(made == 0, text_of(log));
    int checked = run(std::string(python) + " " + (source / "tests/check_step.py").string() + " " + dump + (ref ? " --ref" : "") + " > " + log + " 2>&1");
    if (checked == 77) {
      MESSAGE("skipped: ", text_of(log));
      break;
    }
    CHECK_MESSAGE(checked == 0, text_of(log));
  }
  fs::remove_all(folder);
}
