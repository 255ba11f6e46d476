// The table of layouts, and what is done alike for all of them. Next: data/dataset_folder.cpp.
#include "data/dataset.h"

#include <algorithm>
#include <charconv>

#include "data/dataset_readers.h"
#include "data/decode.h"
#include "data/split.h"
#include "tensor/errors.h"

namespace plumage {
namespace {

struct Layout {
  const char* kind;
  Dataset (*read)(const std::filesystem::path& root, const std::string& split);
  bool crop = false;  // to its boxes, unless told
};

Dataset read_list_layout(const std::filesystem::path& file, const std::string&) { return read_list(file); }

constexpr Layout kLayouts[] = {
    {"folder", readers::read_folder},     {"synthetic", readers::read_folder},
    {"gtsrb", readers::read_gtsrb, true}, {"cub", readers::read_cub},
    {"isic", readers::read_isic},         {"list", read_list_layout},
};

std::string joined_kinds() {
  std::string text;
  for (const std::string& kind : dataset_kinds()) text += (text.empty() ? "" : ", ") + kind;
  return text;
}

void check_samples(const Dataset& dataset, const std::string& split) {
  if (dataset.samples.empty()) {
    throw InputError(message(dataset.root.string(), ": no pictures in split `", split, "`"));
  }
  for (const Sample& sample : dataset.samples) {
    if (!std::filesystem::is_regular_file(sample.path)) {
      throw InputError(sample.path.string() + ": the data set names this picture, but it is not there");
    }
    if (sample.label < -1 || sample.label >= dataset.class_count()) {
      throw InputError(
          message(sample.path.string(), ": label ", sample.label, " of ", dataset.class_count(), " classes"));
    }
  }
}

void keep_classes(Dataset& dataset, const ClassRange& range) {
  if (range.first < 0 || range.last < range.first || range.last >= dataset.class_count()) {
    throw InputError(message(dataset.root.string(), ": classes ", range.first, "-", range.last,
                             " asked for; it has classes 0-", dataset.class_count() - 1));
  }
  std::erase_if(dataset.samples,
                [&](const Sample& s) { return s.label < range.first || s.label > range.last; });
  for (Sample& sample : dataset.samples) sample.label -= range.first;
  dataset.class_names = {dataset.class_names.begin() + range.first,
                         dataset.class_names.begin() + range.last + 1};
  if (dataset.samples.empty()) {
    throw InputError(
        message(dataset.root.string(), ": no pictures of classes ", range.first, "-", range.last));
  }
}

}  // namespace

namespace readers {

std::filesystem::path find_root(const std::filesystem::path& root, const std::string& inner,
                                const std::string& sign) {
  for (const std::filesystem::path& candidate : {root, root / inner}) {
    if (std::filesystem::exists(candidate / sign)) return candidate;
  }
  throw InputError(message(root.string(), ": no `", sign, "` in it"));
}

bool wants(const std::string& split, const std::string& part) {
  if (split != "train" && split != "test" && split != "all") {
    throw InputError("split `" + split + "`: wanted train, test or all");
  }
  return split == "all" || split == part;
}

}  // namespace readers

bool Dataset::labelled() const {
  return std::all_of(samples.begin(), samples.end(), [](const Sample& s) { return s.label >= 0; });
}

Dataset Dataset::subset(const std::vector<int64_t>& positions) const {
  Dataset part{name, root, class_names, {}};
  for (int64_t i : positions) {
    if (i < 0 || i >= size()) throw InputError(message("sample ", i, " of ", size(), " in ", name));
    part.samples.push_back(samples[size_t(i)]);
  }
  return part;
}

ClassRange parse_class_range(const std::string& text) {
  ClassRange range;
  const char *at = text.data(), *end = at + text.size();
  auto [middle, error] = std::from_chars(at, end, range.first);
  bool sound = error == std::errc() && range.first >= 0;
  range.last = range.first;
  if (sound && middle != end) {
    auto [stop, last_error] = std::from_chars(middle + 1, end, range.last);
    sound = *middle == '-' && last_error == std::errc() && stop == end && range.last >= range.first;
  }
  if (!sound) throw InputError("classes `" + text + "`: wanted a range such as 0-20");
  return range;
}

Dataset open_dataset(const std::string& kind, const std::filesystem::path& root, const std::string& split,
                     const DatasetOptions& options) try {
  auto layout =
      std::find_if(std::begin(kLayouts), std::end(kLayouts), [&](const Layout& l) { return kind == l.kind; });
  if (layout == std::end(kLayouts))
    throw InputError("data set `" + kind + "`: wanted one of " + joined_kinds());
  if (!std::filesystem::exists(root)) throw InputError(root.string() + ": no such folder");
  if (kind != "list" && !std::filesystem::is_directory(root))
    throw InputError(root.string() + ": not a folder");

  Dataset dataset = layout->read(root, split);
  dataset.name = kind + " " + split;
  dataset.root = root;
  check_samples(dataset, split);
  if (options.classes) keep_classes(dataset, *options.classes);
  if (!options.crop.value_or(layout->crop)) {
    for (Sample& sample : dataset.samples) sample.box.reset();
  }
  return dataset;
} catch (const std::filesystem::filesystem_error& error) {
  throw InputError(error.path1().string() + ": cannot be read: " + error.code().message());
}

std::vector<std::string> dataset_kinds() {
  std::vector<std::string> kinds;
  for (const Layout& layout : kLayouts) kinds.push_back(layout.kind);
  return kinds;
}

Image load_sample(const Sample& sample) {
  Image image = decode_image(sample.path);
  if (!sample.box) return image;
  const Region& box = *sample.box;
  if (box.x < 0 || box.y < 0 || box.width < 1 || box.height < 1 || box.width > image.width - box.x ||
      box.height > image.height - box.y) {
    throw InputError(message(sample.path.string(), ": its box of ", box.width, " x ", box.height,
                             " pixels at ", box.x, ", ", box.y, " leaves the picture of ", image.width, " x ",
                             image.height, "; cropping can be switched off"));
  }
  Image part(box.width, box.height);
  for (int64_t y = 0; y < box.height; ++y) {
    std::copy_n(image.row(box.y + y) + box.x * 3, box.width * 3, part.row(y));
  }
  return part;
}

}  // namespace plumage
