// Every row of every family through op_runner, and the tests that the table is complete.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "tensor/accelerator.h"
#include "tests/op_cases/guarded_kernels.h"
#include "tests/op_cases/op_runner.h"

using namespace plumage;
using namespace plumage::op_cases;

namespace {

Family (*const kFamilies[])() = {fill_family,   pointwise_family,     reduce_family, softmax_family,    rows_family,  matmul_family,
                                 conv2d_family, conv2d_joined_family, pool_family,   batch_norm_family, update_family};

void check_family(const Family& family) {
  Report report;
  for (const Row& row : family.rows) report.add(check_row(row));
  for (const ErrorRow& row : family.errors) report.add(check_error(row));
  for (const std::string& failure : report.failures) FAIL_CHECK(failure);
  CHECK(report.passed > 0);
  MESSAGE(family.name << ": " << family.rows.size() << " rows, " << family.errors.size()
                      << " error rows: " << report.str());
}

}  // namespace

TEST_CASE("op cases: fill") { check_family(fill_family()); }
TEST_CASE("op cases: pointwise") { check_family(pointwise_family()); }
TEST_CASE("op cases: reduce") { check_family(reduce_family()); }
TEST_CASE("op cases: softmax") { check_family(softmax_family()); }
TEST_CASE("op cases: rows") { check_family(rows_family()); }
TEST_CASE("op cases: matmul") { check_family(matmul_family()); }
TEST_CASE("op cases: conv2d") { check_family(conv2d_family()); }
TEST_CASE("op cases: conv2d joined") { check_family(conv2d_joined_family()); }
TEST_CASE("op cases: pool") { check_family(pool_family()); }
TEST_CASE("op cases: batch_norm") { check_family(batch_norm_family()); }
TEST_CASE("op cases: update") { check_family(update_family()); }

// Timing runs engines over and over on the call's own memory, and decides whether one kernel makes the statistics too: so once as
// timed and, on the simulator, whose engines are known, once with each choice in the file, which must be held to.
TEST_CASE("op cases: conv2d joined while engines are timed") {
  if (!has_device()) {
    MESSAGE("skipped: on a CUDA device: there is none");
    return;
  }
  namespace fs = std::filesystem;
  fs::path folder = fs::temp_directory_path() / ("plumage-timed-" + std::to_string(getpid()));
  fs::remove_all(folder);
  auto rows_pass = [&] {
    std::string program = fs::read_symlink("/proc/self/exe").string();
    return std::system(message("PLUMAGE_PLANS='", folder.string(), "' '", program, "' '-tc=op cases: conv2d joined' 1>&2").c_str()) == 0;
  };
  auto text = [&] {
    std::ostringstream out;
    out << std::ifstream(fs::directory_iterator(folder)->path()).rdbuf();
    return out.str();
  };
  CHECK(rows_pass());
  std::string timed = text();
  CHECK(timed.find(" dx f32 ") != std::string::npos);
  CHECK(timed.find(" stats f32 ") == std::string::npos);
  if (accelerator::simulated()) CHECK(timed.find(" stats bf16 ") != std::string::npos);
  for (const std::string choice : {"51 1 0", "-1 0 0"}) {
    if (!accelerator::simulated()) break;
    CAPTURE(choice);
    std::string wanted = std::regex_replace(timed, std::regex("\n[^\n]* stats "), std::string("\n") + choice + " stats ");
    std::ofstream(fs::directory_iterator(folder)->path()) << wanted;
    CHECK(rows_pass());
    CHECK(text() == wanted);
  }
  fs::remove_all(folder);
}

TEST_CASE("every op of the list is called by a row, which names it") {
  std::set<Op> called;
  std::set<std::string> names;
  size_t rows = 0, errors = 0;
  for (auto make : kFamilies) {
    Family family = make();
    rows += family.rows.size();
    errors += family.errors.size();
    for (const Row& row : family.rows) {
      CHECK_MESSAGE(names.insert(row.name).second, "two rows are named " << row.name);
      if (row.name.find('(') != std::string::npos) continue;  // a real layer adds nothing here
      std::set<Op> ops = ops_of(row);
      CHECK_MESSAGE(ops.contains(row.op), row.name << " does not call the op that it names");
      called.insert(ops.begin(), ops.end());
    }
  }
  for (const OpInfo& info : op_list())
    CHECK_MESSAGE(called.contains(info.op), "no row of tests/op_cases calls " << info.name);
  CHECK(rows == 591);  // pinned, so that none gets lost: change it with the rows
  CHECK(errors == 119);
}
