// The choices of engines on disk: found again, never believed more than they deserve.
#ifdef PLUMAGE_HAS_CUDNN
#include "tensor/backend/cuda/plan_cache.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/cudnn/survey.h"

using namespace plumage;
using namespace plumage::cuda;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / ("plumage-plans-" + std::to_string(getpid()));
  Folder() { fs::remove_all(path); }
  ~Folder() { fs::remove_all(path); }
  std::string file() const { return fs::directory_iterator(path)->path().string(); }
  std::string text() const {
    std::ostringstream out;
    out << std::ifstream(file()).rdbuf();
    return out.str();
  }
};

ConvProblem problem(int64_t N) {
  return conv_problem(ConvPass::forward, DType::bf16, {N, 56, 56, 64}, {64, 3, 3, 64}, {N, 56, 56, 64},
                      {3, 3, 1, 1});
}

/// A cache of its own for a described device; engines take as long as `times` says, in turn.
struct Timed {
  PlanCache cache;
  int calls = 0;
  explicit Timed(const std::string& folder, const std::string& head = "cuDNN test, H100")
      : cache(plumage::test::described_device("h100"), head, folder) {}
  const Plan* find(const ConvProblem& p, const std::vector<double>& times = {5, 3, 4}) {
    return cache.find(p, [&](const Plan&) { return times[size_t(calls++) % times.size()]; });
  }
};

}  // namespace

TEST_CASE("without a folder the first engine is taken, and no plan is made twice [slow]") {
  Timed t("");
  const Plan* plan = t.find(problem(4));
  REQUIRE(plan != nullptr);
  CHECK(t.find(problem(4)) == plan);
  CHECK(t.find(problem(8)) != plan);
  CHECK(t.cache.size() == 2);
  CHECK(t.calls == 0);
}

TEST_CASE("timed engines are found again [slow]") {
  Folder folder;
  {
    Timed t(folder.path.string());
    CHECK(t.find(problem(4)) != nullptr);
    CHECK(t.calls == int(PlanCache::kMostTimed));
    CHECK(folder.text().find(" 1 3 " + problem(4).str()) !=
          std::string::npos);  // the second took 3 microseconds
  }
  Timed again(folder.path.string());
  CHECK(again.find(problem(4)) != nullptr);
  CHECK(again.calls == 0);
  CHECK(again.find(problem(8)) != nullptr);
  CHECK(again.calls > 0);

  Timed other(folder.path.string(), "cuDNN test, A100");  // has a file of its own
  CHECK(other.find(problem(4)) != nullptr);
  CHECK(other.calls > 0);
}

TEST_CASE("what can be done without a plan gets one only where that was timed to be faster [slow]") {
  Folder folder;
  // Plain convolutions, whose plans can be made here: what the graph is does not matter to the choice.
  auto find = [&](Timed& t, double without, int64_t N) {
    return t.cache.find(problem(N), [&](const Plan&) { return double(5 + t.calls++); }, [=] { return without; });
  };
  Timed untimed("");
  CHECK(find(untimed, 1000, 4) == nullptr);
  {
    Timed t(folder.path.string());
    CHECK(find(t, 5.5, 4) != nullptr);
    CHECK(find(t, 4.5, 8) == nullptr);
    CHECK(folder.text().find("-1 0 4.5 " + problem(8).str()) != std::string::npos);
  }
  Timed again(folder.path.string());
  CHECK(find(again, 1, 4) != nullptr);
  CHECK(find(again, 1000, 8) == nullptr);
  CHECK(again.calls == 0);
  Timed other(folder.path.string());
  CHECK(other.find(problem(8)) != nullptr);  // it must have a plan, whatever the file says
  CHECK(other.calls == int(PlanCache::kMostTimed));
}

TEST_CASE("a file of choices that is not what it should be is left out [slow]") {
  Folder folder;
  { Timed(folder.path.string()).find(problem(4)); }
  const std::string path = folder.file(), good = folder.text(), line = problem(4).str() + "\n";
  const std::string head = good.substr(0, good.find('\n') + 1);
  auto calls_with = [&](const std::string& text) {
    std::ofstream(path) << text;
    Timed t(folder.path.string());
    CHECK(t.find(problem(4)) != nullptr);
    return t.calls;
  };
  CHECK(calls_with(good) == 0);
  for (const std::string& bad :
       {std::string(), std::string("\n"), "plumage plans 2, x\n" + line, head + "garbage\n", head + "62 0\n",
        head + "62 -1 3 " + line, head + "62 0 nan " + line, head + "62 99999999999999999999 3 " + line,
        head + "62 0 3" + line, head + std::string("\0\0\n", 3),
        head + "62 100000 3 " + line,  // no such place
        head + "7777 0 3 " + line}) {  // another engine stands there
    CAPTURE(bad);
    CHECK(calls_with(bad) == int(PlanCache::kMostTimed));
  }
  fs::remove(path);
  fs::create_directory(path);  // neither read nor written
  Timed t(folder.path.string());
  CHECK(t.find(problem(4)) != nullptr);
  CHECK(fs::is_directory(path));
}
#endif
