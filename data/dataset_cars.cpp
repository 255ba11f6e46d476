// Stanford Cars (Krause et al. 2013) in its official layout: tables of the devkit as MATLAB files, pictures in cars_train
// and cars_test.
#include <algorithm>

#include "data/dataset_readers.h"
#include "data/matlab_file.h"

namespace plumage::readers {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxSide = 1000000;

/// Where a copy keeps its tables and pictures.
struct CarsPlaces {
  fs::path meta, train, test;  // tables; `test` is empty where there is none with labels
  fs::path pictures;           // the folder of cars_train and cars_test
  std::string note;
};

// The labels of the test pictures were published later than the devkit, and lie within it or beside it.
CarsPlaces find_places(const fs::path& root) {
  for (const fs::path& base : {root, root / "stanford_cars", root.parent_path()}) {
    fs::path devkit = base / "devkit";
    if (!fs::exists(devkit / "cars_meta.mat")) continue;
    CarsPlaces places{devkit / "cars_meta.mat", devkit / "cars_train_annos.mat", {}, base, ""};
    for (const fs::path& folder : {devkit, base}) {
      fs::path labels = folder / "cars_test_annos_withlabels.mat";
      if (places.test.empty() && fs::exists(labels)) places.test = labels;
    }
    // A folder of tables cut to the pictures of a partial copy, given itself or found where the devkit has no test labels.
    for (const fs::path& subset : {root, base / "subset"}) {
      bool cut = subset != base && fs::exists(subset / "cars_train_annos.mat") &&
                 fs::exists(subset / "cars_test_annos_withlabels.mat");
      if (!cut || (subset != root && !places.test.empty())) continue;
      places.train = subset / "cars_train_annos.mat";
      places.test = subset / "cars_test_annos_withlabels.mat";
      places.note = "tables of " + subset.filename().string();
      break;
    }
    return places;
  }
  throw MissingSplit(root.string() + ": no `devkit/cars_meta.mat` in it");
}

// Columns and rows are counted from 1, and both corners belong to the car.
Region read_box(const MatlabTable& table, int64_t row) {
  int64_t left = table.integer(row, "bbox_x1"), top = table.integer(row, "bbox_y1");
  int64_t right = table.integer(row, "bbox_x2"), bottom = table.integer(row, "bbox_y2");
  bool sound = left >= 0 && top >= 0 && right >= left && bottom >= top && right <= kMaxSide && bottom <= kMaxSide;
  if (!sound) table.fail(row, message("a box from ", left, ", ", top, " to ", right, ", ", bottom));
  return {left - 1, top - 1, right - left + 1, bottom - top + 1};
}

// A picture's own folder, or cars_train: a partial copy may keep all of them there.
fs::path place_of(const fs::path& pictures, const char* folder, const std::string& name) {
  fs::path usual = pictures / folder / name, other = pictures / "cars_train" / name;
  return !fs::exists(pictures / folder) && fs::exists(other) ? other : usual;
}

void read_table(const fs::path& file, const fs::path& pictures, const char* folder, Dataset& dataset) {
  MatlabTable table(file, "annotations");
  for (int64_t row = 0; row < table.rows(); ++row) {
    int64_t label = table.integer(row, "class") - 1;
    if (label < 0 || label >= dataset.class_count())
      table.fail(row, message("class ", label + 1, ", wanted 1 to ", dataset.class_count()));
    std::string name = table.text(row, "fname");
    if (name.empty()) table.fail(row, "a picture without a name");
    dataset.samples.push_back({place_of(pictures, folder, name), label, read_box(table, row), ""});
  }
}

}  // namespace

Dataset read_cars(const fs::path& root, const std::string& split, const std::string&) {
  CarsPlaces places = find_places(fs::absolute(root / "").parent_path());
  Dataset dataset;
  dataset.class_names = read_matlab_texts(places.meta, "class_names");
  dataset.note = places.note;
  if (wants(split, "train")) {
    if (!fs::exists(places.train)) throw MissingSplit(places.train.string() + ": no such file");
    read_table(places.train, places.pictures, "cars_train", dataset);
  }
  if (wants(split, "test")) {
    if (places.test.empty()) {
      throw MissingSplit((places.meta.parent_path() / "cars_test_annos_withlabels.mat").string() +
                         ": no such file; it holds the labels of the test split");
    }
    read_table(places.test, places.pictures, "cars_test", dataset);
  }
  return dataset;
}

}  // namespace plumage::readers
