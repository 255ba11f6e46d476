// The house rules that a machine can see: who includes whom, links, names of variables and keys.
// g++ 12 under its sanitizers sees an uninitialised member in std::regex where there is none.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include <doctest/doctest.h>

#include <map>
#include <regex>
#include <set>

#include "cli/config.h"
#include "tensor/backend/kernels.h"
#include "tests/cli/program.h"

using namespace plumage;
namespace fs = std::filesystem;

namespace {

const std::map<std::string, std::set<std::string>> kMaySee = {
    {"tensor", {"tensor"}},
    {"autograd", {"autograd", "tensor"}},
    {"nn", {"nn", "autograd", "tensor"}},
    {"ssl", {"ssl", "nn", "autograd", "tensor"}},
    {"data", {"data", "tensor"}},
    {"eval", {"eval", "nn", "data", "autograd", "tensor"}},
    {"cli", {"cli", "ssl", "eval", "nn", "data", "autograd", "tensor"}},
};

std::vector<fs::path> sources(const std::string& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(PLUMAGE_SOURCE_DIR) / folder))
    for (const char* extension : {".h", ".cpp", ".cu", ".def"})
      if (entry.path().extension() == extension) files.push_back(entry.path());
  return files;
}

// Why this include is not allowed, or nothing.
std::string forbidden(const std::string& folder, const std::string& file, const std::string& included) {
  std::string first = included.substr(0, included.find('/'));
  if (kMaySee.count(first) && !kMaySee.at(folder).count(first)) return folder + " must not see " + first;
  bool in_cpu = file.find("tensor/backend/cpu/") != std::string::npos, in_cuda = file.find("tensor/backend/cuda/") != std::string::npos;
  if (included.find("dnnl") != std::string::npos && !in_cpu) return "oneDNN outside tensor/backend/cpu";
  if (included.rfind("cuda", 0) == 0 && !in_cuda) return "CUDA outside tensor/backend/cuda";
  return "";
}

}  // namespace

TEST_CASE("includes point down only") {
  CHECK(!forbidden("ssl", "ssl/x.cpp", "data/loader.h").empty());  // the rule can fail
  CHECK(!forbidden("nn", "nn/x.cpp", "oneapi/dnnl/dnnl.hpp").empty());
  const std::regex include("#include [<\"]([^>\"]+)[>\"]");
  int seen = 0;
  for (const auto& [folder, unused] : kMaySee)
    for (const fs::path& file : sources(folder)) {
      std::string text = read_text(file);
      for (std::sregex_iterator it(text.begin(), text.end(), include), end; it != end; ++it) {
        std::string why = forbidden(folder, file.string(), (*it)[1]);
        CHECK_MESSAGE(why.empty(), file.string(), " includes ", (*it)[1].str(), ": ", why);
        ++seen;
      }
    }
  CHECK(seen > 200);
}

TEST_CASE("links in the documents lead somewhere") {
  const std::regex link("\\]\\(([^)# ]+)(?:#[^) ]*)?\\)");
  std::vector<fs::path> pages{fs::path(PLUMAGE_SOURCE_DIR) / "README.md"};
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(PLUMAGE_SOURCE_DIR) / "docs"))
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  for (const fs::path& page : pages) {
    std::string text = read_text(page);
    for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it) {
      std::string target = (*it)[1];
      if (target.find("://") != std::string::npos) continue;
      CHECK_MESSAGE(fs::exists(page.parent_path() / target), page.string(), " links to ", target);
    }
  }
}

TEST_CASE("every environment variable that is read stands in docs/environment.md") {
  std::string code = read_text(PLUMAGE_SOURCE_DIR "/tensor/env.cpp"), page = read_text(PLUMAGE_SOURCE_DIR "/docs/environment.md");
  const std::regex variable("PLUMAGE_[A-Z_]+");
  for (std::sregex_iterator it(code.begin(), code.end(), variable), end; it != end; ++it) CHECK(page.find(it->str()) != std::string::npos);
  for (const auto& [folder, unused] : kMaySee)
    for (const fs::path& file : sources(folder))
      if (file.filename() != "env.cpp") CHECK_MESSAGE(read_text(file).find("getenv(") == std::string::npos, file.string());
}

TEST_CASE("keys named in the documents exist") {
  std::string help = config_help();
  const std::regex key("`((?:base|perturb|lowvar|saliency|synth|bank|bn|moco|simsiam|decoder|pairs|optim|train|augment|data)\\.[a-z_]+)");
  for (const char* page : {"/README.md", "/docs/paper-notes.md"}) {
    std::string text = read_text(std::string(PLUMAGE_SOURCE_DIR) + page);
    for (std::sregex_iterator it(text.begin(), text.end(), key), end; it != end; ++it)
      CHECK_MESSAGE(help.find((*it)[1].str() + " = ") != std::string::npos, page, " names ", (*it)[1].str());
  }
}

TEST_CASE("info names every op and key; each command's help has an example") {
  Scratch s("info");
  Outcome ops = plumage::plumage(s, "info --ops"), keys = plumage::plumage(s, "info --keys");
  CHECK(ops.code == 0);
  for (const OpInfo& op : op_list()) CHECK(ops.out.find(op.name) != std::string::npos);
  CHECK(keys.out == config_help());
  for (const char* command : {"synth", "dataset", "supervised", "pretrain-decoder", "pretrain", "linear", "retrieve", "knn", "features", "inspect", "convert", "export", "report", "info", "demo"}) {
    CAPTURE(command);
    Outcome help = plumage::plumage(s, std::string(command) + " --help");
    CHECK(help.code == 0);
    CHECK(help.out.find("Example: plumage " + std::string(command)) != std::string::npos);
  }
}
