// Seeded parts of a data set and the text files that record them.
#include "data/split.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "tensor/errors.h"
#include "tensor/philox.h"

namespace plumage {
namespace {

enum Draw : uint64_t { kLabels = 0, kValidation = 1 };  // tells the two kinds of parts of one seed apart

// Shuffles by sorting: each item's place depends on its own number alone.
std::vector<int64_t> shuffled(std::vector<int64_t> items, uint64_t seed, Draw draw) {
  auto place = [&](int64_t item) {
    auto words = philox({seed, Purpose::split, draw}, uint64_t(item));
    return std::pair(uint64_t(words[0]) << 32 | words[1], item);
  };
  std::sort(items.begin(), items.end(), [&](int64_t a, int64_t b) { return place(a) < place(b); });
  return items;
}

std::map<int64_t, std::vector<int64_t>> positions_by_label(const std::vector<int64_t>& labels) {
  std::map<int64_t, std::vector<int64_t>> positions;
  for (size_t i = 0; i < labels.size(); ++i) positions[labels[i]].push_back(int64_t(i));
  return positions;
}

// The samples of one class as groups, each named by its first sample; samples without a group stand alone.
std::map<int64_t, std::vector<int64_t>> grouped(const Dataset& dataset,
                                                const std::vector<int64_t>& positions) {
  std::map<std::string, int64_t> first_of;
  std::map<int64_t, std::vector<int64_t>> groups;
  for (int64_t i : positions) {
    const std::string& name = dataset.samples[size_t(i)].group;
    int64_t first = name.empty() ? i : first_of.emplace(name, i).first->second;
    groups[first].push_back(i);
  }
  return groups;
}

}  // namespace

std::vector<int64_t> label_fraction(const std::vector<int64_t>& labels, double fraction, uint64_t seed) {
  if (!(fraction > 0 && fraction <= 1)) {
    throw InputError(message("label fraction ", fraction, ": wanted more than 0 and at most 1"));
  }
  std::vector<int64_t> part;
  for (const auto& [label, positions] : positions_by_label(labels)) {
    if (label < 0) continue;
    int64_t count = std::max<int64_t>(1, std::llround(fraction * double(positions.size())));
    std::vector<int64_t> order = shuffled(positions, seed, kLabels);
    part.insert(part.end(), order.begin(), order.begin() + count);
  }
  std::sort(part.begin(), part.end());
  return part;
}

ValidationSplit validation_split(const Dataset& dataset, double share, uint64_t seed) {
  if (!(share >= 0 && share < 1)) {
    throw InputError(message("validation share ", share, ": wanted at least 0 and less than 1"));
  }
  ValidationSplit split;
  for (const auto& [label, positions] : positions_by_label(labels_of(dataset))) {
    std::map<int64_t, std::vector<int64_t>> groups = grouped(dataset, positions);
    std::vector<int64_t> names;
    for (const auto& [name, members] : groups) names.push_back(name);
    double wanted = share * double(positions.size());
    int64_t taken = 0;
    size_t left = names.size();
    for (int64_t name : shuffled(names, seed, kValidation)) {
      const std::vector<int64_t>& members = groups[name];
      // A group goes where it brings the share closer; the last one always trains.
      bool validates = left > 1 && double(taken) + double(members.size()) / 2 < wanted;
      std::vector<int64_t>& side = validates ? split.validation : split.train;
      side.insert(side.end(), members.begin(), members.end());
      if (validates) {
        taken += int64_t(members.size());
        --left;
      }
    }
  }
  std::sort(split.train.begin(), split.train.end());
  std::sort(split.validation.begin(), split.validation.end());
  return split;
}

std::vector<int64_t> labels_of(const Dataset& dataset) {
  std::vector<int64_t> labels;
  labels.reserve(dataset.samples.size());
  for (const Sample& sample : dataset.samples) labels.push_back(sample.label);
  return labels;
}

void write_list(const std::filesystem::path& file, const Dataset& dataset) {
  std::filesystem::path folder = std::filesystem::absolute(file).parent_path(), beside = file;
  beside += ".part";
  std::ofstream out(beside, std::ios::binary);
  for (size_t i = 0; i < dataset.class_names.size(); ++i)
    out << "# class " << i << " " << dataset.class_names[i] << "\n";
  for (const Sample& sample : dataset.samples) {
    std::filesystem::path path = std::filesystem::absolute(sample.path).lexically_relative(folder);
    if (path.empty() || path.begin()->string() == "..") path = std::filesystem::absolute(sample.path);
    if (path.string().find('\n') != std::string::npos) {
      throw InputError(file.string() + ": a picture's path holds a line break: " + sample.path.string());
    }
    out << path.string() << " " << sample.label << "\n";
  }
  out.close();
  std::error_code error;
  if (out) std::filesystem::rename(beside, file, error);
  if (!out || error) throw MachineError(file.string() + ": cannot be written");
}

Dataset read_list(const std::filesystem::path& file) {
  if (!std::filesystem::is_regular_file(file)) throw InputError(file.string() + ": no such file");
  std::ifstream in(file);
  if (!in) throw InputError(file.string() + ": cannot be opened for reading");
  Dataset dataset{"list", file, {}, {}};
  std::filesystem::path folder = std::filesystem::absolute(file).parent_path();
  int64_t largest = -1;
  std::string line;
  for (int64_t number = 1; std::getline(in, line); ++number) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty()) continue;
    if (line[0] == '#') {
      std::istringstream words(line);
      std::string hash, word, name;
      int64_t index = -1;
      if (words >> hash >> word >> index && word == "class" && index == dataset.class_count()) {
        std::getline(words >> std::ws, name);
        dataset.class_names.push_back(name);
      }
      continue;
    }
    int64_t label = -1;
    size_t blank = line.rfind(' ');
    if (blank != std::string::npos) {
      auto [stop, error] = std::from_chars(line.data() + blank + 1, line.data() + line.size(), label);
      if (error != std::errc() || stop != line.data() + line.size()) {
        label = -1;  // the last word is part of the path
      } else {
        line.resize(line.find_last_not_of(' ', blank) + 1);
      }
    }
    if (label < -1 || label > 1000000) {
      throw InputError(message(file.string(), ":", number, ": label ", label, ", wanted -1 to 1000000"));
    }
    largest = std::max(largest, label);
    dataset.samples.push_back({folder / line, label, {}, ""});
  }
  if (dataset.class_names.empty()) {
    for (int64_t i = 0; i <= largest; ++i) dataset.class_names.push_back(std::to_string(i));
  }
  return dataset;
}

}  // namespace plumage
