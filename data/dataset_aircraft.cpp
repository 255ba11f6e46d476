// FGVC-Aircraft 2013b (Maji et al. 2013) in its official layout: lists of `picture label` for each split and level of
// labels, boxes for all.
#include <unordered_map>

#include "data/dataset_readers.h"
#include "data/text_table.h"

namespace plumage::readers {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxSide = 1000000;

struct Level {
  const char *name, *names_file;
  int64_t classes;
};
constexpr Level kLevels[] = {
    {"variant", "variants.txt", 100}, {"family", "families.txt", 70}, {"manufacturer", "manufacturers.txt", 30}};

const Level& find_level(const std::string& name) {
  for (const Level& level : kLevels) {
    if (name.empty() || name == level.name) return level;
  }
  throw InputError("level `" + name + "`: wanted variant, family or manufacturer");
}

// Corners x1 y1 x2 y2, counted from 1, both belonging to the aircraft.
std::unordered_map<std::string, Region> read_boxes(const fs::path& file) {
  TextTable table(file, ' ', 5);
  std::unordered_map<std::string, Region> boxes;
  for (const TextRow& row : table.rows()) {
    int64_t left = table.integer(row, 1), top = table.integer(row, 2), right = table.integer(row, 3),
            bottom = table.integer(row, 4);
    if (left < 0 || top < 0 || right < left || bottom < top || right > kMaxSide || bottom > kMaxSide)
      table.fail(row, message("a box from ", left, ", ", top, " to ", right, ", ", bottom));
    boxes[row.fields[0]] = {left - 1, top - 1, right - left + 1, bottom - top + 1};
  }
  return boxes;
}

void read_part(const fs::path& base, const std::string& part, const Level& level,
               const std::unordered_map<std::string, int64_t>& label_of,
               const std::unordered_map<std::string, Region>& box_of, std::vector<Sample>& samples) {
  fs::path file = base / message("images_", level.name, "_", part, ".txt");
  if (!fs::exists(file)) throw MissingSplit(file.string() + ": no such file");
  TextTable table(file, ' ', 2);
  for (const TextRow& row : table.rows()) {
    auto label = label_of.find(row.fields[1]);
    if (label == label_of.end()) table.fail(row, message(quoted(row.fields[1]), " is not in ", level.names_file));
    Sample sample{base / "images" / (row.fields[0] + ".jpg"), label->second, {}, ""};
    if (auto box = box_of.find(row.fields[0]); box != box_of.end()) sample.box = box->second;
    else if (!box_of.empty()) table.fail(row, message("picture ", quoted(row.fields[0]), " is not in images_box.txt"));
    samples.push_back(std::move(sample));
  }
}

}  // namespace

int64_t aircraft_classes(const std::string& level) { return find_level(level).classes; }

Dataset read_aircraft(const fs::path& root, const std::string& split, const std::string& level_name) {
  const Level& level = find_level(level_name);
  fs::path base = root;
  for (const char* inner : {"data", "fgvc-aircraft-2013b/data"}) {
    if (!fs::exists(base / level.names_file)) base = root / inner;
  }
  if (!fs::exists(base / level.names_file))
    throw MissingSplit(message(root.string(), ": no `data/", level.names_file, "` in it"));
  Dataset dataset;
  std::unordered_map<std::string, int64_t> label_of;
  for (const TextLine& line : read_lines(base / level.names_file)) {
    std::string name = line.text.substr(0, line.text.find_last_not_of(" \t") + 1);
    if (!label_of.emplace(name, dataset.class_count()).second)
      throw InputError(message((base / level.names_file).string(), ":", line.number, ": ", quoted(name), " stands here twice"));
    dataset.class_names.push_back(name);
  }
  std::unordered_map<std::string, Region> box_of;
  if (fs::exists(base / "images_box.txt")) box_of = read_boxes(base / "images_box.txt");
  bool both = split == "trainval";
  if (both || wants(split, "train")) read_part(base, "train", level, label_of, box_of, dataset.samples);
  if (both || wants(split, "validation")) read_part(base, "val", level, label_of, box_of, dataset.samples);
  if (wants(split, "test")) read_part(base, "test", level, label_of, box_of, dataset.samples);
  return dataset;
}

}  // namespace plumage::readers
