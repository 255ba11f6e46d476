#include "cli/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <functional>
#include <sstream>

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

namespace plumage {

namespace {

// One key: how it is read from and written to TOML.
struct Key {
  std::string name, help;
  std::function<void(const toml::node& value, const std::string& where)> read;
  std::function<std::string()> write;
};

[[noreturn]] void wrong(const std::string& where, const std::string& wanted) {
  throw InputError(message(where, ": wanted ", wanted));
}

std::string in_quotes(const std::string& s) {
  std::string out = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string number(double value) {
  char text[64];
  auto end = std::to_chars(text, text + sizeof text, value).ptr;
  std::string s(text, end);
  return s.find_first_of(".en") == std::string::npos ? s + ".0" : s;
}

template <class E>
using Choices = std::vector<std::pair<const char*, E>>;

// Collects the keys of a Config.
class Keys {
 public:
  std::vector<Key> list;

  void integer(const char* name, int64_t& target, int64_t low, int64_t high, const char* help) {
    list.push_back({name, help,
                    [&target, low, high](const toml::node& value, const std::string& where) {
                      auto v = value.is_integer() ? value.value<int64_t>() : std::nullopt;
                      if (!v || *v < low || *v > high) wrong(where, message("a whole number from ", low, " to ", high));
                      target = *v;
                    },
                    [&target] { return std::to_string(target); }});
  }
  void integer(const char* name, int& target, int low, int high, const char* help) {
    list.push_back({name, help,
                    [&target, low, high](const toml::node& value, const std::string& where) {
                      auto v = value.is_integer() ? value.value<int64_t>() : std::nullopt;
                      if (!v || *v < low || *v > high) wrong(where, message("a whole number from ", low, " to ", high));
                      target = int(*v);
                    },
                    [&target] { return std::to_string(target); }});
  }
  void seed(const char* name, uint64_t& target, const char* help) {
    list.push_back({name, help,
                    [&target](const toml::node& value, const std::string& where) {
                      auto v = value.is_integer() ? value.value<int64_t>() : std::nullopt;
                      if (!v || *v < 0) wrong(where, "a whole number of at least 0");
                      target = uint64_t(*v);
                    },
                    [&target] { return std::to_string(target); }});
  }
  void real(const char* name, double& target, double low, double high, const char* help) {
    list.push_back({name, help,
                    [&target, low, high](const toml::node& value, const std::string& where) {
                      auto v = value.is_number() ? value.value<double>() : std::nullopt;
                      if (!v || !(*v >= low && *v <= high)) wrong(where, message("a number from ", low, " to ", high));
                      target = *v;
                    },
                    [&target] { return number(target); }});
  }
  void flag(const char* name, bool& target, const char* help) {
    list.push_back({name, help,
                    [&target](const toml::node& value, const std::string& where) {
                      if (!value.is_boolean()) wrong(where, "true or false");
                      target = *value.value<bool>();
                    },
                    [&target] { return std::string(target ? "true" : "false"); }});
  }
  void text(const char* name, std::string& target, const char* help) {
    list.push_back({name, help,
                    [&target](const toml::node& value, const std::string& where) {
                      if (!value.is_string()) wrong(where, "a string");
                      target = *value.value<std::string>();
                    },
                    [&target] { return in_quotes(target); }});
  }
  template <class E>
  void choice(const char* name, E& target, Choices<E> choices, const char* help) {
    std::string wanted;
    for (auto& [word, value] : choices) wanted += (wanted.empty() ? "" : ", ") + std::string(word);
    list.push_back({name, help + (": " + wanted),
                    [&target, choices, wanted](const toml::node& value, const std::string& where) {
                      auto v = value.value<std::string>();
                      for (auto& [word, meaning] : choices)
                        if (value.is_string() && *v == word) {
                          target = meaning;
                          return;
                        }
                      wrong(where, "one of " + wanted);
                    },
                    [&target, choices] {
                      for (auto& [word, meaning] : choices) if (meaning == target) return in_quotes(word);
                      return in_quotes("?");
                    }});
  }
  template <class T, class Element>
  void array(const char* name, std::vector<T>& target, Element element, const char* wanted, const char* help) {
    list.push_back({name, help,
                    [&target, element, wanted](const toml::node& value, const std::string& where) {
                      const toml::array* a = value.as_array();
                      if (!a || a->size() > 64) wrong(where, wanted);
                      std::vector<T> read;
                      for (const toml::node& node : *a) {
                        std::optional<T> v = element(node);
                        if (!v) wrong(where, wanted);
                        read.push_back(*v);
                      }
                      target = read;
                    },
                    [&target] {
                      std::string out = "[";
                      for (const T& v : target) out += (out.size() > 1 ? ", " : "") + number_or_integer(v);
                      return out + "]";
                    }});
  }

 private:
  static std::string number_or_integer(int64_t v) { return std::to_string(v); }
  static std::string number_or_integer(double v) { return number(v); }
};

// The table. Names, defaults and evidence: docs/paper-notes.md.
Keys keys_of(Config& c) {
  constexpr int64_t kMany = int64_t(1) << 40;
  Keys k;
  auto yes_no = [](const char* yes, const char* no) { return Choices<bool>{{yes, true}, {no, false}}; };
  k.seed("seed", c.seed, "of every random number of the run");
  k.choice("method", c.method, Choices<std::string>{{"moco", "moco"}, {"simsiam", "simsiam"}}, "base method");

  k.text("data.dir", c.data.dir, "folder of the data set");
  k.text("data.dataset", c.data.dataset, "kind of the data set");
  k.text("data.split", c.data.split, "part that is learned from");
  k.text("data.classes", c.data.classes, "classes to keep, as 0-20; empty: all");
  k.integer("data.short_side", c.data.short_side, 0, 65500, "pixels that the cache reduces short sides to; 0: 2 x train.size");
  k.real("data.cache_gib", c.data.cache_gib, 0, 1e6, "GiB of decoded pictures kept in memory; more go to a mapped file");
  k.flag("data.allow_corrupt", c.data.allow_corrupt, "go on although more than 1 % of the pictures cannot be read");
  k.choice("data.crop", c.data.crop, Choices<std::optional<bool>>{{"auto", std::nullopt}, {"on", true}, {"off", false}},
           "cut pictures to the boxes that the data set states; auto: GTSRB and lists yes, others no");
  k.text("data.level", c.data.level, "labels of aircraft: variant, family or manufacturer; empty: variant");
  k.real("data.validation", c.data.validation, 0, 0.9, "share of each class of train that becomes the split validation, tracks whole");
  k.real("data.fraction", c.data.fraction, 1e-9, 1, "share of each class that is kept");
  k.seed("data.split_seed", c.data.split_seed, "of data.validation and data.fraction");
  k.text("data.cache", c.data.cache, "folder for packed files of decoded pictures, which later runs find; empty: memory");
  k.integer("data.threads", c.data.threads, 0, 1024, "that make views; 0: one a core");

  k.integer("train.batch", c.train.batch, 2, 1 << 20, "images a step");
  k.integer("train.epochs", c.train.epochs, 1, 1 << 30, "passes over the data");
  k.integer("train.size", c.train.size, 8, 2048, "pixels a side of the views");
  k.choice("train.compute", c.train.compute, Choices<DType>{{"f32", DType::f32}, {"bf16", DType::bf16}}, "type of convolutions and matmuls");
  k.integer("train.log_every", c.train.log_every, 1, kMany, "steps between lines of metrics.jsonl");
  k.integer("train.save_every", c.train.save_every, 1, kMany, "epochs between checkpoints");
  k.integer("train.sample_every", c.train.sample_every, 1, kMany, "epochs between pictures of generated pairs");
  k.integer("train.knn_every", c.train.knn_every, 0, kMany, "epochs between online kNN scores, where labels are known; 0: never");

  k.choice("encoder.arch", c.encoder.arch, Choices<std::string>{{"resnet18", "resnet18"}, {"resnet34", "resnet34"}, {"resnet50", "resnet50"}}, "encoder");
  k.choice("encoder.stem", c.encoder.stem, Choices<Stem>{{"imagenet", Stem::imagenet}, {"small", Stem::small}}, "7x7/2 and max pool, or 3x3");
  k.integer("encoder.width", c.encoder.width, 1, 4096, "channels of the first stage");
  k.flag("encoder.zero_init_residual", c.encoder.zero_init_residual, "residual branches start at zero");

  k.choice("optim.kind", c.optim.kind, Choices<std::string>{{"sgd", "sgd"}, {"adam", "adam"}, {"adamw", "adamw"}}, "optimiser");
  k.real("optim.lr", c.optim.lr, 0, 1e37, "learning rate, as it is: never scaled by the batch");
  k.real("optim.momentum", c.optim.momentum, 0, 1, "SGD");
  k.real("optim.weight_decay", c.optim.weight_decay, 0, 1e6, "L2");
  k.flag("optim.wd_norm", c.optim.decay_norm, "weight decay on batch norm and biases too (option x)");
  k.flag("optim.nesterov", c.optim.nesterov, "SGD");
  k.choice("schedule.kind", c.schedule.kind, Choices<std::string>{{"cosine", "cosine"}, {"step", "step"}, {"constant", "constant"}}, "of the learning rate");
  k.real("schedule.warmup_epochs", c.schedule.warmup_epochs, 0, 1e9, "linear from 0");
  k.array("schedule.milestones", c.schedule.milestones, [](const toml::node& n) { return n.is_number() ? n.value<double>() : std::nullopt; },
          "a list of at most 64 numbers", "epochs at which kind=step multiplies by gamma");
  k.real("schedule.gamma", c.schedule.gamma, 0, 1, "kind=step");
  k.flag("schedule.by_epoch", c.schedule.by_epoch, "cosine moves once an epoch instead of every step");

  k.real("augment.min_scale", c.augment.min_scale, 1e-4, 1, "smallest share of the picture that a crop keeps");
  k.real("augment.max_scale", c.augment.max_scale, 1e-4, 1, "largest share");
  k.real("augment.min_ratio", c.augment.min_ratio, 0.01, 100, "narrowest crop, width by height");
  k.real("augment.max_ratio", c.augment.max_ratio, 0.01, 100, "widest crop");
  k.real("augment.flip", c.augment.flip, 0, 1, "chance");
  k.real("augment.jitter", c.augment.jitter, 0, 1, "chance");
  k.real("augment.brightness", c.augment.brightness, 0, 1, "strength");
  k.real("augment.contrast", c.augment.contrast, 0, 1, "strength");
  k.real("augment.saturation", c.augment.saturation, 0, 1, "strength");
  k.real("augment.hue", c.augment.hue, 0, 0.5, "turns of the colour circle");
  k.real("augment.grayscale", c.augment.grayscale, 0, 1, "chance");
  k.real("augment.blur", c.augment.blur, 0, 1, "chance");
  k.real("augment.min_sigma", c.augment.min_sigma, 0.01, 100, "pixels");
  k.real("augment.max_sigma", c.augment.max_sigma, 0.01, 100, "pixels");
  k.real("augment.rotation", c.augment.rotation, 0, 3.2, "radians");
  k.real("augment.noise", c.augment.noise, 0, 1, "standard deviation, colours in [0, 1]");

  Choices<Denominator> denominators{{"with_positive", Denominator::with_positive}, {"without_positive", Denominator::without_positive}};
  k.real("base.tau", c.base.tau, 1e-3, 100, "temperature of L_C (option l)");
  k.choice("base.denominator", c.base.denominator, denominators, "of L_C (option a)");
  k.integer("bn.splits", c.base.bn_splits, 1, 1024, "parts of the batch with batch statistics of their own");
  k.choice("bn.synth", c.pairs.synth_norm, Choices<SynthNorm>{{"batch_only", SynthNorm::batch_only}, {"update", SynthNorm::update}, {"separate", SynthNorm::separate}},
           "batch norm on generated images (option h)");
  k.integer("moco.queue", c.moco.queue, 1, kMany, "keys at most; shortened to what the data can fill (option o)");
  k.integer("moco.dim", c.moco.dim, 1, 65536, "of z (option y)");
  k.real("moco.momentum", c.moco.momentum, 0, 1, "of the key encoder");
  k.flag("moco.head_norm", c.moco.head_norm, "batch norm in the head: leaves the first plateau sooner (option y)");
  k.integer("simsiam.dim", c.simsiam.dim, 1, 65536, "width of the projector");
  k.integer("simsiam.predictor", c.simsiam.predictor, 1, 65536, "hidden width of the predictor");
  k.flag("simsiam.fix_predictor_lr", c.simsiam.fix_predictor_lr, "the predictor's rate does not follow the schedule");

  k.real("pairs.alpha", c.pairs.alpha, 0, 1e6, "weight of L_R (eq. 8)");
  k.real("pairs.nu", c.pairs.nu, 0, 1e6, "weight of L_Cp (eq. 8)");
  PerturbOptions& p = c.pairs.perturb;
  k.real("perturb.epsilon_g", p.epsilon_g, 0, 1e6, "size of eq. 5's noise");
  k.real("perturb.epsilon_var", p.epsilon_var, 0, 1e6, "size of eq. 6's noise");
  k.choice("perturb.epsilon_is", p.epsilon_is_variance, yes_no("variance", "std"), "what epsilon measures (option b)");
  k.choice("perturb.units", p.feature_units, yes_no("feature_std", "absolute"), "what epsilon counts in (section 2.2)");
  k.choice("perturb.gradcam", p.gradcam, Choices<GradcamNoise>{{"on", GradcamNoise::on}, {"off", GradcamNoise::off}, {"isotropic", GradcamNoise::isotropic}},
           "eq. 5, nothing, or noise of the same rms in all dimensions");
  k.choice("perturb.lowvar", p.lowvar, yes_no("on", "off"), "eq. 6");
  k.choice("perturb.clamp", p.clamp, yes_no("relu", "none"), "v_p (option m)");
  k.choice("lowvar.criterion", p.criterion,
           Choices<VarianceCriterion>{{"raw", VarianceCriterion::raw}, {"quantile", VarianceCriterion::quantile}, {"column_l2", VarianceCriterion::column_l2},
                                      {"row_l2_std", VarianceCriterion::row_l2_std}, {"cv", VarianceCriterion::cv}}, "how s is measured (option c)");
  k.real("lowvar.kappa", p.kappa, 0, 1e9, "dimensions with s below it are perturbed");
  k.real("lowvar.quantile", p.quantile, 0, 1, "share of dimensions perturbed by criterion=quantile");
  k.choice("lowvar.minmax", p.minmax_selected, yes_no("selected", "all"), "dimensions that s is normalised over (option t)");
  k.choice("saliency.target", c.pairs.saliency_target,
           Choices<SaliencyTarget>{{"loss", SaliencyTarget::loss}, {"negative_loss", SaliencyTarget::negative_loss}, {"abs", SaliencyTarget::abs}}, "sign in eq. 3 (option d)");
  k.choice("saliency.scale", c.pairs.saliency_scale,
           Choices<SaliencyScale>{{"minmax", SaliencyScale::minmax}, {"p90", SaliencyScale::p90}, {"rank", SaliencyScale::rank}}, "eq. 4 (option d)");
  k.choice("saliency.negatives", c.pairs.saliency_in_batch, yes_no("batch", "queue"), "of eq. 3's loss (option e)");
  k.choice("saliency.positive", c.pairs.saliency_query_positive, yes_no("query", "key"), "encoder of eq. 3's z''");
  k.choice("synth.grad", c.pairs.synth_grad, Choices<SynthGrad>{{"detach", SynthGrad::detach}, {"decoder", SynthGrad::decoder}, {"full", SynthGrad::full}},
           "how far the gradient of L_Cp reaches (option f)");
  k.choice("synth.loss", c.pairs.synth_loss, Choices<SynthLoss>{{"infonce", SynthLoss::infonce}, {"simsiam", SynthLoss::simsiam}}, "L_Cp (option k)");
  k.choice("synth.denominator", c.pairs.synth_denominator, denominators, "of eq. 7 (option a)");
  k.real("synth.tau", c.pairs.synth_tau, 1e-3, 100, "temperature of eq. 7 (option l)");
  k.flag("synth.symmetric", c.pairs.synth_symmetric, "eq. 7 in both directions (option u)");
  k.integer("bank.size", c.pairs.bank_size, 2, kMany, "rows of M; shortened to the number of images");
  k.choice("bank.source", c.pairs.bank_source, Choices<BankSource>{{"clean", BankSource::clean}, {"views", BankSource::views}, {"all", BankSource::all}}, "what fills M (option j)");
  k.integer("bank.min_fill", c.pairs.bank_min_fill, 0, kMany, "batches in M before eq. 6 adds noise (option s)");

  k.choice("decoder.arch", c.decoder.model.arch, Choices<std::string>{{"light", "light"}, {"residual", "residual"}, {"resnet", "resnet"}}, "decoder (option i)");
  k.integer("decoder.latent", c.decoder.model.latent, 0, 65536, "width of the bottleneck behind v; 0: none (option i)");
  k.array("decoder.widths", c.decoder.model.widths,
          [](const toml::node& n) -> std::optional<int64_t> {
            auto v = n.is_integer() ? n.value<int64_t>() : std::nullopt;
            return v && *v >= 1 && *v <= 65536 ? v : std::nullopt;
          }, "a list of channels, 1 to 65536", "channels after each doubling; empty: from the encoder's width");
  k.integer("decoder.pretrain_epochs", c.decoder.pretrain_epochs, 0, 1 << 30, "epochs on L_R alone before the method starts (option p)");
  k.choice("decoder.pretrain_encoder", c.decoder.pretrain_frozen, yes_no("frozen", "trained"), "while the decoder learns alone: kept, or an autoencoder (option p)");
  k.choice("decoder.optim", c.decoder.own_optimizer, yes_no("adam", "with_encoder"), "decoder's optimiser (option q)");
  k.real("decoder.lr", c.decoder.optim.lr, 0, 1e6, "of its Adam");
  k.real("decoder.weight_decay", c.decoder.optim.weight_decay, 0, 1e6, "of its Adam");
  return k;
}

int64_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<int64_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = int64_t(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    int64_t diagonal = row[0];
    row[0] = int64_t(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      int64_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

[[noreturn]] void unknown(const Keys& keys, const std::string& name, const std::string& source) {
  const Key* nearest = &keys.list[0];
  for (const Key& key : keys.list)
    if (edit_distance(key.name, name) < edit_distance(nearest->name, name)) nearest = &key;
  throw InputError(message(source, ": unknown key ", name, "; did you mean ", nearest->name, "?"));
}

const Key& find(const Keys& keys, const std::string& name, const std::string& source) {
  for (const Key& key : keys.list) if (key.name == name) return key;
  unknown(keys, name, source);
}

void read_table(const Keys& keys, const toml::table& table, const std::string& prefix, const std::string& source) {
  for (auto&& [name, node] : table) {
    std::string full = join_name(prefix, std::string(name.str()));
    bool is_section = std::any_of(keys.list.begin(), keys.list.end(), [&](const Key& k) { return k.name.rfind(full + ".", 0) == 0; });
    if (const toml::table* inner = node.as_table(); inner && is_section) read_table(keys, *inner, full, source);
    else find(keys, full, source).read(node, source + ": " + full);
  }
}

// What no single key can see.
void check_together(const Config& c, const std::string& source) {
  auto fail = [&](const std::string& text) { throw InputError(source + ": " + text); };
  if (c.augment.min_scale > c.augment.max_scale) fail("augment.min_scale is larger than augment.max_scale");
  if (c.augment.min_ratio > c.augment.max_ratio) fail("augment.min_ratio is larger than augment.max_ratio");
  if (c.augment.min_sigma > c.augment.max_sigma) fail("augment.min_sigma is larger than augment.max_sigma");
  if (c.train.batch % c.base.bn_splits) fail(message("bn.splits=", c.base.bn_splits, " does not divide train.batch=", c.train.batch));
}

toml::table parse(const std::string& text, const std::string& name) {
  try {
    return toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    throw InputError(message(name, ": line ", error.source().begin.line, ": ", error.description()));
  }
}

}  // namespace

void read_config_text(const std::string& text, const std::string& name, Config& config) {
  read_table(keys_of(config), parse(text, name), "", name);
  check_together(config, name);
}

void read_config(const std::filesystem::path& file, Config& config) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) throw InputError(file.string() + ": is a folder, wanted a TOML file");
  if (auto size = std::filesystem::file_size(file, error); !error && size > (1u << 20))
    throw InputError(file.string() + ": larger than 1 MiB, no configuration");
  std::ifstream in(file);
  std::stringstream text;
  if (!in || !(text << in.rdbuf())) throw InputError(file.string() + ": cannot be read (is the path right, is the file empty?)");
  read_config_text(text.str(), file.string(), config);
}

void set_config(const std::string& assignment, Config& config) {
  size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) throw InputError("--set " + assignment + ": wanted key=value");
  std::string name = assignment.substr(0, equals), value = assignment.substr(equals + 1), source = "--set";
  Keys keys = keys_of(config);
  const Key& key = find(keys, name, source);
  toml::table table;
  try {
    table = toml::parse("value = " + value);
  } catch (const toml::parse_error&) {
    table.clear();
  }
  if (!table.contains("value") || table.size() != 1) {  // a bare word
    table.clear();
    table.insert("value", value);
  }
  key.read(*table.get("value"), source + ": " + name);
  check_together(config, source);
}

std::string config_text(const Config& config) {
  Config copy = config;
  std::string out, section;
  for (const Key& key : keys_of(copy).list) {
    size_t dot = key.name.find('.');
    std::string in = dot == std::string::npos ? "" : key.name.substr(0, dot);
    std::string name = dot == std::string::npos ? key.name : key.name.substr(dot + 1);
    if (in != section) out += "\n[" + (section = in) + "]\n";
    out += name + " = " + key.write() + "\n";
  }
  return out;
}

std::string config_help() {
  Config defaults;
  std::string out;
  for (const Key& key : keys_of(defaults).list) {
    std::string line = key.name + " = " + key.write();
    out += line + std::string(line.size() < 40 ? 40 - line.size() : 1, ' ') + "# " + key.help + "\n";
  }
  return out;
}

}  // namespace plumage
