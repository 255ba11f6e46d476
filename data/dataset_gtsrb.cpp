// German Traffic Sign Recognition Benchmark (Stallkamp et al. 2012) in its official layout: 43 classes, PPM
// files, the sign's region in semicolon-separated tables.
#include <algorithm>
#include <array>
#include <unordered_map>

#include "data/dataset_readers.h"
#include "data/text_table.h"
#include "tensor/errors.h"

namespace plumage::readers {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 43> kSigns = {"speed limit 20",
                                                "speed limit 30",
                                                "speed limit 50",
                                                "speed limit 60",
                                                "speed limit 70",
                                                "speed limit 80",
                                                "end of speed limit 80",
                                                "speed limit 100",
                                                "speed limit 120",
                                                "no overtaking",
                                                "no overtaking by lorries",
                                                "right of way at the next crossing",
                                                "priority road",
                                                "give way",
                                                "stop",
                                                "no vehicles",
                                                "no lorries",
                                                "no entry",
                                                "danger",
                                                "bend to the left",
                                                "bend to the right",
                                                "double bend",
                                                "uneven road",
                                                "slippery road",
                                                "road narrows on the right",
                                                "road works",
                                                "traffic lights",
                                                "pedestrians",
                                                "children",
                                                "bicycles",
                                                "ice or snow",
                                                "wild animals",
                                                "end of all limits",
                                                "turn right ahead",
                                                "turn left ahead",
                                                "ahead only",
                                                "ahead or right",
                                                "ahead or left",
                                                "keep right",
                                                "keep left",
                                                "roundabout",
                                                "end of no overtaking",
                                                "end of no overtaking by lorries"};

constexpr char kHeading[] = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId";

// "00038/00017_00003.ppm" is frame 3 of sign 17 of class 38: the sign is "00038/00017".
std::string track_of(const std::string& class_folder, const std::string& file) {
  return class_folder + "/" + file.substr(0, file.find('_'));
}

// A column that counts pixels.
int64_t side(const TextTable& table, const TextRow& row, size_t column) {
  int64_t value = table.integer(row, column);
  if (value < 0 || value > 1000000) table.fail(row, message(value, " pixels, wanted 0 to 1000000"));
  return value;
}

std::string five_digits(int64_t label) {
  std::string digits = std::to_string(label);
  return std::string(5 - std::min<size_t>(5, digits.size()), '0') + digits;
}

// Rows of a table as samples in `folder`. The region's corners X1, Y1 belong to the sign, X2, Y2 do not.
std::vector<Sample> read_table(const fs::path& file, const fs::path& folder) {
  TextTable table(file, ';', 8, kHeading);
  std::vector<Sample> samples;
  for (const TextRow& row : table.rows()) {
    Sample sample{folder / row.fields[0], table.integer(row, 7), {}, ""};
    int64_t left = side(table, row, 3), top = side(table, row, 4);
    sample.box = Region{left, top, side(table, row, 5) - left, side(table, row, 6) - top};
    if (sample.box->width < 1 || sample.box->height < 1) table.fail(row, "a region of no pixels");
    sample.stated_width = side(table, row, 1);
    sample.stated_height = side(table, row, 2);
    if (sample.label < 0 || sample.label >= int64_t(kSigns.size())) {
      table.fail(row, message("class ", sample.label, ", wanted 0 to ", kSigns.size() - 1));
    }
    samples.push_back(std::move(sample));
  }
  return samples;
}

void read_training(const fs::path& root, std::vector<Sample>& samples) {
  fs::path images = root / "Final_Training" / "Images";
  if (!fs::is_directory(images)) throw MissingSplit(images.string() + ": no such folder");
  std::vector<fs::path> folders;
  for (const fs::directory_entry& entry : fs::directory_iterator(images)) {
    if (entry.is_directory()) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  for (const fs::path& folder : folders) {
    std::string name = folder.filename().string();
    fs::path file = folder / ("GT-" + name + ".csv");
    for (Sample& sample : read_table(file, folder)) {
      if (name.size() == 5 && name != five_digits(sample.label))
        throw InputError(message(file.string(), ": class ", sample.label, " in the folder of another: ", sample.path.filename().string()));
      sample.group = track_of(name, sample.path.filename().string());
      samples.push_back(std::move(sample));
    }
  }
}

// Official test pictures do not tell their track. A `test_origin.csv` beside the data may.
void read_origins(const fs::path& root, std::vector<Sample>& samples) {
  fs::path file = root / "test_origin.csv";
  if (!fs::exists(file)) return;
  TextTable table(file, ',', 2, "Filename");
  std::unordered_map<std::string, std::string> origin;
  for (const TextRow& row : table.rows()) {
    fs::path official = row.fields[1];
    origin[row.fields[0]] = track_of(official.parent_path().string(), official.filename().string());
  }
  for (Sample& sample : samples) {
    auto found = origin.find(sample.path.filename().string());
    if (found != origin.end()) sample.group = found->second;
  }
}

void read_test(const fs::path& root, std::vector<Sample>& samples) {
  fs::path folder = root / "Final_Test", images = folder / "Images";
  for (const fs::path& place : {folder, images, root}) {  // the table is an archive of its own
    fs::path file = place / "GT-final_test.csv";
    if (!fs::exists(file)) continue;
    std::vector<Sample> test = read_table(file, images);
    read_origins(root, test);
    samples.insert(samples.end(), test.begin(), test.end());
    return;
  }
  throw MissingSplit((folder / "GT-final_test.csv").string() +
                   ": no such file; it holds the labels of the test split");
}

}  // namespace

Dataset read_gtsrb(const fs::path& root, const std::string& split, const std::string&) {
  fs::path base = find_root(root, "GTSRB", wants(split, "train") ? "Final_Training" : "Final_Test");
  Dataset dataset;
  dataset.class_names.assign(kSigns.begin(), kSigns.end());
  if (wants(split, "train")) read_training(base, dataset.samples);
  if (wants(split, "test")) read_test(base, dataset.samples);
  return dataset;
}

}  // namespace plumage::readers
