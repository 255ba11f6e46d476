// Caltech-UCSD Birds-200-2011 (Wah et al. 2011) in its official layout: five tables joined by picture number.
#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>

#include "data/dataset_readers.h"
#include "data/text_table.h"
#include "tensor/errors.h"

namespace plumage::readers {
namespace {

namespace fs = std::filesystem;

// A table of `picture value` rows as a map.
std::unordered_map<int64_t, int64_t> read_column(const fs::path& file) {
  TextTable table(file, ' ', 2);
  std::unordered_map<int64_t, int64_t> values;
  for (const TextRow& row : table.rows()) {
    if (!values.emplace(table.integer(row, 0), table.integer(row, 1)).second)
      table.fail(row, message("number ", row.fields[0], " stands here twice"));
  }
  return values;
}

// Boxes are stated in tenths of pixels; a picture's edge is never passed by rounding outwards more than they
// do.
std::unordered_map<int64_t, Region> read_boxes(const fs::path& file) {
  TextTable table(file, ' ', 5);
  std::unordered_map<int64_t, Region> boxes;
  for (const TextRow& row : table.rows()) {
    double sides[4];
    for (size_t i = 0; i < 4; ++i) {
      sides[i] = table.number(row, i + 1);
      if (!(std::abs(sides[i]) < 1e6)) table.fail(row, "a box of more than a million pixels");
    }
    if (sides[0] < 0 || sides[1] < 0 || sides[2] <= 0 || sides[3] <= 0) table.fail(row, "a box outside of any picture");
    int64_t left = int64_t(sides[0]), top = int64_t(sides[1]);
    boxes[table.integer(row, 0)] = {left, top, int64_t(sides[0] + sides[2]) - left,
                                    int64_t(sides[1] + sides[3]) - top};
  }
  return boxes;
}

template <class Value>
const Value& look_up(const std::unordered_map<int64_t, Value>& map, const TextTable& images,
                     const TextRow& row, const char* file) {
  auto found = map.find(images.integer(row, 0));
  if (found == map.end()) images.fail(row, message("picture ", quoted(row.fields[0]), " is not in ", file));
  return found->second;
}

}  // namespace

Dataset read_cub(const fs::path& root, const std::string& split, const std::string&) {
  fs::path base = find_root(root, "CUB_200_2011", "images.txt");
  Dataset dataset;
  std::unordered_map<int64_t, int64_t> place_of_class;
  TextTable classes(base / "classes.txt", ' ', 2);
  for (const TextRow& row : classes.rows()) {
    if (!place_of_class.emplace(classes.integer(row, 0), dataset.class_count()).second)
      classes.fail(row, message("class ", row.fields[0], " stands here twice"));
    dataset.class_names.push_back(row.fields[1]);
  }
  auto class_of = read_column(base / "image_class_labels.txt"),
       is_train = read_column(base / "train_test_split.txt");
  // A copy without boxes can be read, not cut to them.
  std::optional<std::unordered_map<int64_t, Region>> box_of;
  if (fs::path boxes = base / "bounding_boxes.txt"; fs::exists(boxes)) box_of = read_boxes(boxes);

  TextTable images(base / "images.txt", ' ', 2);
  for (const TextRow& row : images.rows()) {
    int64_t train = look_up(is_train, images, row, "train_test_split.txt");
    if (train != 0 && train != 1)
      images.fail(row, message("train_test_split.txt says ", train, " of it, wanted 0 or 1"));
    if (!wants(split, train ? "train" : "test")) continue;
    auto place = place_of_class.find(look_up(class_of, images, row, "image_class_labels.txt"));
    if (place == place_of_class.end()) images.fail(row, "its class in image_class_labels.txt is not in classes.txt");
    std::optional<Region> box;
    if (box_of) box = look_up(*box_of, images, row, "bounding_boxes.txt");
    dataset.samples.push_back({base / "images" / row.fields[1], place->second, box, ""});
  }
  return dataset;
}

}  // namespace plumage::readers
