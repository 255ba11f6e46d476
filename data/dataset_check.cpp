// Counting splits, and finding the files that are there twice.
#include "data/dataset_check.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "data/checksum.h"
#include "data/dataset_readers.h"
#include "tensor/errors.h"

namespace plumage {
namespace {

namespace fs = std::filesystem;

bool same_pictures(const Dataset& a, const Dataset& b) {
  return std::equal(a.samples.begin(), a.samples.end(), b.samples.begin(), b.samples.end(),
                    [](const Sample& x, const Sample& y) { return x.path == y.path; });
}

std::string read_bytes(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

uint64_t checksum_of(const std::string& bytes) {
  return checksum({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

const Sample& sample_at(const std::vector<Split>& splits, const Place& place) {
  return splits[place.split].dataset.samples[size_t(place.sample)];
}

// Of files of one size: those of one checksum, then those whose bytes are the first one's.
void group_equal(const std::vector<Split>& splits, const std::vector<Place>& places,
                 std::vector<std::vector<Place>>& groups) {
  std::map<uint64_t, std::vector<Place>> by_sum;
  for (const Place& place : places) by_sum[checksum_of(read_bytes(sample_at(splits, place).path))].push_back(place);
  for (auto& [sum, equal] : by_sum) {
    if (equal.size() < 2) continue;
    std::string first = read_bytes(sample_at(splits, equal[0]).path);
    std::erase_if(equal, [&](const Place& p) { return read_bytes(sample_at(splits, p).path) != first; });
    if (equal.size() > 1) groups.push_back(std::move(equal));
  }
}

std::string join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

}  // namespace

std::vector<Split> open_splits(const std::string& kind, const fs::path& root, const DatasetOptions& options) {
  const readers::Layout& layout = readers::find_layout(kind);
  std::vector<std::string> names;
  for (const readers::SplitSize& known : layout.splits) names.push_back(known.split);
  if (layout.read == readers::read_lists && fs::is_regular_file(root)) {  // one list, unless it is to be parted
    names = {"all"};
    if (options.validation > 0) names = {"train"};
  }
  if (options.validation > 0 && std::find(names.begin(), names.end(), "validation") == names.end())
    names.insert(names.begin() + 1, "validation");
  std::vector<Split> splits;
  std::string missing;
  for (const std::string& name : names) {
    try {
      splits.push_back({name, open_dataset(kind, root, name, options)});
    } catch (const readers::MissingSplit& error) {
      if (missing.empty()) missing = error.what();
    }
  }
  // A folder `val` alone answers to both names.
  if (splits.size() > 1 && same_pictures(splits[splits.size() - 2].dataset, splits.back().dataset))
    splits.erase(splits.end() - 2);
  if (splits.empty()) throw InputError(missing);
  return splits;
}

bool has_release(const std::string& kind) { return readers::find_layout(kind).released(); }

DatasetSummary summarise(const std::string& kind, const std::vector<Split>& splits, const DatasetOptions& options, bool all) {
  const readers::Layout& layout = readers::find_layout(kind);
  bool whole = layout.released() && !options.classes && options.fraction == 1;
  DatasetSummary summary;
  summary.title = layout.title;
  summary.labelled = true;
  std::set<int64_t> labels;
  for (const Split& split : splits) {
    const Dataset& dataset = split.dataset;
    summary.splits.push_back({split.name, dataset.size(), int64_t(dataset.absent.size()), 0});
    if (!dataset.labelled()) summary.labelled = false;
    for (const Sample& sample : dataset.samples) labels.insert(sample.label);
    if (summary.first_absent.empty() && !dataset.absent.empty()) summary.first_absent = dataset.absent[0].string();
    if (!dataset.note.empty()) summary.note = dataset.note;
  }
  labels.erase(-1);
  summary.classes = int64_t(labels.size());
  if (!whole) return summary;
  summary.released_classes = options.level.empty() ? layout.classes : readers::aircraft_classes(options.level);
  for (size_t i = 0; i < layout.splits.size(); ++i) {
    const readers::SplitSize& known = layout.splits[i];
    auto place = std::find_if(summary.splits.begin(), summary.splits.end(),
                              [&](const DatasetSummary::Count& count) { return count.split == known.split; });
    if (place == summary.splits.end() && !all) continue;
    if (place == summary.splits.end())
      place = summary.splits.insert(summary.splits.begin() + std::min<long>(long(i), place - summary.splits.begin()), {known.split});
    place->released = known.pictures;
  }
  if (options.validation > 0) {
    auto find = [&](const char* name) {
      return std::find_if(summary.splits.begin(), summary.splits.end(), [&](const DatasetSummary::Count& c) { return c.split == name; });
    };
    auto train = find("train"), held = find("validation"), none = summary.splits.end();
    if (train != none && held != none) train->kept_out = held->pictures;
    else if (train != none) train->released = 0;  // nobody counted what it lacks
  }
  return summary;
}

bool DatasetSummary::partial() const {
  return classes < released_classes ||
         std::any_of(splits.begin(), splits.end(), [](const Count& c) { return c.pictures + c.kept_out < c.released; });
}

std::string DatasetSummary::line() const {
  std::vector<std::string> here, release;
  int64_t absent = 0;
  bool more = classes > released_classes;
  for (const Count& count : splits) {
    if (count.pictures > 0) here.push_back(message(count.pictures, " ", count.split == "all" ? "pictures" : count.split));
    if (count.released > 0) release.push_back(message(count.released, " ", count.split));
    absent += count.absent;
    more = more || (count.released > 0 && count.pictures + count.kept_out > count.released);
  }
  here.push_back(classes == 0 ? "no labels" : message(classes, classes == 1 ? " class" : " classes"));
  if (classes > 0 && !labelled) here.push_back("some without a label");
  std::string text = title + ": " + join(here);
  if (released_classes > 0 && (partial() || more)) {
    release.push_back(message(released_classes, " classes"));
    text += (partial() ? "; partial: the release has " : "; more than the release, which has ") + join(release);
  }
  if (absent > 0) text += message("; ", absent, " named but not there, the first: ", first_absent);
  return note.empty() ? text : text + "; " + note;
}

std::vector<std::vector<Place>> find_duplicates(const std::vector<Split>& splits) {
  std::map<uintmax_t, std::vector<Place>> by_size;
  for (size_t s = 0; s < splits.size(); ++s) {
    for (int64_t i = 0; i < splits[s].dataset.size(); ++i) {
      std::error_code error;
      uintmax_t size = fs::file_size(splits[s].dataset.samples[size_t(i)].path, error);
      if (!error && size > 0) by_size[size].push_back({s, i});
    }
  }
  std::vector<std::vector<Place>> groups;
  for (const auto& [size, places] : by_size) {
    if (places.size() > 1) group_equal(splits, places, groups);
  }
  std::sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) {
    return std::pair(a[0].split, a[0].sample) < std::pair(b[0].split, b[0].sample);
  });
  return groups;
}

std::string duplicates_warning(const std::vector<Split>& splits, const std::vector<std::vector<Place>>& duplicates) {
  int64_t across = 0, classes = 0;
  std::string example;
  for (const std::vector<Place>& group : duplicates) {
    const Sample& first = sample_at(splits, group[0]);
    auto differs = [&](auto&& property) {
      return std::find_if(group.begin(), group.end(), [&](const Place& p) { return property(p); });
    };
    auto other = differs([&](const Place& p) { return p.split != group[0].split; });
    auto disputed = differs([&](const Place& p) { return sample_at(splits, p).label != first.label; });
    across += other != group.end();
    classes += disputed != group.end();
    auto shown = other != group.end() ? other : disputed;
    if (example.empty() && shown != group.end())
      example = first.path.string() + " (" + splits[group[0].split].name + ") = " +
                sample_at(splits, *shown).path.string() + " (" + splits[shown->split].name + ")";
  }
  if (example.empty()) return "";
  std::vector<std::string> found;
  if (across > 0) found.push_back(message(across, across == 1 ? " picture is" : " pictures are", " in more than one split"));
  if (classes > 0) found.push_back(message(classes, " with different labels"));
  return join(found) + ", byte for byte; the first: " + example;
}

}  // namespace plumage
