// The stand-ins' names and numbers against the toolkit's own headers, where those are installed.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <string>

namespace fs = std::filesystem;

namespace {

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

// NAME = 7, and X(NAME, 7, of our lists.
std::map<std::string, long> numbers_in(const std::string& text) {
  std::map<std::string, long> found;
  const std::regex assigned(
      "\\b(cuda[A-Z]\\w+|CUDA_R_\\w+|CUBLAS\\w*_\\w+|CUDNN_\\w+)(?:\\s+CUDNN_DEPRECATED_ENUM)?\\s*(?:=|,)\\s*"
      "(0x[0-9a-fA-F]+|\\d+)\\b");
  for (std::sregex_iterator it(text.begin(), text.end(), assigned), end; it != end; ++it)
    found.emplace((*it)[1], std::stol((*it)[2], nullptr, 0));
  return found;
}

}  // namespace

TEST_CASE("the stand-ins have the toolkit's numbers") {
  fs::path toolkit;
  for (const char* folder : {"/usr/local/cuda/include", "/usr/include", "/usr/local/include"})
    if (toolkit.empty() && fs::exists(fs::path(folder) / "driver_types.h")) toolkit = folder;
  if (toolkit.empty()) {
    MESSAGE("skipped: no CUDA toolkit in /usr/local/cuda");
    return;
  }
  const std::map<std::string, std::vector<std::string>> pairs = {
      {"cuda_runtime_api.h", {"driver_types.h"}},
      {"library_types.h", {"library_types.h"}},
      {"cublasLt.h", {"cublasLt.h", "cublas_api.h"}},
      {"cudnn_graph.h", {"cudnn_graph_v9.h", "cudnn_graph.h"}},
  };
  for (const auto& [ours, theirs] : pairs) {
    std::map<std::string, long> real;
    for (const std::string& name : theirs) real.merge(numbers_in(text_of(toolkit / name)));
    if (real.empty()) {
      MESSAGE("skipped: ", ours, ": the toolkit has none");
      continue;
    }
    int compared = 0;
    for (const auto& [name, number] :
         numbers_in(text_of(fs::path(PLUMAGE_SOURCE_DIR) / "tests/cuda_sim/include" / ours))) {
      if (!real.count(name)) continue;  // a function's argument
      CHECK_MESSAGE(real.at(name) == number, ours, ": ", name);
      ++compared;
    }
    CHECK_MESSAGE(compared >= (ours == "library_types.h" ? 4 : 15), ours, ": ", compared);
  }
}
