// plumage dataset, and the packed cache as runs use it.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

using namespace plumage;
namespace fs = std::filesystem;

namespace {

// Four birds of two classes and what goes wrong in real folders: a copy in the other split, a broken file, a name that
// is not UTF-8.
std::string odd_folder(const Scratch& s) {
  plumage::plumage(s, "synth '" + s / "odd" + "' --classes 2 --per-class 2 --seed 1 --px 16");
  std::vector<fs::path> train;
  for (const auto& entry : fs::recursive_directory_iterator(s / "odd/train"))
    if (entry.is_regular_file()) train.push_back(entry.path());
  std::sort(train.begin(), train.end());
  fs::path other = s.path / "odd/test" / train[0].parent_path().filename() / "copy-\xe9.png";
  fs::copy_file(train[0], other);
  write_text(s.path / "odd/test" / train[0].parent_path().filename() / "broken.png", "not a picture");
  return s / "odd";
}

}  // namespace

TEST_CASE("dataset says what is there, on standard output or as one JSON object, and draws a sheet") {
  Scratch s("dataset");
  std::string dir = odd_folder(s);
  Outcome text = plumage::plumage(s, "dataset '" + dir + "' --dataset synthetic --sheet '" + s / "sheet.png" + "'");
  CHECK(text.code == 0);
  for (const char* part : {"synthetic: 4 train, 4 test, 2 classes\n", "pictures by class: train test\n", "corrupt files  1\n",
                           "broken.png: not a picture", "duplicates  1\n", "width   16 to 16, median 16\n", "sheet.png"}) {
    CAPTURE(part);
    CHECK(text.out.find(part) != std::string::npos);
  }
  CHECK(text.err.find("warning: 1 picture is in more than one split") != std::string::npos);
  CHECK(read_text(s / "sheet.png").substr(1, 3) == "PNG");

  Outcome json = plumage::plumage(s, "dataset '" + dir + "' --dataset synthetic --no-sheet --json");
  REQUIRE(json.code == 0);
  auto out = nlohmann::json::parse(json.out);
  CHECK(out["images"] == 8);
  CHECK(out["classes"] == 2);
  CHECK(out["splits"]["test"]["images"] == 4);
  CHECK(out["partial"] == false);
  CHECK(out["width"]["max"] == 16);
  CHECK(out["histogram"].size() == 2);
  CHECK(out["corrupt"].size() == 1);
  CHECK(out["duplicates"][0].size() == 2);
  CHECK(out["contact_sheet"].is_null());
  CHECK(std::count(json.out.begin(), json.out.end(), '\n') == 1);
}

TEST_CASE("dataset: lists that are written are read back; errors are one line") {
  Scratch s("lists");
  tiny_birds(s);
  Outcome o = plumage::plumage(s, "dataset '" + s / "birds" + "' --dataset synthetic --validation 0.25 --lists '" + s / "lists" + "' --no-sheet");
  CHECK(o.code == 0);
  Outcome back = plumage::plumage(s, "dataset '" + s / "lists" + "' --dataset list --no-sheet");
  CHECK(back.out.find("list: 24 train, 8 validation, 16 test, 4 classes\n") != std::string::npos);
  CHECK(plumage::plumage(s, "knn --weights untrained:resnet18:4 --data '" + s / "lists" + "' --dataset list --split validation --size 16").code == 0);
  for (const char* arguments : {"dataset /no/such", "dataset . --dataset nonsense", "dataset . --dataset cub",
                                       "dataset . --dataset cub --level family", "dataset . --split dev",
                                "dataset . --sheet sheet.jpg"}) {
    Outcome bad = plumage::plumage(s, arguments);
    CAPTURE(arguments);
    CHECK(bad.code == 2);
    CHECK(complaint(bad) != "");
    CHECK(bad.out.empty());
  }
  write_text(s / "file", "");
  Outcome nowhere = plumage::plumage(s, "dataset '" + s / "birds" + "' --dataset synthetic --no-sheet --lists '" + s / "file/lists" + "'");
  CHECK(nowhere.code == 1);
  CHECK(nowhere.err.find("file/lists: cannot be made: ") != std::string::npos);
}

TEST_CASE("runs with data.cache end as those without, and the second one finds the file") {
  Scratch s("cache");
  std::string birds = tiny_birds(s);
  auto run = [&](const std::string& out, const std::string& more) {
    return plumage::plumage(s, "pretrain --config configs/moco.toml " + birds + "--steps 3 --out '" + s / out + "'" + kTiny + more);
  };
  std::string cache = " --set data.cache='" + s / "packed" + "'";
  REQUIRE(run("plain", "").code == 0);
  Outcome first = run("first", cache), second = run("second", cache);
  CHECK(first.err.find(", packed in ") != std::string::npos);
  CHECK(second.err.find(", found in ") != std::string::npos);
  auto losses = [&](const std::string& out) {
    std::string text;
    std::istringstream lines(read_text(s / (out + "/metrics.jsonl")));
    for (std::string line; std::getline(lines, line);) text += nlohmann::json::parse(line)["loss"].dump() + " ";
    return text;
  };
  CHECK(losses("plain").size() > 10);
  CHECK(losses("plain") == losses("first"));
  CHECK(losses("plain") == losses("second"));
  std::string judge = "knn --weights untrained:resnet18:4 " + birds + "--size 16 --json";
  CHECK(plumage::plumage(s, judge).out == plumage::plumage(s, judge + " --cache '" + s / "packed" + "'").out);
}
