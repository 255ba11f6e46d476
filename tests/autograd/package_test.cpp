// Installs tensor and autograd into a folder of the build, then builds docs/examples/gradcheck against it, as a program
// of somebody else would, and runs it.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "tensor/accelerator.h"

namespace fs = std::filesystem;

namespace {

const fs::path kSource = PLUMAGE_SOURCE_DIR, kBuild = PLUMAGE_BINARY_DIR, kWork = kBuild / "package_test";

std::string read(const fs::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// Runs a command; what it prints ends up in the test's log and comes back if it fails.
bool run(const std::string& command, std::string& printed) {
  fs::path log = kWork / "log.txt";
  int status = std::system((command + " > '" + log.string() + "' 2>&1").c_str());
  printed = read(log);
  return status == 0;
}

std::string quoted(const fs::path& path) { return "'" + path.string() + "'"; }

}  // namespace

TEST_CASE("package: the installed libraries build and run the gradcheck example by themselves") {
  fs::remove_all(kWork);
  fs::create_directories(kWork);
  std::string printed;
  if (!run("cmake --version", printed)) {
    MESSAGE("skipped: cmake is not on PATH");
    return;
  }
  if (plumage::accelerator::simulated()) {
    MESSAGE("skipped: a build for the simulated device is not installed");
    return;
  }
  fs::path prefix = kWork / "prefix", build = kWork / "build";
  REQUIRE_MESSAGE(run("cmake --install " + quoted(kBuild) + " --component autograd --prefix " + quoted(prefix), printed), printed);
  CHECK(fs::exists(prefix / "include/plumage/autograd/gradcheck.h"));
  CHECK(fs::exists(prefix / "include/plumage/tensor/ops.def"));
  CHECK_FALSE(fs::exists(prefix / "include/plumage/tensor/backend/ref"));
  CHECK_FALSE(fs::exists(prefix / "include/plumage/nn"));

  fs::path example = kSource / "docs/examples/gradcheck";
  REQUIRE_MESSAGE(run("cmake -S " + quoted(example) + " -B " + quoted(build) + " -DCMAKE_PREFIX_PATH=" + quoted(prefix), printed), printed);
  REQUIRE_MESSAGE(run("cmake --build " + quoted(build), printed), printed);
  REQUIRE_MESSAGE(run(quoted(build / "check_my_rule"), printed), printed);
  CHECK_MESSAGE(printed.find("right: 3 derivatives agree") != std::string::npos, printed);
  CHECK_MESSAGE(printed.find("wrong: input 0, element [") != std::string::npos, printed);
}

TEST_CASE("package: docs/gradcheck.md shows the example as it is") {
  std::string page = read(kSource / "docs/gradcheck.md");
  for (const char* file : {"main.cpp", "CMakeLists.txt"})
    CHECK_MESSAGE(page.find(read(kSource / "docs/examples/gradcheck" / file)) != std::string::npos, file);
}
