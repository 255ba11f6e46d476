#include "cli/samples.h"

#include "data/write_png.h"
#include "eval/gallery.h"

namespace plumage {

void draw_samples(const RunFolder& folder, const std::string& phase, int64_t at, const Step& step) {
  if (!step.x.defined() || !step.x_hat.defined()) return;
  const Tensor& perturbed = step.x_hat_p.defined() ? step.x_hat_p : step.x_hat;
  int64_t rows = std::min<int64_t>(8, step.x.size(0));
  auto first = [&](const Tensor& t) { return t.slice(0, rows).to(Device{}); };
  Gallery gallery = pair_gallery(first(step.x), first(step.x_hat), first(perturbed));
  SheetOptions options;
  options.cell = 128;
  options.columns = gallery.columns;
  write_png(folder.sample(message(phase, "-", at)), contact_sheet(gallery.rows, options));
}

}  // namespace plumage
