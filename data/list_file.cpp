// Writing and reading `path label` lines, one list or a folder of them.
#include "data/list_file.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

#include "data/dataset_readers.h"
#include "data/text_table.h"
#include "tensor/errors.h"

namespace plumage {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxLabel = 1000000, kMaxSide = 1000000;
constexpr char kBlanks[] = " \t";

std::string path_text(const fs::path& path, const fs::path& folder) {
  fs::path absolute = fs::absolute(path), relative = absolute.lexically_relative(folder);
  std::string text = relative.empty() || *relative.begin() == ".." ? absolute.string() : relative.string();
  return text.find_first_of(std::string("#") + kBlanks) == 0 ? "./" + text : text;
}

// The line breaks that a reader knows would tear a line apart.
void check_line(const std::string& text, const fs::path& file) {
  if (text.find_first_of("\r\n") != std::string::npos)
    throw InputError(file.string() + ": a name with a line break cannot stand in a list: " + quoted(text));
}

// What stands in comments above a picture.
struct Remarks {
  std::optional<Region> box;
  std::string group;
  int64_t stated_width = 0, stated_height = 0;
};

class ListReader {
 public:
  explicit ListReader(fs::path file) : file_(std::move(file)), folder_(fs::absolute(file_).parent_path()) {
    dataset_.name = "list";
    dataset_.root = file_;
  }

  Dataset read() {
    for (const TextLine& line : read_lines(file_)) {
      if (line.text[0] == '#') comment(line);
      else sample(line);
    }
    int64_t largest = -1;
    for (const Sample& s : dataset_.samples) largest = std::max(largest, s.label);
    for (int64_t i = dataset_.class_count(); !named_ && i <= largest; ++i)
      dataset_.class_names.push_back(std::to_string(i));
    return std::move(dataset_);
  }

 private:
  [[noreturn]] void fail(const TextLine& line, const std::string& what) const {
    throw InputError(message(file_.string(), ":", line.number, ": ", what));
  }

  // Comments that are not ours are skipped.
  void comment(const TextLine& line) {
    std::istringstream words(line.text.substr(1));
    std::string word;
    words >> word;
    if (word == "class") {
      int64_t index = -1;
      std::string name;
      if (!(words >> index) || index != dataset_.class_count()) return;
      std::getline(words >> std::ws, name);
      dataset_.class_names.push_back(name);
      named_ = true;
    } else if (word == "box") {
      Region box;
      if (!(words >> box.x >> box.y >> box.width >> box.height)) return;
      bool sound = box.x >= -kMaxSide && box.y >= -kMaxSide && box.x <= kMaxSide && box.y <= kMaxSide &&
                   box.width > 0 && box.height > 0 && box.width <= kMaxSide && box.height <= kMaxSide;
      if (!sound) fail(line, "a box out of range");
      remarks_.box = box;
      int64_t width = 0, height = 0;
      if (words >> width >> height && width > 0 && height > 0 && width <= kMaxSide && height <= kMaxSide)
        remarks_.stated_width = width, remarks_.stated_height = height;
    } else if (word == "group") {
      std::getline(words >> std::ws, remarks_.group);
    }
  }

  void sample(const TextLine& line) {
    std::string path = line.text.substr(0, line.text.find_last_not_of(kBlanks) + 1);
    int64_t label = -1;
    if (size_t blank = path.find_last_of(kBlanks); blank != std::string::npos) {
      const char *first = path.data() + blank + 1, *last = path.data() + path.size();
      auto [stop, error] = std::from_chars(first, last, label);
      bool number = stop == last && (error == std::errc() || error == std::errc::result_out_of_range);
      if (number && (error != std::errc() || label < -1 || label > kMaxLabel))
        fail(line, message("label ", std::string(first, std::min<size_t>(size_t(last - first), 30)), ", wanted -1 to ", kMaxLabel));
      if (number) path.resize(path.find_last_not_of(kBlanks, blank) + 1);
      else label = -1;  // the last word is part of the path
    }
    if (path.empty()) fail(line, "a label without a picture");
    if (named_ && label >= dataset_.class_count())
      fail(line, message("label ", label, ", but the list names ", dataset_.class_count(), " classes"));
    dataset_.samples.push_back({folder_ / path, label, remarks_.box, remarks_.group, remarks_.stated_width,
                                remarks_.stated_height});
    remarks_ = {};
  }

  fs::path file_, folder_;
  Dataset dataset_;
  Remarks remarks_;
  bool named_ = false;  // classes, in the list
};

}  // namespace

void write_list(const fs::path& file, const Dataset& dataset) {
  fs::path folder = fs::absolute(file).parent_path(), beside = file;
  beside += ".part";
  std::ostringstream out;
  for (size_t i = 0; i < dataset.class_names.size(); ++i) {
    check_line(dataset.class_names[i], file);
    out << "# class " << i << " " << dataset.class_names[i] << "\n";
  }
  for (const Sample& sample : dataset.samples) {
    std::string path = path_text(sample.path, folder);
    check_line(path, file);
    check_line(sample.group, file);
    if (const auto& box = sample.box) {
      out << "# box " << box->x << " " << box->y << " " << box->width << " " << box->height;
      if (sample.stated_width > 0) out << " " << sample.stated_width << " " << sample.stated_height;
      out << "\n";
    }
    if (!sample.group.empty()) out << "# group " << sample.group << "\n";
    out << path << " " << sample.label << "\n";
  }
  std::ofstream stream(beside, std::ios::binary);
  stream << out.str();
  stream.close();
  std::error_code error;
  if (stream) fs::rename(beside, file, error);
  if (!stream || error) throw MachineError(file.string() + ": cannot be written");
}

Dataset read_list(const fs::path& file) { return ListReader(file).read(); }

namespace readers {

namespace {

// Adds a list's class names to those of the lists before it. One that is its number alone, as where a list states
// none, gives way.
void join_names(std::vector<std::string>& names, const std::vector<std::string>& more, const fs::path& file) {
  for (size_t i = 0; i < more.size(); ++i) {
    std::string number = std::to_string(i);
    if (i == names.size()) names.push_back(more[i]);
    else if (names[i] == number) names[i] = more[i];
    else if (more[i] != names[i] && more[i] != number)
      throw InputError(message(file.string(), ": class ", i, " is ", plumage::quoted(more[i]),
                               ", in another list of the folder ", plumage::quoted(names[i])));
  }
}

}  // namespace

// One list serves whatever split is asked for. In a folder of lists each is a split, and a label means the same in all.
Dataset read_lists(const fs::path& root, const std::string& split, const std::string&) {
  if (!fs::is_directory(root)) return read_list(root);
  Dataset dataset;
  std::string absent;
  for (const char* part : {"train", "validation", "test"}) {
    fs::path file = root / (part + std::string(".txt"));
    if (!fs::exists(file)) {
      if (split == part) throw MissingSplit(file.string() + ": no such file");
      continue;
    }
    Dataset list = read_list(file);
    join_names(dataset.class_names, list.class_names, file);
    if (!wants(split, part)) continue;
    dataset.samples.insert(dataset.samples.end(), list.samples.begin(), list.samples.end());
  }
  if (dataset.samples.empty()) throw MissingSplit(root.string() + ": no lists train.txt, validation.txt or test.txt in it");
  return dataset;
}

}  // namespace readers
}  // namespace plumage
