// Pictures for the report. Next in the walk: eval/report.cpp.
#include "eval/gallery.h"

#include <algorithm>

#include "eval/html.h"
#include "eval/similarity.h"

namespace plumage {

Gallery pair_gallery(const Tensor& x, const Tensor& x_hat, const Tensor& x_hat_p, double gain,
                     const Normalization& normalization) {
  if (x.rank() != 4 || x_hat.shape() != x.shape() || x_hat_p.shape() != x.shape()) {
    throw ShapeError(message("pairs: pictures ", x.shape(), ", ", x_hat.shape(), " and ", x_hat_p.shape(),
                             ", wanted three of one shape [N, H, W, 3]"));
  }
  Gallery gallery;
  gallery.title = "Generated pairs";
  gallery.columns = {"original", "reconstruction", "perturbed", "difference x " + short_number(gain)};
  for (int64_t i = 0; i < x.size(0); ++i) {
    Image original = to_image(x, i, normalization), plain = to_image(x_hat, i, normalization),
          perturbed = to_image(x_hat_p, i, normalization);
    gallery.rows.push_back(
        {{original, ""}, {plain, ""}, {perturbed, ""}, {difference(plain, perturbed, gain), ""}});
  }
  return gallery;
}

Gallery neighbour_gallery(const Features& features, const std::function<Image(int64_t)>& picture,
                          const std::vector<int64_t>& queries, int64_t k,
                          const std::vector<std::string>& class_names, bool leave_out_group) {
  auto caption = [&](int64_t label) {
    if (label < 0) return std::string("no label");
    if (label >= int64_t(class_names.size())) return "class " + std::to_string(label);
    std::string name = class_names[size_t(label)];
    std::replace(name.begin(), name.end(), '_', ' ');  // folder names; a caption must find places to break
    return name;
  };
  Gallery gallery;
  gallery.title = "Nearest neighbours";
  gallery.columns = {"query"};
  for (int64_t rank = 1; rank <= k; ++rank) gallery.columns.push_back(std::to_string(rank));
  Features asked = subset(features, queries);
  std::vector<std::vector<Neighbour>> found =
      nearest({asked, features, false, leave_out_group, true}, k + 1);  // one more: the query finds itself
  for (size_t q = 0; q < queries.size(); ++q) {
    int64_t label = features.label(queries[q]);
    std::vector<Picture> row{{picture(queries[q]), caption(label)}};
    for (const Neighbour& neighbour : found[q]) {
      if (neighbour.index == queries[q] || int64_t(row.size()) > k) continue;
      int64_t other = features.label(neighbour.index);
      Verdict verdict = label < 0 || other < 0 ? Verdict::none
                        : other == label       ? Verdict::right
                                               : Verdict::wrong;
      row.push_back({picture(neighbour.index), caption(other), verdict});
    }
    gallery.rows.push_back(std::move(row));
  }
  return gallery;
}

}  // namespace plumage
