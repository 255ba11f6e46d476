// plumage dataset: what a folder of pictures holds, before anything is trained on it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "cli/commands.h"
#include "cli/progress.h"
#include "data/dataset_check.h"
#include "data/list_file.h"
#include "data/picture_survey.h"
#include "data/resize.h"
#include "data/write_png.h"
#include "eval/picture.h"
#include "tensor/errors.h"

namespace plumage {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kThumbnail = 96, kSheetColumns = 10, kSheetCells = 200;
constexpr size_t kShown = 10;

struct Arguments {
  std::string dir, dataset = "folder", split, classes, crop = "auto", level, lists, sheet;
  double validation = 0, fraction = 1;
  uint64_t seed = 0;
  int threads = 0;
  bool json = false, no_sheet = false;

  DatasetOptions options() const {
    DatasetOptions o;
    if (!classes.empty()) o.classes = parse_class_range(classes);
    if (crop != "auto") o.crop = crop == "on";
    o.level = level;
    o.validation = validation;
    o.fraction = fraction;
    o.split_seed = seed;
    return o;
  }
};

// Everything that is found, gathered before anything is printed.
struct Findings {
  DatasetSummary summary;
  std::vector<Split> splits;
  std::vector<std::vector<SurveyedPicture>> pictures;  // of each split
  std::vector<std::vector<Place>> duplicates;
  std::string sheet;

  std::string path(const Place& p) const { return splits[p.split].dataset.samples[size_t(p.sample)].path.string(); }
};

struct Sizes {
  int64_t smallest = 0, median = 0, largest = 0;
};

Sizes sizes_of(const Findings& found, int64_t SurveyedPicture::* side) {
  std::vector<int64_t> sides;
  for (const auto& split : found.pictures) {
    for (const SurveyedPicture& p : split) {
      if (p.problem.empty()) sides.push_back(p.*side);
    }
  }
  if (sides.empty()) return {};
  std::sort(sides.begin(), sides.end());
  return {sides.front(), sides[sides.size() / 2], sides.back()};
}

std::vector<std::string> corrupt_files(const Findings& found) {
  std::vector<std::string> lines;
  for (const auto& split : found.pictures) {
    for (const SurveyedPicture& p : split) {
      if (!p.problem.empty()) lines.push_back(p.problem);
    }
  }
  return lines;
}

// Pictures of each class by split; pictures without a label are the last row.
std::vector<std::vector<int64_t>> histogram(const std::vector<Split>& splits) {
  size_t classes = 0;
  for (const Split& split : splits) classes = std::max(classes, size_t(split.dataset.class_count()));
  std::vector<std::vector<int64_t>> counts(classes + 1, std::vector<int64_t>(splits.size()));
  for (size_t s = 0; s < splits.size(); ++s) {
    for (const Sample& sample : splits[s].dataset.samples) ++counts[sample.label < 0 ? classes : size_t(sample.label)][s];
  }
  return counts;
}

const std::vector<std::string>& class_names(const std::vector<Split>& splits) {
  return std::max_element(splits.begin(), splits.end(), [](const Split& a, const Split& b) {
           return a.dataset.class_count() < b.dataset.class_count();
         })->dataset.class_names;
}

Image thumbnail(const Image& image) {
  int64_t longer = std::max(image.width, image.height);
  if (longer <= kThumbnail) return image;
  return resize(view(image), std::max<int64_t>(1, image.width * kThumbnail / longer),
                std::max<int64_t>(1, image.height * kThumbnail / longer));
}

// Pictures taken in turn from each class, a row or more a class where there is room.
std::vector<std::vector<Picture>> sheet_rows(const Findings& found) {
  const Dataset& dataset = found.splits[0].dataset;
  std::map<int64_t, std::vector<size_t>> of_class;
  for (size_t i = 0; i < dataset.samples.size(); ++i) {
    if (found.pictures[0][i].problem.empty()) of_class[dataset.samples[i].label].push_back(i);
  }
  std::vector<Picture> cells;
  int64_t each = std::max<int64_t>(1, kSheetCells / std::max<int64_t>(1, int64_t(of_class.size())));
  for (const auto& [label, samples] : of_class) {
    int64_t count = std::min<int64_t>({each, int64_t(samples.size()), of_class.size() > 1 ? kSheetColumns : kSheetCells});
    for (int64_t k = 0; k < count && int64_t(cells.size()) < kSheetCells; ++k) {
      size_t i = samples[size_t(k) * samples.size() / size_t(count)];  // spread over the class
      std::string name = label < 0 ? dataset.samples[i].path.filename().string() : dataset.class_names[size_t(label)];
      cells.push_back({thumbnail(load_sample(dataset.samples[i])), name});
    }
  }
  std::vector<std::vector<Picture>> rows;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i % size_t(kSheetColumns) == 0) rows.emplace_back();
    rows.back().push_back(std::move(cells[i]));
  }
  return rows;
}

Findings examine(const Arguments& a) {
  Findings found;
  if (a.split.empty()) found.splits = open_splits(a.dataset, a.dir, a.options());
  else found.splits = {{a.split, open_dataset(a.dataset, a.dir, a.split, a.options())}};
  found.summary = summarise(a.dataset, found.splits, a.options(), a.split.empty());
  std::cerr << found.summary.line() << '\n';
  for (const Split& split : found.splits) {
    Progress progress("reading " + split.dataset.name, split.dataset.size());
    found.pictures.push_back(
        survey_pictures(split.dataset, a.threads, [&](int64_t done, int64_t) { progress.update(done); }));
    progress.finish(message(split.dataset.size(), " pictures"));
  }
  found.duplicates = find_duplicates(found.splits);
  return found;
}

Json json_of(const Arguments& a, const Findings& found) {
  const DatasetSummary& s = found.summary;
  Json out = {{"dataset", a.dataset}, {"dir", a.dir}, {"summary", s.line()}, {"partial", s.partial()}};
  int64_t images = 0;
  for (const DatasetSummary::Count& count : s.splits) {
    out["splits"][count.split] = {{"images", count.pictures}, {"absent", count.absent}};
    if (count.released > 0) out["splits"][count.split]["release"] = count.released;
    images += count.pictures;
  }
  out["images"] = images;
  out["classes"] = s.classes;
  if (s.released_classes > 0) out["release_classes"] = s.released_classes;
  auto counts = histogram(found.splits);
  const std::vector<std::string>& names = class_names(found.splits);
  out["histogram"] = Json::array();
  for (size_t c = 0; c < counts.size(); ++c) {
    Json row = c < names.size() ? Json{{"label", c}, {"name", names[c]}} : Json{{"label", -1}, {"name", nullptr}};
    int64_t all = 0;
    for (size_t i = 0; i < found.splits.size(); ++i) row[found.splits[i].name] = counts[c][i], all += counts[c][i];
    if (c < names.size() || all > 0) out["histogram"].push_back(row);
  }
  for (auto [name, side] : {std::pair("width", &SurveyedPicture::width), std::pair("height", &SurveyedPicture::height)}) {
    Sizes sizes = sizes_of(found, side);
    out[name] = {{"min", sizes.smallest}, {"median", sizes.median}, {"max", sizes.largest}};
  }
  out["corrupt"] = corrupt_files(found);
  out["duplicates"] = Json::array();
  for (const std::vector<Place>& group : found.duplicates) {
    Json files = Json::array();
    for (const Place& p : group) files.push_back({{"path", found.path(p)}, {"split", found.splits[p.split].name}});
    out["duplicates"].push_back(files);
  }
  out["contact_sheet"] = found.sheet.empty() ? Json(nullptr) : Json(found.sheet);
  return out;
}

void print_some(const char* what, const std::vector<std::string>& lines) {
  std::cout << what << "  " << lines.size() << '\n';
  for (size_t i = 0; i < std::min(lines.size(), kShown); ++i) std::cout << "  " << lines[i] << '\n';
  if (lines.size() > kShown) std::cout << "  and " << lines.size() - kShown << " more; --json names all\n";
}

void print_histogram(const Findings& found) {
  constexpr int64_t kBar = 40;
  auto counts = histogram(found.splits);
  const std::vector<std::string>& names = class_names(found.splits);
  int64_t most = 1;
  for (const auto& row : counts) most = std::max(most, std::accumulate(row.begin(), row.end(), int64_t(0)));
  std::cout << "pictures by class:";
  for (const Split& split : found.splits) std::cout << ' ' << split.name;
  std::cout << '\n';
  for (size_t c = 0; c < counts.size(); ++c) {
    int64_t all = std::accumulate(counts[c].begin(), counts[c].end(), int64_t(0));
    if (all == 0) continue;
    std::cout << "  " << (c < names.size() ? message(c, " ", names[c]) : std::string("without a label")) << ':';
    for (int64_t count : counts[c]) std::cout << ' ' << count;
    std::cout << "  " << std::string(size_t((all * kBar + most - 1) / most), '#') << '\n';
  }
}

void print(const Findings& found) {
  std::cout << found.summary.line() << '\n';
  print_histogram(found);
  Sizes width = sizes_of(found, &SurveyedPicture::width), height = sizes_of(found, &SurveyedPicture::height);
  std::cout << "width   " << width.smallest << " to " << width.largest << ", median " << width.median << '\n'
            << "height  " << height.smallest << " to " << height.largest << ", median " << height.median << '\n';
  print_some("corrupt files", corrupt_files(found));
  std::vector<std::string> groups;
  for (const std::vector<Place>& group : found.duplicates) {
    std::string line;
    for (const Place& p : group) line += (line.empty() ? "" : " = ") + found.path(p) + " (" + found.splits[p.split].name + ")";
    groups.push_back(line);
  }
  print_some("duplicates", groups);
  if (!found.sheet.empty()) std::cout << "contact sheet  " << found.sheet << '\n';
}

void write_lists(const std::string& folder, const std::vector<Split>& splits) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw MachineError(folder + ": cannot be made: " + error.message());
  for (const Split& split : splits) write_list(std::filesystem::path(folder) / (split.name + ".txt"), split.dataset);
  std::cerr << folder << ": read it back with --data " << folder << " --dataset list\n";
}

// Nobody asked for the default sheet: where it cannot be written the rest is said all the same.
void draw_sheet(const Arguments& a, Findings& found) {
  auto rows = sheet_rows(found);
  if (rows.empty()) return;
  std::string file = a.sheet.empty() ? a.dataset + "-contact-sheet.png" : a.sheet;
  try {
    write_png(file, contact_sheet(rows, {.cell = kThumbnail}));
    found.sheet = file;
  } catch (const MachineError& error) {
    if (!a.sheet.empty()) throw;
    std::cerr << "warning: no contact sheet: " << error.what() << "; name another place with --sheet\n";
  }
}

void run(const Arguments& a) {
  if (!a.sheet.empty() && std::filesystem::path(a.sheet).extension() != ".png")
    throw InputError(a.sheet + ": the contact sheet is a PNG; give a name that ends in .png");
  Findings found = examine(a);
  if (!a.lists.empty()) write_lists(a.lists, found.splits);
  if (!a.no_sheet) draw_sheet(a, found);
  if (std::string warning = duplicates_warning(found.splits, found.duplicates); !warning.empty())
    std::cerr << "warning: " << warning << '\n';
  // Names of files need not be UTF-8, JSON must be.
  if (a.json) std::cout << json_of(a, found).dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
  else print(found);
}

}  // namespace

void add_dataset(CLI::App& program) {
  auto* command = program.add_subcommand("dataset", "say what a data set holds: counts, classes, sizes, corrupt and duplicate files");
  command->footer(
      "Example: plumage dataset CUB_200_2011 --dataset cub\n"
      "         plumage dataset GTSRB --dataset gtsrb --validation 0.1 --seed 1 --lists splits");
  auto a = std::make_shared<Arguments>();
  command->add_option("dir", a->dir, "folder of the data set")->required();
  command->add_option("--dataset", a->dataset, "its kind: " + [] {
    std::string kinds;
    for (const std::string& kind : dataset_kinds()) kinds += (kinds.empty() ? "" : ", ") + kind;
    return kinds;
  }());
  command->add_option("--split", a->split, "one split only; else every one that is there");
  command->add_option("--classes", a->classes, "classes to keep, as 0-20");
  command->add_option("--crop", a->crop, "cut pictures to the boxes that the data set states: on, off; auto: GTSRB and lists yes, others no")
      ->check(CLI::IsMember({"auto", "on", "off"}));
  command->add_option("--level", a->level, "labels of aircraft: variant, family or manufacturer");
  command->add_option("--validation", a->validation, "share of each class of train that becomes the split validation, tracks whole")
      ->check(CLI::Range(0.0, 0.9));
  command->add_option("--fraction", a->fraction, "keep this share of each class; test and validation stay whole");
  command->add_option("--seed", a->seed, "of --validation and --fraction");
  command->add_option("--lists", a->lists, "folder to write train.txt, ... to, for --dataset list");
  command->add_option("--sheet", a->sheet, "PNG file of the contact sheet; default: NAME-contact-sheet.png here");
  command->add_flag("--no-sheet", a->no_sheet, "no contact sheet");
  command->add_option("--threads", a->threads, "that decode; default: one a core")->check(CLI::Range(1, 1024));
  command->add_flag("--json", a->json, "one JSON object on standard output, nothing else");
  command->callback([a] { run(*a); });
}

}  // namespace plumage
