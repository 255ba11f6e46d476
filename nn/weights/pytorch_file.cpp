// PyTorch's two containers around a pickle: the zip archive (since 1.6) with one entry a storage, and before
// that pickles one after the other with the storages behind them. Both end as the same list of tensors.
#include <algorithm>
#include <map>
#include <set>

#include "nn/weights/pickle.h"
#include "nn/weights/weights_index.h"
#include "nn/weights/zip_directory.h"
#include "tensor/errors.h"

namespace plumage {

using Kind = PickleValue::Kind;

namespace {

constexpr size_t kDeepest = 64, kLongestName = 1024, kMostTensors = size_t(1) << 17;

struct Named {
  std::string name;
  uint32_t tensor;
};

/// A dictionary's key as part of a name; false for a key that is neither text nor number.
bool key_text(const Pickle& pickle, PickleRef key, std::string* text) {
  const PickleValue& value = pickle.at(key);
  if (value.kind == Kind::integer) return *text = std::to_string(value.number), true;
  if (value.kind != Kind::text || value.length > kLongestName) return false;
  *text = pickle.text(key);
  return true;
}

/// Walks containers, each once however often it is referred to, so that sharing and cycles cost nothing.
class TensorWalk {
 public:
  TensorWalk(const InputFile& file, const Pickle& pickle)
      : file_(file), pickle_(pickle), seen_(pickle.values.size(), false) {}

  /// Tensors under `root`, named by their path from it. Of a key that occurs twice the last one counts, as in
  /// Python.
  std::vector<Named> tensors_under(PickleRef root) {
    found_.clear();
    place_.clear();
    visit(root, pickle_.is(root, Kind::tensor) ? "tensor" : "", 0);  // torch.save(tensor): it has no name
    while (!open_.empty()) {
      Open& open = open_.back();
      const auto& items = pickle_.items(open.container);
      bool keyed = pickle_.is(open.container, Kind::dictionary);
      if (open.next >= items.size()) {
        open_.pop_back();
        continue;
      }
      std::string key = std::to_string(open.next);
      PickleRef key_at = items[open.next], item = items[open.next + (keyed ? 1 : 0)];
      open.next += keyed ? 2 : 1;
      bool leads_on = pickle_.is(item, Kind::tensor) || (!pickle_.items(item).empty() && !seen_[item]);
      if (!leads_on || (keyed && !key_text(pickle_, key_at, &key))) continue;
      visit(item, open.path.empty() ? key : open.path + "." + key, open_.size());
    }
    return std::move(found_);
  }

 private:
  struct Open {
    PickleRef container;
    std::string path;
    size_t next;
  };

  void visit(PickleRef ref, const std::string& path, size_t depth) {
    if (path.size() > kLongestName) file_.refuse("the name " + path.substr(0, 60) + ".. is too long");
    if (pickle_.is(ref, Kind::tensor)) {
      uint32_t tensor = uint32_t(pickle_.at(ref).number);
      auto [place, fresh] = place_.emplace(path, found_.size());
      if (fresh)
        found_.push_back({path, tensor});
      else
        found_[place->second].tensor = tensor;
      if (found_.size() > kMostTensors) file_.refuse(message("holds more than ", kMostTensors, " tensors"));
      return;
    }
    if (pickle_.items(ref).empty() || seen_[ref]) return;
    if (depth >= kDeepest) file_.refuse(message("its containers nest deeper than ", kDeepest));
    seen_[ref] = true;
    open_.push_back({ref, path, 0});
  }

  const InputFile& file_;
  const Pickle& pickle_;
  std::vector<bool> seen_;
  std::vector<Open> open_;
  std::vector<Named> found_;
  std::map<std::string, size_t> place_;
};

/// Keys under which training programs put their state dictionary, in order of preference.
constexpr const char* kStateKeys[] = {"state_dict", "model_state_dict", "model_state",    "model",
                                      "net",        "network",          "state_dict_ema", "model_ema",
                                      "teacher",    "student",          "module"};

/// The innermost dictionary under those keys that holds tensors, and the path to it.
PickleRef state_dictionary(const InputFile& file, const Pickle& pickle, std::string* path) {
  PickleRef state = pickle.root;
  for (int depth = 0; depth < 4; ++depth) {
    std::map<std::string, PickleRef> inner;
    const auto& items = pickle.items(state);
    for (size_t i = 0; pickle.is(state, Kind::dictionary) && i + 1 < items.size(); i += 2)
      if (pickle.at(items[i]).length < 32 && pickle.is(items[i + 1], Kind::dictionary))
        inner[pickle.text(items[i])] = items[i + 1];
    auto holds_tensors = [&](const char* key) {
      return inner.contains(key) && !TensorWalk(file, pickle).tensors_under(inner[key]).empty();
    };
    auto key = std::find_if(std::begin(kStateKeys), std::end(kStateKeys), holds_tensors);
    if (key == std::end(kStateKeys)) break;
    *path += (path->empty() ? "" : ".") + std::string(*key);
    state = inner[*key];
  }
  return state;
}

struct StorageBytes {
  int64_t begin, bytes;
};

/// The pickle's tensors with their places in the file, which `storages` gives by key.
WeightsIndex index_pickle(const InputFile& file, const Pickle& pickle,
                          const std::map<std::string, StorageBytes>& storages) {
  auto located = [&](const std::vector<Named>& names) {
    std::vector<StoredTensor> tensors;
    for (const Named& named : names) {
      const std::string& name = named.name;
      const PickleTensor& from = pickle.tensors[named.tensor];
      const PickleStorage& storage = pickle.storages[from.storage];
      StoredTensor tensor{name, from.type, from.shape, from.strides, 0};
      auto bad = [&](const std::string& why) { file.refuse("tensor " + name + ": " + why); };
      auto found = storages.find(storage.key);
      if (found == storages.end()) bad("its storage " + storage.key + " is not in the file");
      int64_t element = info_of(storage.type).bytes, view_begin, view_bytes;
      if (__builtin_mul_overflow(storage.count, element, &view_bytes) ||
          __builtin_mul_overflow(storage.view_first, element, &view_begin) ||
          view_begin > found->second.bytes || view_bytes > found->second.bytes - view_begin)
        bad(message("its storage ", storage.key, " has ", found->second.bytes, " bytes in the file, ",
                    storage.count, " elements of ", name_of(storage.type), " are wanted"));
      std::string fault = fault_of(tensor, from.offset, view_bytes);
      if (!fault.empty()) bad(fault);
      // The offset of an empty tensor was not looked at.
      if (tensor.count() > 0)
        tensor.begin = found->second.begin + view_begin + from.offset * info_of(tensor.type).bytes;
      tensors.push_back(std::move(tensor));
    }
    return tensors;
  };
  WeightsIndex index;
  PickleRef state = state_dictionary(file, pickle, &index.state);
  TensorWalk walk(file, pickle);
  index.tensors = located(walk.tensors_under(state));
  if (state != pickle.root)
    index.others = located(walk.tensors_under(pickle.root));  // not what was seen already
  if (index.tensors.empty()) file.refuse("holds no tensors");
  return index;
}

/// The legacy container's list of storages: a count of elements and the bytes, for each key of `keys` in its
/// order.
std::map<std::string, StorageBytes> legacy_storages(const InputFile& file, const Pickle& pickle,
                                                    const Pickle& keys) {
  std::map<std::string, int64_t> element_bytes;
  for (const PickleStorage& storage : pickle.storages)
    element_bytes[storage.key] = info_of(storage.type).bytes;
  std::map<std::string, StorageBytes> storages;
  int64_t at = keys.end;
  if (!keys.is(keys.root, Kind::list)) file.refuse("lists no storages behind its pickle; damaged");
  for (PickleRef item : keys.items(keys.root)) {
    std::string key;
    if (!key_text(keys, item, &key)) file.refuse("names a storage by what is no text; damaged");
    auto element = element_bytes.find(key);
    if (element == element_bytes.end())
      file.refuse("holds a storage " + key.substr(0, 100) + " that no tensor refers to; damaged");
    int64_t count, bytes;
    file.read(at, &count, 8);
    at += 8;
    if (count < 0 || __builtin_mul_overflow(count, element->second, &bytes) || bytes > file.size() - at)
      file.refuse(message("its storage ", key, " would take ", count,
                          " elements, more than the file has: truncated or damaged"));
    if (!storages.emplace(key, StorageBytes{at, bytes}).second)
      file.refuse("holds the storage " + key + " twice; damaged");
    at += bytes;
  }
  return storages;
}

/// Refuses files of machines that write the other end first.
void check_byte_order(const InputFile& file, const Pickle& system) {
  const auto& items = system.items(system.root);
  for (size_t i = 0; system.is(system.root, Kind::dictionary) && i + 1 < items.size(); i += 2)
    if (system.at(items[i]).length == 13 && system.text(items[i]) == "little_endian" &&
        system.at(items[i + 1]).number == 0)
      file.refuse("is in big-endian order, which is not supported; save it again on a usual machine");
}

}  // namespace

WeightsIndex index_pytorch_zip(const InputFile& file) {
  std::map<std::string, ZipEntry> entries = read_zip_directory(file);
  auto is_pickle = [](const auto& entry) {
    return entry.first == "data.pkl" || entry.first.ends_with("/data.pkl");
  };
  auto pickled = std::find_if(entries.begin(), entries.end(), is_pickle);
  if (pickled == entries.end()) file.refuse("is a zip file without data.pkl, so not PyTorch's");
  if (std::find_if(std::next(pickled), entries.end(), is_pickle) != entries.end())
    file.refuse("is a zip file with more than one data.pkl");
  std::string folder = pickled->first.substr(0, pickled->first.size() - 8);
  if (auto order = entries.find(folder + "byteorder"); order != entries.end() && order->second.bytes == 3)
    file.refuse("is in big-endian order, which is not supported; save it again on a usual machine");
  Pickle pickle = read_pickle(file, pickled->second.begin);
  if (pickle.end > pickled->second.begin + pickled->second.bytes)
    file.refuse("its pickle is longer than its entry in the zip file");
  std::map<std::string, StorageBytes> storages;
  for (const auto& [name, entry] : entries)
    if (name.starts_with(folder + "data/"))
      storages[name.substr(folder.size() + 5)] = {entry.begin, entry.bytes};
  WeightsIndex index = index_pickle(file, pickle, storages);
  index.container = "zip";
  return index;
}

WeightsIndex index_pytorch_legacy(const InputFile& file) {
  constexpr uint64_t kMagic =
      0xa86a20f9469cfc6c;  // low bits of 0x1950a86a20f9469cfc6c, which old files begin with
  Pickle magic = read_pickle(file, 0);
  bool legacy = magic.is(magic.root, Kind::wide_integer) && uint64_t(magic.at(magic.root).number) == kMagic;
  if (!legacy) file.refuse("is a pickle of Python, but not one that PyTorch saved: no tensors are in it");
  Pickle version = read_pickle(file, magic.end);
  if (!version.is(version.root, Kind::integer) || version.at(version.root).number != 1001)
    file.refuse("is of an unknown version of PyTorch's old container");
  Pickle system = read_pickle(file, version.end);
  check_byte_order(file, system);
  Pickle pickle = read_pickle(file, system.end);
  Pickle keys = read_pickle(file, pickle.end);
  WeightsIndex index = index_pickle(file, pickle, legacy_storages(file, pickle, keys));
  index.container = "legacy";
  return index;
}

}  // namespace plumage
