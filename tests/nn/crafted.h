// Pickles and zip files put together byte by byte, to be hostile where PyTorch's are not.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace plumage::test {

inline std::string little(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += char(i < 8 ? value >> (8 * i) : 0);
  return text;
}

namespace pickled {
inline std::string text(const std::string& s) { return "X" + little(s.size(), 4) + s; }
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string number(int32_t n) { return "J" + little(uint32_t(n), 4); }
inline std::string tuple(const std::vector<int32_t>& numbers) {
  std::string all = "(";
  for (int32_t n : numbers) all += number(n);
  return all + "t";
}
inline std::string storage(const std::string& key, int32_t count, const std::string& type = "FloatStorage") {
  return "(" + text("storage") + global("torch", type) + text(key) + text("cpu") + number(count) + "tQ";
}
inline std::string tensor(const std::string& storage, int32_t offset, const std::vector<int32_t>& shape,
                          const std::vector<int32_t>& strides) {
  return global("torch._utils", "_rebuild_tensor_v2") + "(" + storage + number(offset) + tuple(shape) +
         tuple(strides) + "\x89" + global("collections", "OrderedDict") + ")RtR";
}
/// {key: value, ..}: `items` alternates.
inline std::string dictionary(const std::vector<std::string>& items) {
  std::string all = "}(";
  for (const std::string& item : items) all += item;
  return all + "u";
}
/// With the protocol in front and STOP behind.
inline std::string whole(const std::string& body) { return "\x80\x02" + body + "."; }
}  // namespace pickled

struct ZipPart {
  std::string name, bytes;
  int method = 0;
};

/// A zip file of stored entries.
inline std::string zip(const std::vector<ZipPart>& parts) {
  std::string file, directory;
  for (const ZipPart& part : parts) {
    std::string sizes = little(0, 4) + little(part.bytes.size(), 4) + little(part.bytes.size(), 4) +
                        little(part.name.size(), 2);
    directory += "PK\1\2" + little(0, 6) + little(uint64_t(part.method), 2) + little(0, 4) + sizes +
                 little(0, 12) + little(file.size(), 4) + part.name;
    file += "PK\3\4" + little(0, 4) + little(uint64_t(part.method), 2) + little(0, 4) + sizes + little(0, 2) +
            part.name + part.bytes;
  }
  std::string end = "PK\5\6" + little(0, 4) + little(parts.size(), 2) + little(parts.size(), 2) +
                    little(directory.size(), 4) + little(file.size(), 4) + little(0, 2);
  return file + directory + end;
}

/// PyTorch's archive of a pickle and storages "0", "1", ..
inline std::string archive(const std::string& pickle_body, const std::vector<std::string>& storages = {}) {
  std::vector<ZipPart> parts{{"a/data.pkl", pickled::whole(pickle_body)}};
  for (size_t i = 0; i < storages.size(); ++i) parts.push_back({"a/data/" + std::to_string(i), storages[i]});
  return zip(parts);
}

/// The container before 1.6.
inline std::string legacy(const std::string& pickle_body, const std::string& keys_body,
                          const std::string& data, bool little_endian = true) {
  std::string magic = "\x8a\x0a" + little(0xa86a20f9469cfc6c, 8) + little(0x1950, 2),
              version = "M" + little(1001, 2);
  return pickled::whole(magic) + pickled::whole(version) +
         pickled::whole(
             pickled::dictionary({pickled::text("little_endian"), little_endian ? "\x88" : "\x89"})) +
         pickled::whole(pickle_body) + pickled::whole(keys_body) + data;
}

}  // namespace plumage::test
