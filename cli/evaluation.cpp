#include "cli/evaluation.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/dataset_report.h"
#include "cli/progress.h"
#include "data/cache.h"
#include "tensor/context.h"
#include "tensor/ops.h"

namespace plumage {

void EvaluationArguments::add_to(CLI::App& command) {
  weights.add_to(command, true);
  command.add_option("--data", data, "folder of the data set")->required();
  command.add_option("--dataset", dataset, "its kind: cub, cars, aircraft, gtsrb, isic2017, folder, list or synthetic");
  command.add_option("--classes", classes, "classes to keep, as 21-42");
  command.add_option("--split", split, "part that is judged on");
  command.add_option("--size", size, "pixels a side of the views")->check(CLI::Range(8, 2048));
  command.add_option("--short-side", short_side, "pixels of the short side before the centre crop; default: size * 256 / 224");
  command.add_option("--batch", batch, "pictures at a time")->check(CLI::Range(1, 65536));
  where.add_to(command);
  command.add_option("--threads", threads, "of the kernels; default: one a core")->check(CLI::Range(1, 1024));
  command.add_option("--crop", crop, "cut pictures to the boxes that the data set states: on, off; auto: GTSRB and lists yes, others no")
      ->check(CLI::IsMember({"auto", "on", "off"}));
  command.add_option("--level", level, "labels of aircraft: variant, family or manufacturer");
  command.add_option("--cache", cache, "folder for packed files of decoded pictures, which later calls find (data.cache)");
  command.add_flag("--reconstructed", reconstructed, "judge what the decoder keeps: features of f(h(f(x))) instead of f(x)");
  command.add_flag("--allow-corrupt", allow_corrupt, "go on although more than 1 % of the pictures cannot be read");
  command.add_flag("--json", json, "one JSON object on standard output, nothing else");
}

namespace {

// v of the decoder's pictures instead of the pictures themselves, in the cache's order.
void reconstruct(Features& features, const ResNet& encoder, const Decoder& decoder, DType compute, int64_t batch) {
  NoGrad no_grad;
  FoldedNorms folded;
  Pass pass = Pass::eval();
  pass.compute = compute;
  pass.folded = &folded;
  std::vector<Tensor> parts;
  for (int64_t first = 0; first < features.size(); first += batch) {
    Var v(features.v.slice(first, std::min(batch, features.size() - first)).to(encoder.device()));  // [b, n]
    Var x_hat = decoder.forward(v, pass);                                      // [b, px, px, 3]
    parts.push_back(ops::cast(encoder.features(x_hat, pass).value(), DType::f32).to(Device{}));
  }
  features.v = ops::concat(parts, 0);
}

}  // namespace

DatasetOptions EvaluationArguments::dataset_options() const {
  DatasetOptions options;
  if (crop != "auto") options.crop = crop == "on";
  if (!classes.empty()) options.classes = parse_class_range(classes);
  options.level = level;
  return options;
}

void EvaluationArguments::report(bool two_splits) const {
  std::string computes = choose_compute(where, compute_type(where, ComputeType::f32)).str();  // before the line begins: it may throw
  std::cerr << "computes " << computes << '\n';
  for (const std::string& line : dataset_report(dataset, data, dataset_options(), two_splits)) std::cerr << line << '\n';
}

Features EvaluationArguments::features(const std::string& part, Labels labels) const {
  if (threads > 0) Context::cpu().set_threads(threads);
  Compute compute = choose_compute(where, compute_type(where, ComputeType::f32));
  LoadedEncoder loaded = load_encoder(weights, compute.device);
  Dataset dataset = open_dataset(this->dataset, data, part, dataset_options());
  if (labels == Labels::needed && !dataset.labelled()) throw InputError(message(data, ": ", part, " has pictures without labels; evaluation needs them"));
  FeatureOptions extraction;
  extraction.size = size;
  extraction.short_side = short_side ? short_side : usual_short_side(size);
  extraction.batch = batch;
  extraction.compute = compute.type;
  CacheOptions caching;
  caching.short_side = extraction.short_side;
  caching.allow_corrupt = allow_corrupt;
  caching.packed = cache;
  ImageCache pictures(dataset, caching);
  for (const std::string& line : pictures.corrupt()) std::cerr << "warning: left out: " << line << '\n';
  Progress progress("features of " + dataset.name, pictures.size());
  extraction.progress = [&](int64_t done, int64_t) { progress.update(done); };
  Features features = extract_features(*loaded.encoder, pictures, extraction);
  if (reconstructed) reconstruct(features, *loaded.encoder, *load_decoder(weights.file, compute.device).decoder, compute.type, batch);
  progress.finish(message(pictures.size(), " images"));
  return features;
}

}  // namespace plumage
