#include "cli/training.h"

#include <chrono>
#include <cmath>

#include "cli/dump_step.h"
#include "cli/online_knn.h"
#include "cli/progress.h"
#include "cli/samples.h"
#include "cli/stop_signal.h"
#include "data/device_pictures.h"
#include "ssl/gauges.h"
#include "ssl/step_runner.h"

namespace plumage {

namespace {

View augmented(const Config& config, const char* name) {
  int64_t size = config.train.size;
  return {name, size, size, [options = config.augment, size](const Image& image, const ViewKey& key, float* out) {
            apply(image, draw(options, key, image.width, image.height), size, out);
          },
          [options = config.augment, size](int64_t width, int64_t height, const ViewKey& key) {
            return view_slot(draw(options, key, width, height), width, height, size);
          }};
}

View plain(const Config& config) {
  int64_t size = config.train.size;
  return {"x", size, size, [size](const Image& image, const ViewKey&, float* out) {
            plain_view(image, size, out, {}, usual_short_side(size));
          },
          [size](int64_t width, int64_t height, const ViewKey&) {
            return plain_slot(width, height, size, usual_short_side(size));
          }};
}

}  // namespace

std::vector<View> pair_views(const Config& c) { return {augmented(c, "x1"), augmented(c, "x2")}; }
std::vector<View> clean_and_pair_views(const Config& c) { return {augmented(c, "x1"), augmented(c, "x2"), plain(c)}; }
std::vector<View> clean_views(const Config& c) { return {plain(c)}; }
std::vector<View> single_views(const Config& c) { return {augmented(c, "x1")}; }

namespace {

Views views_of(const Batch& batch, const Phase& phase, const Config& config, int64_t step) {
  Device device = phase.method->encoder().device();
  Views views;
  for (size_t i = 0; i < phase.views.size(); ++i) {
    const std::string& name = phase.views[i].name;
    (name == "x1" ? views.x1 : name == "x2" ? views.x2 : views.x) = batch.views[i].to(device);
  }
  views.labels = batch.labels.to(device);
  views.seed = config.seed;
  views.step = step;
  return views;
}

double seconds_since(std::chrono::steady_clock::time_point t) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
}

// The numbers of a logged step, in the order that people read them.
std::vector<std::pair<std::string, double>> numbers_of(const Step& step, const StepResult& result, const RunState& state,
                                                       double lr, double images_per_s, double wait) {
  std::vector<std::pair<std::string, double>> out = {
      {"step", double(state.step)}, {"epoch", double(state.epoch)}, {"loss", result.loss}};
  for (const auto& [name, value] : step.terms) out.push_back({name, value});
  out.push_back({"lr", lr});
  out.push_back({"gradient_norm", result.gradient_norm});
  for (const auto& [name, value] : step.gauges) out.push_back({name, value});
  const Tensor& v = step.v1.defined() ? step.v1 : step.v;
  if (v.defined() && v.size(0) >= 2) {
    CollapseGauges g = collapse_gauges(v);
    out.push_back({"unit_std", g.unit_std});
    out.push_back({"effective_rank", g.effective_rank});
    out.push_back({"dead_share", g.dead_share});
  }
  out.push_back({"images_per_s", images_per_s});
  out.push_back({"wait_share", wait});
  return out;
}

void warn_of_extremes(const RunFolder& folder, const Step& step, int64_t at) {
  const Tensor& v = step.v1.defined() ? step.v1 : step.v;
  if (v.defined() && v.size(0) >= 2)
    if (std::string warning = collapse_warning(collapse_gauges(v)); !warning.empty())
      folder.log(message("warning: step ", at, ": ", warning));
  if (auto share = step.gauges.find("selected_share"); share != step.gauges.end() && step.noise_var.defined())
    if (share->second == 0 || share->second == 1)
      folder.log(message("warning: step ", at, ": the low-variance criterion selects ", share->second * 100,
                         " % of the dimensions; see lowvar.criterion and lowvar.kappa"));
}

}  // namespace

Ended run_phase(const Config& config, const ImageCache& cache, const Phase& phase, RunState& state, const RunFolder* folder,
                const Limits& limits) {
  LoaderOptions loading{.batch = config.train.batch, .seed = config.seed, .threads = config.data.threads};
  std::optional<DevicePictures> pictures;
  if (Device device = phase.method->encoder().device(); device.kind == Device::Kind::cuda && config.data.device_views) {
    pictures.emplace(cache, device, int64_t(config.data.device_gib * double(int64_t(1) << 30)));
    if (folder) folder->log(pictures->summary());
    loading.pictures = &*pictures;
  }
  Loader loader(cache, phase.views, loading, {state.epoch, state.epoch_step});
  const int64_t per_epoch = loader.steps_per_epoch(), total = per_epoch * phase.epochs, first = state.step;
  Progress progress(phase.title, total, state.step);
  auto start = std::chrono::steady_clock::now(), logged = start;
  int64_t logged_step = first;
  StepRunner runner(*phase.method, *phase.optimizers, limits.graph);
  auto save = [&] {
    runner.result();  // nothing is kept of a step that went wrong
    if (folder)
      save_checkpoint(folder->checkpoint(), folder->previous_checkpoint(), pack_checkpoint(*phase.method, *phase.optimizers, state, config));
  };
  Ended ended = Ended::finished;
  while (state.step < total) {
    Batch batch = loader.next();
    Views views = views_of(batch, phase, config, state.step);
    double schedule = schedule_factor(config.schedule, state.step, per_epoch, phase.epochs);
    StepDump dump(state.step == first ? limits.dump_step : std::nullopt, *phase.method, config);
    runner.run(views, schedule, dump.before_update());
    const Step& step = runner.step();
    dump.write(step, runner.seen());  // a dumped step is not replayed

    ++state.step;
    Position next = loader.position();
    state.epoch = next.epoch;
    state.epoch_step = next.step;
    bool epoch_ended = state.step % per_epoch == 0, last = state.step == total;
    if (state.step % config.train.log_every == 0 || last) {
      const StepResult& result = runner.result();
      double images_per_s = double(state.step - logged_step) * double(config.train.batch) / std::max(1e-9, seconds_since(logged));
      double lr = schedule * (phase.decoder_only ? config.decoder.optim.lr : config.optim.lr);
      auto numbers = numbers_of(step, result, state, lr, images_per_s, loader.take_wait_share());
      if (folder) folder->add_metrics(phase.name, numbers);
      if (limits.on_log) limits.on_log({phase.name, state.step, seconds_since(start), numbers});
      if (folder && (last || epoch_ended)) warn_of_extremes(*folder, step, state.step);
      logged = std::chrono::steady_clock::now();
      logged_step = state.step;
    }
    char text[96];
    std::snprintf(text, sizeof text, "loss %.4f  %.0f images/s", runner.seen().loss,
                  double(state.step - first) * double(config.train.batch) / std::max(1e-9, seconds_since(start)));
    progress.update(state.step, text);
    int64_t epoch = state.step / per_epoch;
    if (epoch_ended) runner.result();
    if (last || (epoch_ended && epoch % config.train.sample_every == 0)) {
      if (folder) draw_samples(*folder, phase.name, state.step, step);
      if (limits.on_sample) limits.on_sample(step);
    }
    if (epoch_ended && config.train.knn_every > 0 && epoch % config.train.knn_every == 0 && folder)
      if (std::optional<double> top1 = online_knn(phase.method->encoder(), cache, config))
        folder->add_metrics(phase.name + ".knn", {{"step", double(state.step)}, {"knn_top1", *top1}});

    if (last) progress.finish(text);
    else if (stop_signal()) ended = Ended::signal;
    else if (limits.steps >= 0 && state.step - first >= limits.steps) ended = Ended::step_limit;
    if (last || ended != Ended::finished || (epoch_ended && epoch % config.train.save_every == 0)) save();
    if (ended != Ended::finished) break;
  }
  return ended;
}

}  // namespace plumage
