// What users get wrong: one clear line that names the file, key or shape, a non-zero exit, nothing lost.
#include <doctest/doctest.h>

#include "tests/cli/program.h"

using namespace plumage;

namespace {

// The command fails with `code` and one line that holds all of `words`.
void check_refused(const Outcome& o, int code, const std::vector<std::string>& words) {
  CHECK_MESSAGE(o.code == code, "exit ", o.code, ": ", o.err);
  std::string line = complaint(o);
  CHECK_MESSAGE(!line.empty(), o.err);
  for (const std::string& word : words) CHECK_MESSAGE(line.find(word) != std::string::npos, "'", word, "' not in: ", line);
}

std::string tiny_run(const Scratch& s, const std::string& data, const std::string& more = "", const std::string& out = "run") {
  return std::string("pretrain --config configs/moco.toml") + kTiny + data + "--out '" + s / out + "' " + more;
}

}  // namespace

TEST_CASE("folders that cannot be learned from") {
  Scratch s("folders");
  check_refused(plumage::plumage(s, tiny_run(s, "--data /no/such/folder --dataset folder ")), 2, {"/no/such/folder"});
  std::filesystem::create_directories(s / "empty");
  check_refused(plumage::plumage(s, tiny_run(s, "--data '" + s / "empty" + "' --dataset folder ", "", "run2")), 2, {s / "empty"});
  check_refused(plumage::plumage(s, tiny_run(s, "--data '" + s / "empty" + "' --dataset nonsense ", "", "run3")), 2, {"nonsense"});
  check_refused(plumage::plumage(s, tiny_run(s, "", "", "run4")), 2, {"--data"});
  std::string birds = tiny_birds(s);
  check_refused(plumage::plumage(s, tiny_run(s, birds, "--classes 90-99", "run5")), 2, {"90"});
  check_refused(plumage::plumage(s, tiny_run(s, birds, "--set train.batch=64", "run6")), 2, {"batch"});
}

TEST_CASE("corrupt pictures: few are named and left out, all stop the run") {
  Scratch s("corrupt");
  plumage::plumage(s, "synth '" + s / "many" + "' --classes 2 --per-class 101 --px 16");
  write_text(s / "many/train/broken.png", "no picture");  // beside the class folders: not of the set
  std::string first = std::filesystem::directory_iterator(s / "many/train")->path().string();
  for (const auto& entry : std::filesystem::directory_iterator(s / "many/train"))
    if (entry.is_directory()) { write_text(entry.path() / "aa-broken.png", "no picture"); break; }
  Outcome few = plumage::plumage(s, tiny_run(s, "--data '" + s / "many" + "' --dataset folder ", "--steps 1"));
  CHECK_MESSAGE(few.code == 0, few.err);
  CHECK(few.err.find("aa-broken.png") != std::string::npos);
  for (int i = 0; i < 8; ++i) write_text(s / ("bad/train/a/" + std::to_string(i) + ".png"), "no picture");
  check_refused(plumage::plumage(s, tiny_run(s, "--data '" + s / "bad" + "' --dataset folder ", "", "run2")), 2, {".png"});
}

TEST_CASE("configuration: unknown key, wrong type, no TOML, sizes out of range") {
  Scratch s("config");
  std::string birds = tiny_birds(s);
  auto with = [&](const std::string& text) {
    write_text(s / "c.toml", text);
    return plumage::plumage(s, "pretrain --config '" + s / "c.toml" + "' " + birds + "--out '" + s / "run" + "'");
  };
  check_refused(with("[train]\nbatsh = 4\n"), 2, {"c.toml", "train.batsh", "train.batch"});
  check_refused(with("[train]\nbatch = \"four\"\n"), 2, {"c.toml", "train.batch", "whole number"});
  check_refused(with("[train\nbatch = 4\n"), 2, {"c.toml", "line 1"});
  check_refused(with("[\nbatch = 4\n"), 2, {"c.toml", "no TOML"});
  check_refused(with("\u00e9 = 4\n"), 2, {"c.toml", "line 1"});
  check_refused(with("method = \"magic\"\n"), 2, {"method", "moco, simsiam"});
  for (const char* key : {"train.size", "train.batch", "encoder.width", "moco.dim", "bank.size", "moco.queue"})
    for (const char* value : {"0", "1000000000000000", "-1"}) {
      CAPTURE(key);
      check_refused(plumage::plumage(s, tiny_run(s, birds, std::string("--set ") + key + "=" + value)), 2, {key});
    }
  check_refused(plumage::plumage(s, tiny_run(s, birds, "--set nonsense")), 2, {"key=value"});
  check_refused(plumage::plumage(s, tiny_run(s, birds, "--set optim.lrr=1")), 2, {"optim.lrr", "optim.lr"});
  check_refused(plumage::plumage(s, "pretrain --config /no/such.toml " + birds + "--out x"), 2, {"/no/such.toml"});
  check_refused(plumage::plumage(s, "pretrain --nonsense"), 2, {"--nonsense"});
  check_refused(plumage::plumage(s, "nonsense"), 2, {"nonsense"});
}

TEST_CASE("a size of a billion is refused before memory is taken") {
  Scratch s("billion");
  std::string birds = tiny_birds(s);
  check_refused(plumage::plumage(s, tiny_run(s, birds, "--set train.size=1000000000")), 2, {"train.size"});
  check_refused(plumage::plumage(s, tiny_run(s, birds, "--set encoder.width=1000000000")), 2, {"encoder.width"});
}

TEST_CASE("a loss that is not a number stops the run, names the term, keeps the last checkpoint") {
  Scratch s("nan");
  std::string birds = tiny_birds(s);
  Outcome o = plumage::plumage(s, tiny_run(s, birds, "--set optim.lr=1e30 --set train.epochs=50 --set train.save_every=1 --set moco.head_norm=false"));
  check_refused(o, 1, {"step", "L_C"});
}

TEST_CASE("checkpoints: another architecture, truncated, absent; a run is never overwritten") {
  Scratch s("checkpoint");
  std::string birds = tiny_birds(s);
  REQUIRE(plumage::plumage(s, tiny_run(s, birds, "--steps 1")).code == 0);
  std::string checkpoint = s / "run/checkpoint.safetensors", bytes = read_text(checkpoint);
  check_refused(plumage::plumage(s, tiny_run(s, birds, "--weights '" + checkpoint + "' --set encoder.width=8", "other")), 2, {checkpoint, "mismatched"});
  check_refused(plumage::plumage(s, tiny_run(s, birds, "--weights '" + checkpoint + "' --set encoder.arch=resnet50", "other2")), 2, {checkpoint});
  check_refused(plumage::plumage(s, tiny_run(s, birds, "--steps 1")), 2, {s / "run", "--resume"});
  CHECK(read_text(checkpoint) == bytes);
  for (size_t keep : {size_t(0), size_t(7), size_t(100), bytes.size() - 1}) {
    write_text(s / "cut.safetensors", bytes.substr(0, keep));
    check_refused(plumage::plumage(s, "linear --weights '" + s / "cut.safetensors" + "' " + birds + "--size 16"), 2, {"cut.safetensors"});
  }
  write_text(checkpoint, bytes.substr(0, bytes.size() / 2));
  check_refused(plumage::plumage(s, "pretrain --resume '" + s / "run" + "'"), 2, {checkpoint});
  check_refused(plumage::plumage(s, "pretrain --resume '" + s / "nowhere" + "'"), 2, {"nowhere"});
  write_text(checkpoint, bytes);
  check_refused(plumage::plumage(s, "supervised --resume '" + s / "run" + "'"), 2, {"plumage pretrain"});
  check_refused(plumage::plumage(s, "pretrain --resume '" + s / "run" + "' --set seed=1"), 2, {"--resume"});
}

TEST_CASE("a run folder that cannot be written, and a full disk") {
  Scratch s("disk");
  std::string birds = tiny_birds(s);
  write_text(s / "file", "");
  check_refused(plumage::plumage(s, tiny_run(s, birds, "", "file")), 2, {s / "file"});
  check_refused(plumage::plumage(s, tiny_run(s, birds, "", "file/run")), 1, {s / "file/run"});
  REQUIRE(plumage::plumage(s, tiny_run(s, birds, "--steps 1")).code == 0);
  std::string checkpoint = s / "run/checkpoint.safetensors", bytes = read_text(checkpoint);
  // A limit on file size stands in for the full disk: writing fails in the middle.
  Outcome o = shell(s, "trap '' XFSZ; ulimit -f 40; plumage pretrain --resume '" + s / "run" + "' --steps 1");
  check_refused(o, 1, {"checkpoint.safetensors"});
  CHECK(read_text(checkpoint) == bytes);
}

TEST_CASE("classes of one picture") {
  Scratch s("single");
  plumage::plumage(s, "synth '" + s / "one" + "' --classes 3 --per-class 1 --px 16");
  std::string one = "--weights untrained:resnet18:4 --data '" + s / "one" + "' --dataset synthetic --size 16 ";
  check_refused(plumage::plumage(s, "retrieve " + one), 2, {"of 3 pictures"});
  CHECK(plumage::plumage(s, "knn " + one).code == 0);
  CHECK(plumage::plumage(s, "linear --solver lbfgs " + one).code == 0);
}
