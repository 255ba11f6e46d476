// Training commands: runs, resume to the bit, signals, the words that scripts rely on.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "cli/config.h"
#include "nn/weights/safetensors.h"
#include "tests/cli/program.h"

using namespace plumage;

namespace {

std::string pretrain(const std::string& config, const std::string& data, const std::string& out, const std::string& more = "") {
  return "pretrain --config configs/" + config + ".toml" + kTiny + data + "--out '" + out + "' " + more;
}

}  // namespace

TEST_CASE("every configuration file is read, and what it resolves to is read back the same") {
  for (const char* folder : {"/configs", "/configs/paper"})
    for (const auto& entry : std::filesystem::directory_iterator(std::string(PLUMAGE_SOURCE_DIR) + folder)) {
      if (entry.path().extension() != ".toml") continue;
      CAPTURE(entry.path().string());
      Config config, again;
      read_config(entry.path(), config);
      read_config_text(config_text(config), "again", again);
      CHECK(config_text(again) == config_text(config));
    }
}

TEST_CASE("6 steps are 3, a save and 3 more, bit for bit") {
  for (const char* config : {"moco", "moco-pairs", "simsiam", "simsiam-pairs"}) {
    CAPTURE(config);
    Scratch s("resume");
    std::string data = tiny_birds(s);
    CHECK(plumage::plumage(s, pretrain(config, data, s / "six", "--steps 6")).code == 0);
    CHECK(plumage::plumage(s, pretrain(config, data, s / "three", "--steps 3")).code == 0);
    Outcome rest = plumage::plumage(s, "pretrain --resume '" + s / "three" + "' --steps 3");
    CHECK_MESSAGE(rest.code == 0, rest.err);
    std::string six = read_text(s / "six/checkpoint.safetensors");
    CHECK(six.size() > 1000);
    CHECK(six == read_text(s / "three/checkpoint.safetensors"));
  }
}

TEST_CASE("with alpha = nu = 0 the pairs are the base method, bit for bit") {
  Scratch s("zero");
  std::string data = tiny_birds(s);
  CHECK(plumage::plumage(s, pretrain("moco", data, s / "base", "--steps 4")).code == 0);
  CHECK(plumage::plumage(s, pretrain("moco-pairs", data, s / "zero", "--steps 4 --set pairs.alpha=0 --set pairs.nu=0")).code == 0);
  TensorFile base = read_safetensors(s / "base/checkpoint.safetensors"), zero = read_safetensors(s / "zero/checkpoint.safetensors");
  CHECK(base.tensors.size() == zero.tensors.size());
  for (auto& [name, value] : base.tensors) {
    CAPTURE(name);
    REQUIRE(zero.tensors.count(name) == 1);
    CHECK(value.to_vector() == zero.tensors[name].to_vector());
  }
}

TEST_CASE("metrics.jsonl has step, epoch, loss and the terms by name") {
  Scratch s("metrics");
  CHECK(plumage::plumage(s, pretrain("moco-pairs", tiny_birds(s), s / "run", "--steps 2")).code == 0);
  std::istringstream lines(read_text(s / "run/metrics.jsonl"));
  std::string line;
  int steps = 0;
  while (std::getline(lines, line)) {
    auto j = nlohmann::json::parse(line);
    if (j["phase"] != "method") continue;
    ++steps;
    for (const char* key : {"step", "epoch", "loss", "L_C", "L_R", "L_Cp", "lr", "images_per_s", "selected_share", "effective_rank"}) {
      CAPTURE(key);
      CHECK(j.contains(key));
    }
    CHECK(j["loss"].get<double>() == doctest::Approx(j["L_C"].get<double>() + j["L_R"].get<double>() + 0.5 * j["L_Cp"].get<double>()));
  }
  CHECK(steps == 2);
}

TEST_CASE("SIGINT and SIGTERM save, say how to go on, and exit with 130 and 143") {
  for (auto [signal, code] : {std::pair{"INT", 130}, {"TERM", 143}}) {
    CAPTURE(signal);
    Scratch s("signal");
    std::string run = pretrain("moco", tiny_birds(s), s / "run", "--set train.epochs=100000");
    Outcome o = shell(s, "PLUMAGE_THREADS=1 '" PLUMAGE_BINARY_DIR "/plumage' " + run + " & pid=$!; while [ ! -s '" + s / "run/metrics.jsonl" +
                             "' ]; do sleep 0.1; done; kill -" + signal + " $pid; wait $pid");
    CHECK(o.code == code);
    CHECK(o.err.find("plumage pretrain --resume") != std::string::npos);
    CHECK(plumage::plumage(s, "pretrain --resume '" + s / "run" + "' --steps 1").code == 0);
  }
}

TEST_CASE("a dumped step holds every named quantity") {
  Scratch s("dump");
  CHECK(plumage::plumage(s, pretrain("moco-pairs", tiny_birds(s), s / "run", "--steps 1 --dump-step '" + s / "step.safetensors" + "'")).code == 0);
  TensorFile file = read_safetensors(s / "step.safetensors");
  for (const char* name : {"x", "x1", "x2", "v", "z", "key", "queue", "eta", "eta_bar", "bank", "s", "s_bar", "noise_g", "noise_var", "v_p",
                           "x_hat", "x_hat_p", "z_hat", "z_hat_p", "loss", "L_C", "L_R", "L_Cp", "param/encoder.conv1.weight",
                           "grad/encoder.conv1.weight", "after/encoder.conv1.weight", "param/decoder.fc.weight", "after/queue.keys"}) {
    CAPTURE(name);
    CHECK(file.tensors.count(name) == 1);
  }
  CHECK(file.tensors["x1"].shape() == Shape{8, 16, 16, 3});
  CHECK(file.tensors["param/encoder.conv1.weight"].shape() == Shape{4, 3, 7, 7});
}

TEST_CASE("supervised makes a base that pretrain starts from and the measures read") {
  Scratch s("base");
  std::string data = tiny_birds(s);
  CHECK(plumage::plumage(s, std::string("supervised --config configs/base.toml") + kTiny + data + "--classes 0-1 --out '" + s / "base" + "'").code == 0);
  std::string weights = "--weights '" + s / "base/checkpoint.safetensors" + "' ";
  CHECK(plumage::plumage(s, pretrain("moco-pairs", data, s / "run", weights + "--classes 2-3 --steps 1")).code == 0);
  CHECK(plumage::plumage(s, std::string("pretrain-decoder --config configs/moco-pairs.toml") + kTiny + data + weights + "--out '" + s / "decoder" + "'").code == 0);
  for (auto [command, keys] : {std::pair{"linear", std::vector<const char*>{"top1", "images"}},
                               {"retrieve", {"rank1", "rank5", "mAP", "images"}}, {"knn", {"top1", "images"}}}) {
    CAPTURE(command);
    Outcome o = plumage::plumage(s, std::string(command) + " " + weights + data + "--split test --size 16 --json");
    CHECK_MESSAGE(o.code == 0, o.err);
    auto j = nlohmann::json::parse(o.out, nullptr, false);  // one object, nothing else
    REQUIRE(j.is_object());
    for (const char* key : keys) CHECK(j.contains(key));
    CHECK(j["images"] == 16);
  }
  CHECK(plumage::plumage(s, "linear " + weights + data + "--size 16 --solver lbfgs --fraction 1 0.5 --lists '" + s / "lists" + "'").code == 0);
  CHECK(std::filesystem::exists(s / "lists/labels-50.txt"));
}

TEST_CASE("demo ends with its report, whose numbers are those of results.json [slow]") {
  Scratch s("demo");
  Outcome o = plumage::plumage(s, "demo --epochs 1 --autoencoder-epochs 1 --per-class 16 --out '" + s / "demo" + "'");
  REQUIRE_MESSAGE(o.code == 0, o.err);
  std::string last = o.out.substr(o.out.rfind("report: "));
  CHECK(last == "report: " + (s / "demo/report.html") + "\n");
  CHECK(std::filesystem::exists(s / "demo/report.html"));
  CHECK(nlohmann::json::parse(read_text(s / "demo/results.json"), nullptr, false).is_object());
}
