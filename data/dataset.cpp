// The table of layouts, and what is done alike for all of them. Next: data/dataset_folder.cpp.
#include "data/dataset.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "data/dataset_readers.h"
#include "data/decode.h"
#include "data/split.h"
#include "data/text_table.h"
#include "tensor/errors.h"

namespace plumage {
namespace readers {
namespace {

constexpr SplitSize kCub[] = {{"train", 5994}, {"test", 5794}};
constexpr SplitSize kCars[] = {{"train", 8144}, {"test", 8041}};
constexpr SplitSize kAircraft[] = {{"train", 3334}, {"validation", 3333}, {"test", 3333}};
constexpr SplitSize kGtsrb[] = {{"train", 39209}, {"test", 12630}};
constexpr SplitSize kIsic[] = {{"train", 2000}, {"validation", 150}, {"test", 600}};
constexpr SplitSize kFolder[] = {{"train", 0}, {"validation", 0}, {"test", 0}};

constexpr Layout kLayouts[] = {
    {"cub", "CUB-200-2011", read_cub, kCub, 200},
    {"cars", "Stanford Cars", read_cars, kCars, 196},
    {"aircraft", "FGVC-Aircraft", read_aircraft, kAircraft, 100},
    {"gtsrb", "GTSRB", read_gtsrb, kGtsrb, 43, true},
    {"isic2017", "ISIC 2017", read_isic, kIsic, 3},
    {"folder", "folder", read_folder, kFolder, 0},
    {"list", "list", read_lists, kFolder, 0, true},
    {"synthetic", "synthetic", read_folder, kFolder, 0},
};

}  // namespace

const Layout& find_layout(const std::string& kind) {
  std::string wanted = kind == "isic" ? "isic2017" : kind;  // its name in earlier runs' configurations
  for (const Layout& layout : kLayouts) {
    if (wanted == layout.kind) return layout;
  }
  std::string kinds;
  for (const std::string& known : dataset_kinds()) kinds += (kinds.empty() ? "" : ", ") + known;
  throw InputError("data set `" + kind + "`: wanted one of " + kinds);
}

std::filesystem::path find_root(const std::filesystem::path& root, const std::string& inner,
                                const std::string& sign) {
  for (const std::filesystem::path& candidate : {root, root / inner}) {
    if (std::filesystem::exists(candidate / sign)) return candidate;
  }
  throw MissingSplit(message(root.string(), ": no `", sign, "` in it"));
}

bool wants(const std::string& split, const std::string& part) { return split == "all" || split == part; }

}  // namespace readers

namespace {

using readers::Layout;

// One name for each split, and none that the layout does not have.
std::string known_split(const Layout& layout, const std::string& split, bool held_out) {
  std::string name = split == "val" || split == "valid" ? "validation" : split, wanted;
  if (name == "all" || (name == "validation" && held_out) || (name == "trainval" && std::string(layout.kind) == "aircraft")) return name;
  for (const readers::SplitSize& known : layout.splits) {
    if (name == known.split) return name;
    wanted += std::string(known.split) + ", ";
  }
  throw InputError("split " + quoted(split) + ": wanted " + wanted + "or all");
}

// A release may be a partial copy. What else is named must be there.
void check_pictures(Dataset& dataset, const Layout& layout) {
  std::vector<Sample> present;
  std::set<std::filesystem::path> seen;
  for (Sample& sample : dataset.samples) {
    if (sample.label < -1 || sample.label >= dataset.class_count()) {
      throw InputError(
          message(sample.path.string(), ": label ", sample.label, " of ", dataset.class_count(), " classes"));
    }
    if (layout.released() && !seen.insert(sample.path).second)
      throw InputError(sample.path.string() + ": the data set's tables name this picture twice");
    if (std::filesystem::is_regular_file(sample.path)) {
      present.push_back(std::move(sample));
    } else if (layout.released()) {
      dataset.absent.push_back(sample.path);
    } else {
      throw InputError(sample.path.string() + ": the data set names this picture, but it is not there");
    }
  }
  dataset.samples = std::move(present);
  if (dataset.samples.empty() && !dataset.absent.empty()) {
    throw InputError(message(dataset.absent[0].string(), ": the data set names this picture, but it is not there; ",
                             "none of the ", dataset.absent.size(), " of ", dataset.name, " is"));
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

bool Dataset::labelled() const {
  return std::all_of(samples.begin(), samples.end(), [](const Sample& s) { return s.label >= 0; });
}

Dataset Dataset::subset(const std::vector<int64_t>& positions) const {
  Dataset part = *this;
  part.samples.clear();
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
  const Layout& layout = readers::find_layout(kind);
  if (!std::filesystem::exists(root)) throw InputError(root.string() + ": no such folder");
  if (layout.read != readers::read_lists && !std::filesystem::is_directory(root))
    throw InputError(root.string() + ": not a folder");
  if (!options.level.empty() && layout.read != readers::read_aircraft)
    throw InputError("level `" + options.level + "`: only aircraft has several levels of labels");

  std::string part = known_split(layout, split, options.validation > 0);
  bool held_out = options.validation > 0 && (part == "train" || part == "validation");
  Dataset dataset = layout.read(root, held_out ? "train" : part, options.level);
  dataset.name = std::string(layout.kind) + " " + part;
  dataset.root = root;
  if (dataset.samples.empty()) throw InputError(message(root.string(), ": no pictures in split `", part, "`"));
  check_pictures(dataset, layout);
  if (options.classes) keep_classes(dataset, *options.classes);
  auto boxed = [](const Sample& s) { return s.box.has_value(); };
  if (options.crop.value_or(false) && std::none_of(dataset.samples.begin(), dataset.samples.end(), boxed))
    throw InputError(message(root.string(), ": cut to boxes asked for, but no boxes are known (", kind, ")"));
  if (!options.crop.value_or(layout.crop)) {
    for (Sample& sample : dataset.samples) sample.box.reset();
  }
  if (held_out) {
    ValidationSplit parts = validation_split(dataset, options.validation, options.split_seed);
    dataset = dataset.subset(part == "train" ? parts.train : parts.validation);
    if (dataset.samples.empty())
      throw InputError(message(root.string(), ": ", options.validation, " of each class kept for validation leaves none for ", part));
  }
  if (options.fraction != 1 && part != "test" && part != "validation") {
    dataset = dataset.subset(label_fraction(labels_of(dataset), options.fraction, options.split_seed));
    if (dataset.samples.empty()) throw InputError(root.string() + ": a share of the labels asked for, but no labels are known");
  }
  return dataset;
} catch (const std::filesystem::filesystem_error& error) {
  throw InputError(error.path1().string() + ": cannot be read: " + error.code().message());
}

std::vector<std::string> dataset_kinds() {
  std::vector<std::string> kinds;
  for (const Layout& layout : readers::kLayouts) kinds.push_back(layout.kind);
  return kinds;
}

namespace {

// The box in pixels of `image`. A side of at least one pixel stays one.
Region scaled_box(const Sample& sample, const Image& image) {
  Region box = *sample.box;
  int64_t w = sample.stated_width, h = sample.stated_height;
  if (w <= 0 || h <= 0 || (w == image.width && h == image.height)) return box;
  int64_t left = box.x * image.width / w, top = box.y * image.height / h;
  return {left, top, std::max((box.x + box.width) * image.width / w - left, std::min<int64_t>(box.width, 1)),
          std::max((box.y + box.height) * image.height / h - top, std::min<int64_t>(box.height, 1))};
}

}  // namespace

Image load_sample(const Sample& sample) {
  constexpr int64_t kRounding = 2;
  Image image = decode_image(sample.path);
  if (!sample.box) return image;
  const Region box = scaled_box(sample, image);
  int64_t left = std::max(box.x, int64_t(0)), right = std::min(box.x + box.width, image.width);
  int64_t top = std::max(box.y, int64_t(0)), bottom = std::min(box.y + box.height, image.height);
  if (right <= left || bottom <= top || left - box.x > kRounding || top - box.y > kRounding ||
      box.x + box.width - right > kRounding || box.y + box.height - bottom > kRounding) {
    throw InputError(message(sample.path.string(), ": its box of ", box.width, " x ", box.height,
                             " pixels at ", box.x, ", ", box.y, " leaves the picture of ", image.width, " x ",
                             image.height, "; cropping can be switched off"));
  }
  Image part = Image::unfilled(right - left, bottom - top);
  for (int64_t y = 0; y < part.height; ++y) {
    std::copy_n(image.row(top + y) + left * 3, part.width * 3, part.row(y));
  }
  return part;
}

}  // namespace plumage
