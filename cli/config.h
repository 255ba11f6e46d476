// Everything a run can be told, in one struct; every key stands once, in config.cpp's table, from which reading,
// `--set`, the resolved file and `plumage info --keys` are made.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/augment.h"
#include "nn/decoder.h"
#include "nn/optimizer.h"
#include "nn/schedule.h"
#include "ssl/moco.h"
#include "ssl/pairs.h"
#include "ssl/simsiam.h"
#include "tensor/compute_type.h"

namespace plumage {

struct Config {
  uint64_t seed = 0;
  std::string method = "moco";  ///< moco or simsiam

  struct Data {
    std::string dir, dataset = "folder", split = "train", classes;
    int64_t short_side = 0;
    double cache_gib = 4, device_gib = 16;
    bool device_views = true;  ///< views are made where the step computes; false: on the CPU
    bool allow_corrupt = false;
    std::optional<bool> crop;
    std::string level, cache;
    double validation = 0, fraction = 1;
    uint64_t split_seed = 0;
    int threads = 0;
  } data;

  struct Train {
    int64_t batch = 64, epochs = 20, size = 64;
    ComputeType compute = ComputeType::automatic;  ///< what it comes to on a device: base.compute
    int64_t log_every = 10, save_every = 1, knn_every = 0, sample_every = 5;  ///< steps; epochs
  } train;

  ResNetOptions encoder{"resnet18", Stem::imagenet, 64};
  OptimizerOptions optim;
  ScheduleOptions schedule;
  AugmentOptions augment = small_picture_options();
  BaseOptions base;
  MoCoOptions moco{{}, 65536, 128, 0.99};
  SimSiamOptions simsiam;
  PairsOptions pairs;

  struct DecoderRun {
    DecoderOptions model;
    int64_t pretrain_epochs = 30;
    bool pretrain_frozen = true;  ///< encoder during that: frozen, or learning along
    OptimizerOptions optim{"adam", 1e-4, 0.9, 0};
    bool own_optimizer = true;  ///< decoder.optim: adam (its own), or with the encoder's
  } decoder;

  bool uses_pairs() const { return pairs.alpha != 0 || pairs.nu != 0; }
};

/// Fills `config` from a TOML file. Throws InputError naming file and key: unknown (with the nearest known), wrong
/// type, out of range.
void read_config(const std::filesystem::path& file, Config& config);
/// The same from text (a checkpoint's).
void read_config_text(const std::string& text, const std::string& name, Config& config);
/// "key=value", the value in TOML or a bare word.
void set_config(const std::string& assignment, Config& config);
/// All keys with their values, as TOML that read_config reads back to the same Config.
std::string config_text(const Config& config);
/// "key = default  # what it is", for people.
std::string config_help();

}  // namespace plumage
