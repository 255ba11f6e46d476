// A folder of pictures: train/ and test/ with a folder for each class, or class folders alone, or just
// pictures.
#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "data/dataset_readers.h"
#include "data/decode.h"
#include "tensor/errors.h"

namespace plumage::readers {
namespace {

namespace fs = std::filesystem;

bool hidden(const fs::path& path) { return path.filename().string().starts_with("."); }

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::vector<fs::path> entries;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (!hidden(entry.path())) entries.push_back(entry.path());
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

// Pictures below a folder, at any depth.
void collect_pictures(const fs::path& folder, int64_t label, std::vector<Sample>& samples) {
  for (const fs::path& entry : sorted_entries(folder)) {
    if (fs::is_directory(entry)) {
      if (!fs::is_symlink(entry)) collect_pictures(entry, label, samples);  // a link may lead back up
    } else if (has_image_ending(entry)) {
      samples.push_back({entry, label, {}, ""});
    }
  }
}

std::vector<std::string> class_folders(const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::path& entry : sorted_entries(folder)) {
    if (fs::is_directory(entry)) names.push_back(entry.filename().string());
  }
  return names;
}

// Samples of one split's folder; classes are numbered by their place in `names`. Where there are classes, a picture
// beside their folders is of none: the number of those is returned.
int64_t read_split(const fs::path& folder, const std::vector<std::string>& names, std::vector<Sample>& samples) {
  std::vector<Sample> loose;
  for (const fs::path& entry : sorted_entries(folder)) {
    if (has_image_ending(entry)) loose.push_back({entry, -1, {}, ""});
  }
  if (names.empty()) {
    samples.insert(samples.end(), loose.begin(), loose.end());
    return 0;
  }
  for (size_t label = 0; label < names.size(); ++label) {
    fs::path class_folder = folder / names[label];
    if (fs::is_directory(class_folder)) collect_pictures(class_folder, int64_t(label), samples);
  }
  return int64_t(loose.size());
}

std::string lowered(std::string text) {
  for (char& c : text) c = char(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// The split's own folder under one of its usual names, in small letters or not, or an empty path.
fs::path first_folder(const fs::path& root, std::initializer_list<const char*> names) {
  for (const char* name : names)
    for (const fs::path& entry : sorted_entries(root))
      if (lowered(entry.filename().string()) == name && fs::is_directory(entry)) return entry;
  return {};
}

// `train` may be a class of vehicles: it is where it has no folders of classes in it and others lie beside it that have pictures.
void check_not_a_class(const fs::path& split, const fs::path& root) {
  if (!class_folders(split).empty()) return;
  for (const std::string& name : class_folders(root)) {
    std::vector<Sample> samples;
    if (root / name != split) collect_pictures(root / name, 0, samples);
    if (!samples.empty())
      throw InputError(message(split.string(), ": the split, or a class as ", (root / name).string(),
                               " is? Put the classes' folders into a folder `train`, or take the others away"));
  }
}

}  // namespace

// Where `val` stands in for a test folder that is not there, asking for either gives it.
Dataset read_folder(const fs::path& root, const std::string& split, const std::string&) {
  fs::path train = first_folder(root, {"train"}), validation = first_folder(root, {"val", "valid", "validation"});
  fs::path test = first_folder(root, {"test"});
  if (!train.empty() && test.empty() && validation.empty()) check_not_a_class(train, root);
  if (test.empty()) test = validation;
  if (train.empty() && test.empty()) train = root;
  std::vector<fs::path> folders;
  if (wants(split, "train") && !train.empty()) folders.push_back(train);
  if (wants(split, "test") && !test.empty()) folders.push_back(test);
  if (wants(split, "validation") && !validation.empty() && (split != "all" || validation != test))
    folders.push_back(validation);
  if (folders.empty()) {
    throw MissingSplit(message(root.string(), ": split `", split, "` asked for, but there is no folder `",
                               split, "` in it"));
  }
  // All splits name the classes, so that a label means the same in each.
  Dataset dataset;
  for (const fs::path& folder : {train, validation, test}) {
    if (folder.empty()) continue;
    std::vector<std::string> names = class_folders(folder);
    dataset.class_names.insert(dataset.class_names.end(), names.begin(), names.end());
  }
  std::sort(dataset.class_names.begin(), dataset.class_names.end());
  dataset.class_names.erase(std::unique(dataset.class_names.begin(), dataset.class_names.end()),
                            dataset.class_names.end());
  int64_t loose = 0;
  for (const fs::path& folder : folders) loose += read_split(folder, dataset.class_names, dataset.samples);
  if (loose > 0) dataset.note = message(loose, loose == 1 ? " picture" : " pictures", " beside the folders of classes left out");
  if (dataset.samples.empty()) {
    throw InputError(folders[0].string() +
                     ": no pictures in it (JPEG, PNG, BMP, PPM), nor in folders of classes");
  }
  return dataset;
}

}  // namespace plumage::readers
