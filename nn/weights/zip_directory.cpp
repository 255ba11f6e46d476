// Read from the end: the end record names the directory, each of whose entries names its local header, behind
// which its bytes stand (PKWARE's APPNOTE 4.3 and 4.5.3; zip64 where a number does not fit 32 bits).
#include "nn/weights/zip_directory.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "tensor/errors.h"

namespace plumage {

namespace {

constexpr int64_t kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20, kCentralBytes = 46, kLocalBytes = 30;
constexpr int64_t kLongestComment = 65535, kMostDirectoryBytes = int64_t(1) << 26;

/// Little-endian numbers at positions of a checked length.
template <class T>
int64_t number_at(const std::vector<char>& bytes, int64_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return int64_t(value);  // a u64 above 2^63 turns negative, which the checks refuse
}
int64_t u16_at(const std::vector<char>& bytes, int64_t at) { return number_at<uint16_t>(bytes, at); }
int64_t u32_at(const std::vector<char>& bytes, int64_t at) { return number_at<uint32_t>(bytes, at); }
int64_t u64_at(const std::vector<char>& bytes, int64_t at) { return number_at<uint64_t>(bytes, at); }

std::vector<char> bytes_at(const InputFile& file, int64_t offset, int64_t bytes) {
  if (offset < 0 || bytes < 0 || offset > file.size() || bytes > file.size() - offset)
    file.refuse("the zip directory points outside the file; it is truncated or damaged");
  std::vector<char> read(static_cast<size_t>(bytes));
  file.read(offset, read.data(), bytes);
  return read;
}

struct Directory {
  int64_t begin, bytes, entries;
};

Directory find_directory(const InputFile& file) {
  int64_t tail_bytes = std::min(file.size(), kEndBytes + kLongestComment),
          tail_begin = file.size() - tail_bytes;
  std::vector<char> tail = bytes_at(file, tail_begin, tail_bytes);
  int64_t at = tail_bytes - kEndBytes;
  while (at >= 0 && std::memcmp(tail.data() + at, "PK\5\6", 4) != 0) --at;
  if (at < 0) file.refuse("is a zip file without its directory: truncated; download or copy it again");
  Directory directory{u32_at(tail, at + 16), u32_at(tail, at + 12), u16_at(tail, at + 10)};
  bool wide = directory.begin == 0xffffffff || directory.bytes == 0xffffffff || directory.entries == 0xffff;
  int64_t locator_at = tail_begin + at - kLocatorBytes;
  if (!wide || locator_at < 0) return directory;
  std::vector<char> locator = bytes_at(file, locator_at, kLocatorBytes);
  if (std::memcmp(locator.data(), "PK\6\7", 4) != 0) return directory;
  std::vector<char> end64 = bytes_at(file, u64_at(locator, 8), kEnd64Bytes);
  if (std::memcmp(end64.data(), "PK\6\6", 4) != 0) file.refuse("its zip64 end record is damaged");
  return {u64_at(end64, 48), u64_at(end64, 40), u64_at(end64, 32)};
}

/// Sizes and place of an entry of the directory, from its fields or from the zip64 field among its extras.
struct Sizes {
  int64_t stored, plain, local;
};

Sizes sizes_of(const InputFile& file, const std::vector<char>& directory, int64_t at, int64_t name_bytes) {
  Sizes sizes{u32_at(directory, at + 20), u32_at(directory, at + 24), u32_at(directory, at + 42)};
  int64_t extra = at + kCentralBytes + name_bytes, extra_end = extra + u16_at(directory, at + 30);
  while (extra + 4 <= extra_end) {
    int64_t id = u16_at(directory, extra), field = extra + 4,
            field_end = field + u16_at(directory, extra + 2);
    if (field_end > extra_end) file.refuse("an extra field of its zip directory is damaged");
    if (id == 1)
      for (int64_t* size : {&sizes.plain, &sizes.stored, &sizes.local})
        if (*size == 0xffffffff && field + 8 <= field_end) {
          *size = u64_at(directory, field);
          field += 8;
        }
    extra = field_end;
  }
  return sizes;
}

/// Where the entry's bytes begin: behind its local header, whose extras may differ from the directory's.
int64_t data_begin(const InputFile& file, const std::string& name, int64_t local) {
  std::vector<char> header = bytes_at(file, local, kLocalBytes);
  if (std::memcmp(header.data(), "PK\3\4", 4) != 0)
    file.refuse("the local zip header of " + name + " is damaged");
  int64_t name_bytes = u16_at(header, 26), extra_bytes = u16_at(header, 28);
  std::vector<char> local_name = bytes_at(file, local + kLocalBytes, name_bytes);
  if (name != std::string(local_name.begin(), local_name.end()))
    file.refuse("its zip directory and the local header of " + name + " disagree about the name");
  return local + kLocalBytes + name_bytes + extra_bytes;
}

ZipEntry read_entry(const InputFile& file, const std::vector<char>& directory, int64_t at,
                    const std::string& name) {
  int64_t flags = u16_at(directory, at + 8), method = u16_at(directory, at + 10);
  Sizes sizes = sizes_of(file, directory, at, int64_t(name.size()));
  if (flags & 1) file.refuse(name + " is encrypted");
  if (name.find("/code/__torch__") != std::string::npos)
    file.refuse("is TorchScript, a program with weights; save its state_dict() instead");
  if (method != 0)
    file.refuse(message(name, " is compressed (zip method ", method,
                        "), which PyTorch does not do; unpack the file and pack it again with zip -0"));
  if (sizes.stored != sizes.plain) file.refuse("the two sizes of " + name + " in its zip directory differ");
  ZipEntry entry{data_begin(file, name, sizes.local), sizes.plain};
  if (entry.bytes < 0 || entry.begin > file.size() || entry.bytes > file.size() - entry.begin)
    file.refuse(
        message(name, " would take ", sizes.plain, " bytes, more than the file has: truncated or damaged"));
  return entry;
}

void refuse_overlap(const InputFile& file, const std::map<std::string, ZipEntry>& entries) {
  std::vector<std::pair<ZipEntry, const std::string*>> order;
  for (const auto& [name, entry] : entries)
    if (entry.bytes > 0) order.emplace_back(entry, &name);
  std::sort(order.begin(), order.end(),
            [](const auto& a, const auto& b) { return a.first.begin < b.first.begin; });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i].first.begin < order[i - 1].first.begin + order[i - 1].first.bytes)
      file.refuse(*order[i].second + " shares bytes with " + *order[i - 1].second);
}

}  // namespace

std::map<std::string, ZipEntry> read_zip_directory(const InputFile& file) {
  Directory place = find_directory(file);
  if (place.bytes > kMostDirectoryBytes)
    file.refuse(message("a zip directory of ", place.bytes, " bytes is too large"));
  std::vector<char> directory = bytes_at(file, place.begin, place.bytes);
  std::map<std::string, ZipEntry> entries;
  int64_t at = 0;
  for (int64_t i = 0; i < place.entries; ++i) {
    if (at + kCentralBytes > place.bytes || std::memcmp(directory.data() + at, "PK\1\2", 4) != 0)
      file.refuse(message("its zip directory breaks off at entry ", i, " of ", place.entries));
    int64_t name_bytes = u16_at(directory, at + 28);
    int64_t next = at + kCentralBytes + name_bytes + u16_at(directory, at + 30) + u16_at(directory, at + 32);
    if (next > place.bytes)
      file.refuse(message("its zip directory breaks off at entry ", i, " of ", place.entries));
    std::string name(directory.data() + at + kCentralBytes, size_t(name_bytes));
    if (!entries.emplace(name, read_entry(file, directory, at, name)).second)
      file.refuse("its zip directory names " + name + " twice");
    at = next;
  }
  refuse_overlap(file, entries);
  return entries;
}

}  // namespace plumage
