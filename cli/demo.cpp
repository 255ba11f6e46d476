// plumage demo: the main job in a few minutes, on birds drawn by the program itself. What it prints and writes was
// measured in this run.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <thread>

#include "cli/build_method.h"
#include "cli/commands.h"
#include "cli/decoder_phase.h"
#include "cli/device.h"
#include "cli/progress.h"
#include "cli/stop_signal.h"
#include "data/split.h"
#include "data/synthetic_set.h"
#include "data/write_png.h"
#include "eval/features.h"
#include "eval/gallery.h"
#include "eval/linear_probe.h"
#include "eval/retrieval.h"
#include "ssl/gauges.h"

namespace plumage {

namespace {

struct Arguments {
  std::string out = "runs/demo";
  DeviceArguments where;
  int64_t classes = 8, per_class = 250, epochs = 6, autoencoder_epochs = 16;
  uint64_t seed = 0;
  int threads = 0;
};

// One encoder of the table.
struct Entry {
  std::string name, note;
  std::unique_ptr<Method> method;
  double images = 0, seconds = 0;
  std::vector<double> probe;  // at 100, 50, 20 % of the labels, percent
  RetrievalScores retrieval;
  CollapseGauges gauges;
  Features test;
};

Config demo_config(const Arguments& a) {
  Config config;
  config.seed = a.seed;
  config.train.size = 64;
  config.train.epochs = a.epochs;
  config.train.sample_every = 1000000;  // only the last step's pairs
  config.encoder = {"resnet18", Stem::imagenet, 32};
  config.optim.lr = 0.06;
  config.moco.queue = 1024;
  config.moco.head_norm = true;
  config.pairs.alpha = 0;
  config.pairs.nu = 0;
  config.pairs.perturb.epsilon_g = 0.5;
  config.pairs.perturb.epsilon_var = 0.25;
  config.decoder.pretrain_epochs = a.autoencoder_epochs;
  config.decoder.pretrain_frozen = false;
  config.decoder.optim.lr = 1e-3;
  return config;
}

// Random weights keep little of a picture: encoder and decoder first learn L_R together, in many small steps.
Config autoencoder_config(Config config) {
  config.train.batch = 32;
  return config;
}

class Demo {
 public:
  explicit Demo(const Arguments& a)
      : arguments_(a), compute_(choose_compute(a.where, compute_type(a.where, ComputeType::automatic))), config_(demo_config(a)), out_(a.out) {
    config_.train.compute = compute_type(a.where, ComputeType::automatic);
    config_.base.compute = compute_.type;
  }

  void run() {
    std::cerr << "computes " << compute_.str() << '\n';
    draw_birds();
    Entry untrained{"untrained", "random weights", build_method(config_, cache().size(), compute_.device)};
    judge(untrained);
    Entry autoencoder = train_autoencoder(untrained.method->encoder());
    Entry moco = train("MoCo v2", "from the autoencoder", config_, "moco");
    Config with_pairs = config_;
    with_pairs.pairs.alpha = 2;
    with_pairs.pairs.nu = 0.5;
    Entry pairs = train("MoCo v2 + pairs", "same images seen", with_pairs, "pairs");
    Config longer = config_;
    longer.train.epochs = std::max<int64_t>(a_epochs(), std::lround(double(a_epochs()) * pairs.seconds / std::max(moco.seconds, 1e-3)));
    Entry equal_time = train("MoCo v2, longer", "same time as with pairs", longer, "moco-longer");
    for (Entry* entry : {&untrained, &autoencoder, &moco, &pairs, &equal_time}) entries_.push_back(std::move(*entry));
    print_table();
    std::cout << "report: " << write_page().string() << std::endl;
  }

 private:
  int64_t a_epochs() const { return arguments_.epochs; }
  const ImageCache& cache() const { return *train_cache_; }

  void draw_birds() {
    SyntheticSet set{SyntheticWorld::simple(), choose_species(arguments_.classes, 2, 7), arguments_.seed, config_.train.size};
    write_synthetic(out_ / "birds", set, arguments_.per_class);
    config_.data.dir = (out_ / "birds").string();
    config_.data.dataset = "synthetic";
    train_cache_ = open_cache(config_, nullptr);
    Config test = config_;
    test.data.split = "test";
    test_cache_ = open_cache(test, nullptr);
    std::cerr << "birds: " << arguments_.classes << " species, " << train_cache_->size() << " training and " << test_cache_->size()
              << " test pictures, in " << (out_ / "birds").string() << '\n';
  }

  RunFolder fresh_folder(const std::string& name) const {
    std::filesystem::remove_all(out_ / name);
    return RunFolder::create(out_ / name);
  }

  Limits listen(const std::string& name) {
    Limits limits;
    limits.on_log = [this, name](const LoggedStep& logged) {
      for (const auto& [key, value] : logged.values) {
        if (key != "L_C" && key != "L_R" && key != "L_Cp") continue;
        Curve& curve = curves_[key][name];
        curve.name = name;
        curve.x.push_back(double(logged.step));
        curve.y.push_back(value);
      }
      for (const auto& [key, value] : logged.values) last_[name][key] = value;
    };
    limits.on_sample = [this](const Step& step) {
      if (step.x_hat_p.defined()) sample_ = step;
    };
    return limits;
  }

  void stop_if_asked(Ended ended) const {
    if (ended == Ended::signal) throw ExitWith{128 + stop_signal()};
  }

  // Encoder and decoder by L_R alone, without labels: what the methods start from.
  Entry train_autoencoder(ResNet& untrained) {
    Config config = autoencoder_config(config_);
    start_ = std::make_unique<DecoderPhase>(config, untrained);
    RunFolder folder = fresh_folder("autoencoder");
    RunState state{"pretrain-decoder", "decoder", 0, 0, 0};
    Phase phase{"decoder", "autoencoder", config.decoder.pretrain_epochs, start_->method.get(), &start_->optimizers, true,
                clean_views(config)};
    auto begin = std::chrono::steady_clock::now();
    stop_if_asked(run_phase(config, cache(), phase, state, &folder, listen("autoencoder")));
    Entry entry{"autoencoder", "where the three below start", from_start(config_)};
    entry.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    entry.images = double(state.step * config.train.batch);
    judge(entry);
    return entry;
  }

  std::unique_ptr<Method> from_start(const Config& config) const {
    auto method = build_method(config, cache().size(), compute_.device);
    copy_state(start_->method->encoder(), method->encoder());
    method->encoder_changed();
    if (auto* pairs = dynamic_cast<DiscriminativePairs*>(method.get())) copy_state(start_->method->decoder(), pairs->decoder());
    return method;
  }

  Entry train(const std::string& name, const std::string& note, const Config& config, const std::string& folder_name) {
    Entry entry{name, note, from_start(config)};
    Optimizers optimizers = build_optimizers(config, *entry.method);
    RunFolder folder = fresh_folder(folder_name);
    folder.write("config.toml", "# begun " + compute_.str() + "\n" + config_text(config));
    RunState state{"pretrain", "method", 0, 0, 0};
    Phase phase{"method", name, config.train.epochs, entry.method.get(), &optimizers, false,
                config.uses_pairs() ? clean_and_pair_views(config) : pair_views(config)};
    auto begin = std::chrono::steady_clock::now();
    stop_if_asked(run_phase(config, cache(), phase, state, &folder, listen(name)));
    entry.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    entry.images = double(state.step * config.train.batch);
    judge(entry);
    return entry;
  }

  void judge(Entry& entry) const {
    FeatureOptions options;
    options.size = config_.train.size;
    options.short_side = usual_short_side(options.size);
    options.compute = compute_.type;
    Features train = extract_features(entry.method->encoder(), cache(), options);
    entry.test = extract_features(entry.method->encoder(), *test_cache_, options);
    std::vector<int64_t> labels(train.labels.span<int64_t>().begin(), train.labels.span<int64_t>().end());
    ProbeOptions probe;
    probe.solver = "lbfgs";
    for (double fraction : {1.0, 0.5, 0.2})
      entry.probe.push_back(100 * linear_probe(train, entry.test, probe, label_fraction(labels, fraction, config_.seed)).test.top1);
    entry.retrieval = retrieve(entry.test);
    entry.gauges = collapse_gauges(entry.test.v);
  }

  const Entry* find(const std::string& name) const {
    for (const Entry& e : entries_)
      if (e.name == name) return &e;
    return nullptr;
  }

  void print_table() const {
    std::printf("\n%-18s %9s %8s   %6s %6s %6s   %6s %6s %6s\n", "encoder", "images", "seconds", "probe", "50 %", "20 %", "rank-1", "rank-5", "mAP");
    for (const Entry& e : entries_)
      std::printf("%-18s %9.0f %8.0f   %6.1f %6.1f %6.1f   %6.1f %6.1f %6.1f\n", e.name.c_str(), e.images, e.seconds, e.probe[0], e.probe[1],
                  e.probe[2], 100 * e.retrieval.rank1, 100 * e.retrieval.rank5, 100 * e.retrieval.map);
    std::printf("%.0f test pictures, chance %.1f; percent; probe: linear classifier on frozen features, at 100, 50, 20 %% of the labels\n\n",
                double(test_cache_->size()), 100.0 / double(arguments_.classes));
  }

  Table table() const {
    Table t{"encoders", "What each encoder is worth", "Measured in this run, on test pictures that no training saw.", {}, {}};
    t.columns = {{"images", "images seen", "", 0}, {"seconds", "training", "s", 0}, {"probe100", "probe, all labels", "%", 1, Best::high},
                 {"probe50", "half", "%", 1, Best::high}, {"probe20", "a fifth", "%", 1, Best::high}, {"rank1", "rank-1", "%", 1, Best::high},
                 {"rank5", "rank-5", "%", 1, Best::high}, {"mAP", "mAP", "%", 1, Best::high}, {"effective_rank", "effective rank", "", 1}};
    for (const Entry& e : entries_)
      t.rows.push_back({e.name, e.note, {e.images, e.seconds, e.probe[0], e.probe[1], e.probe[2], 100 * e.retrieval.rank1,
                                         100 * e.retrieval.rank5, 100 * e.retrieval.map, e.gauges.effective_rank}});
    return t;
  }

  std::vector<Chart> charts() const {
    const std::map<std::string, std::pair<std::string, std::string>> titles = {
        {"L_C", {"Contrastive loss L_C", "InfoNCE of two augmented views (paper, eq. 1)."}},
        {"L_R", {"Reconstruction loss L_R", "Mean squared error of the reconstruction (eq. 2): first alone, then beside the contrastive losses."}},
        {"L_Cp", {"Contrastive loss of the pairs L_Cp", "Reconstruction against perturbed reconstruction (eq. 7)."}}};
    std::vector<Chart> charts;
    for (const auto& [key, by_name] : curves_) {
      Chart chart{key, titles.at(key).first, titles.at(key).second, "step", key, false, {}};
      for (const auto& [name, curve] : by_name) chart.curves.push_back(curve);
      charts.push_back(chart);
    }
    return charts;
  }

  Gallery neighbours(const Entry& entry) const {
    std::vector<int64_t> queries;
    for (int64_t i = 0; i < 6; ++i) queries.push_back(i * entry.test.size() / 6);
    Gallery g = neighbour_gallery(entry.test, [&](int64_t i) { Image scratch; return test_cache_->get(i, scratch); }, queries, 5,
                                  test_cache_->dataset().class_names);
    g.title = "Nearest neighbours, " + entry.name;
    g.caption = "Test pictures and the five most like them. Framed by whether the species is the same.";
    return g;
  }

  std::vector<Gauge> gauges() const {
    auto value = [&](const char* key) { return last_.at("MoCo v2 + pairs").at(key); };
    return {{"selected_share", "dimensions perturbed as low-variance", 100 * value("selected_share"), 1, "%", "Share of v that eq. 6 adds noise to."},
            {"rms_one_minus_eta_bar", "rms of 1 - eta", value("rms_one_minus_eta_bar"), 2, "",
             "1 means that Grad-CAM singles out nothing and eq. 5 is noise of one size everywhere."},
            {"noise_gradcam", "noise of eq. 5 by feature spread", value("noise_to_signal_gradcam"), 2, "", "How far v moves, in standard deviations of the features."},
            {"noise_lowvar", "noise of eq. 6 by feature spread", value("noise_to_signal_lowvar"), 2, "", "The same for the low-variance dimensions."},
            {"reconstruction", "reconstruction error L_R", value("L_R"), 3, "", "Mean squared error in normalised colours; 1 would be no better than grey."}};
  }

  std::filesystem::path write_page() const {
    ReportData data;
    data.title = "plumage demo";
    data.summary = {"Encoders learned from unlabelled pictures of synthetic birds, whose species shows only in small marks. Labels were used to judge them, never to train them.",
                    "From random weights, encoder and decoder first learn to reconstruct (L_R alone); the three runs of MoCo v2 start there. The pairs cost about " +
                        std::to_string(std::lround(find("MoCo v2 + pairs")->seconds / std::max(1.0, find("MoCo v2")->seconds))) +
                        " times MoCo v2's time for the same images, so MoCo v2 is shown at equal images and at equal time."};
    data.tables = {table()};
    data.charts = charts();
    auto first = [](const Tensor& t) { return t.slice(0, std::min<int64_t>(8, t.size(0))).to(Device{}); };
    Gallery pairs = pair_gallery(first(sample_.x), first(sample_.x_hat), first(sample_.x_hat_p));
    pairs.title = "Generated pairs";
    pairs.caption = "The last training batch: a picture, its reconstruction from v, the one from the perturbed v, and four times their difference.";
    data.galleries = {pairs, neighbours(*find("MoCo v2 + pairs")), neighbours(*find("untrained"))};
    SheetOptions sheet;
    sheet.cell = 128;
    for (auto [gallery, name] : {std::pair{0, "pairs.png"}, {1, "neighbours.png"}}) {
      sheet.columns = data.galleries[size_t(gallery)].columns;
      write_png(out_ / name, contact_sheet(data.galleries[size_t(gallery)].rows, sheet));
    }
    data.gauges = gauges();
    data.facts = {{"data", std::to_string(cache().size()) + " training and " + std::to_string(test_cache_->size()) + " test pictures of " +
                               std::to_string(arguments_.classes) + " species, 64 pixels, simple world"},
                  {"encoder", "ResNet-18 of half width, " + std::to_string(entries_[0].method->encoder().parameter_count()) + " parameters"},
                  {"start", message("autoencoder of ", std::lround(find("autoencoder")->seconds), " s, no labels")},
                  {"computed", compute_.str()},
                  {"seed", std::to_string(arguments_.seed)}, {"threads", std::to_string(std::thread::hardware_concurrency())}};
    data.commands = {"make demo"};
    data.config = config_text(config_);
    data.notes = {"One seed. Two seeds of MoCo v2 at this length differ by several points, so small differences in the table mean nothing.",
                  "The decoder sees the picture only through v: marks that v does not hold are not in the reconstruction."};
    return write_report(out_, data);
  }

  Arguments arguments_;
  Compute compute_;
  Config config_;
  std::filesystem::path out_;
  std::unique_ptr<ImageCache> train_cache_, test_cache_;
  std::unique_ptr<DecoderPhase> start_;
  std::map<std::string, std::map<std::string, Curve>> curves_;  // term -> run -> curve
  std::map<std::string, std::map<std::string, double>> last_;   // run -> number -> last value
  Step sample_;
  std::vector<Entry> entries_;
};

}  // namespace

void add_demo(CLI::App& program) {
  auto* command = program.add_subcommand("demo", "the main job on synthetic birds, with a report at the end");
  command->footer("Example: plumage demo --out runs/demo");
  auto a = std::make_shared<Arguments>();
  command->add_option("--out", a->out, "folder for birds, runs and report");
  command->add_option("--epochs", a->epochs, "of MoCo v2 and of MoCo v2 + pairs")->check(CLI::Range(1, 1000));
  command->add_option("--autoencoder-epochs", a->autoencoder_epochs, "of encoder and decoder learning to reconstruct, before")->check(CLI::Range(1, 1000));
  command->add_option("--per-class", a->per_class, "training pictures of each species")->check(CLI::Range(16, 100000));
  command->add_option("--seed", a->seed, "of everything");
  a->where.add_to(*command);
  command->callback([a] {
    watch_signals();
    Demo(*a).run();
  });
}

}  // namespace plumage
