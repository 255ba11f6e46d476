// safetensors: eight bytes of header length, a JSON header, the data. Its names in a module:
// nn/weights/state.cpp.
#include "nn/weights/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "nn/weights/safetensors_header.h"

namespace plumage {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kLargestHeader = 100'000'000;  // the format's own limit

/// A file descriptor that closes itself.
struct File {
  int descriptor;
  explicit File(int descriptor) : descriptor(descriptor) {}
  ~File() {
    if (descriptor >= 0) ::close(descriptor);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
};

[[noreturn]] void refuse(const fs::path& path, const std::string& why) {
  throw InputError(message(path.string(), ": ", why));
}

void read_at(const File& file, const fs::path& path, int64_t offset, void* to, int64_t bytes) {
  for (int64_t done = 0; done < bytes;) {
    ssize_t got =
        ::pread(file.descriptor, static_cast<char*>(to) + done, size_t(bytes - done), offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw MachineError(message(path.string(), ": cannot be read: ", std::strerror(errno)));
    if (got == 0) refuse(path, "ends too early");
    done += got;
  }
}

float half_to_float(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, fraction = h & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0) return (sign ? -1.f : 1.f) * float(fraction) * 0x1p-24f;
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

/// Elements of type From in the file become elements of `to`'s type.
template <class From, class To, class Convert>
void widen(const std::vector<char>& bytes, Tensor& to, Convert convert) {
  To* out = to.data<To>();
  for (int64_t i = 0; i < to.count(); ++i) {
    From element;
    std::memcpy(&element, bytes.data() + size_t(i) * sizeof(From), sizeof(From));
    out[i] = To(convert(element));
  }
}

struct StoredType {
  const char* name;
  int64_t size;
  DType type;
};
constexpr StoredType kStoredTypes[] = {
    {"F64", 8, DType::f64}, {"F32", 4, DType::f32}, {"F16", 2, DType::f32}, {"BF16", 2, DType::bf16},
    {"I64", 8, DType::i64}, {"I32", 4, DType::i32}, {"I16", 2, DType::i32}, {"I8", 1, DType::i32},
    {"U32", 4, DType::i64}, {"U16", 2, DType::i32}, {"U8", 1, DType::u8},   {"BOOL", 1, DType::u8}};

const StoredType* find_type(const std::string& name) {
  for (const StoredType& type : kStoredTypes)
    if (name == type.name) return &type;
  return nullptr;
}

const char* stored_name(DType type) {
  for (const StoredType& stored : kStoredTypes)
    if (stored.type == type && stored.size == size_of(type)) return stored.name;
  return "?";
}

/// Bytes that a tensor's type and shape ask for; nothing if they overflow.
std::optional<int64_t> bytes_of(const SafetensorsEntry& entry, int64_t element) {
  int64_t bytes = element;
  for (int64_t size : entry.shape)
    if (__builtin_mul_overflow(bytes, size, &bytes)) return {};
  return bytes;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

/// Refuses what does not fit the data's size, itself or its neighbours.
void check_entries(const fs::path& path, const SafetensorsHeader& header, int64_t data_bytes) {
  std::vector<const SafetensorsEntry*> order;
  for (const SafetensorsEntry& entry : header.entries) {
    auto bad = [&](const std::string& why) { refuse(path, "tensor " + entry.name + ": " + why); };
    const StoredType* type = find_type(entry.dtype);
    if (!type) bad("type " + entry.dtype + " is not supported");
    if (entry.shape.size() > size_t(Shape::kMaxRank))
      bad("shape " + shape_text(entry.shape) + " has more than 5 dimensions");
    if (entry.begin > entry.end || entry.end > data_bytes)
      bad(message("offsets ", entry.begin, " to ", entry.end, " lie outside the file's ", data_bytes,
                  " bytes of data"));
    auto bytes = bytes_of(entry, type->size);
    if (!bytes || *bytes != entry.end - entry.begin)
      bad(message("shape ", shape_text(entry.shape), " of ", entry.dtype, " does not take the ",
                  entry.end - entry.begin, " bytes of its offsets"));
    order.push_back(&entry);
  }
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  int64_t end = 0;
  for (const SafetensorsEntry* entry : order) {
    if (entry->begin < end)
      refuse(path, message("tensor ", entry->name, ": its data overlaps another tensor's"));
    if (entry->begin > end)
      refuse(path, message("bytes ", end, " to ", entry->begin, " of the data belong to no tensor"));
    end = entry->end;
  }
  if (end != data_bytes)
    refuse(path, message("bytes ", end, " to ", data_bytes, " of the data belong to no tensor"));
}

Tensor read_tensor(const File& file, const fs::path& path, const SafetensorsEntry& entry,
                   int64_t data_start) {
  const StoredType& type = *find_type(entry.dtype);
  Shape shape;
  for (int64_t size : entry.shape) shape.push_back(size);
  Tensor t = Tensor::empty(shape, type.type);
  int64_t bytes = entry.end - entry.begin;
  if (type.size == size_of(type.type)) {
    read_at(file, path, data_start + entry.begin, t.raw(), bytes);
    return t;
  }
  std::vector<char> raw(static_cast<size_t>(bytes));
  read_at(file, path, data_start + entry.begin, raw.data(), bytes);
  std::string name = type.name;
  auto same = [](auto value) { return value; };
  if (name == "F16") widen<uint16_t, float>(raw, t, half_to_float);
  if (name == "I16") widen<int16_t, int32_t>(raw, t, same);
  if (name == "I8") widen<int8_t, int32_t>(raw, t, same);
  if (name == "U16") widen<uint16_t, int32_t>(raw, t, same);
  if (name == "U32") widen<uint32_t, int64_t>(raw, t, same);
  return t;
}

}  // namespace

TensorFile read_safetensors(const fs::path& path) {
  File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // NONBLOCK: a pipe does not hang
  if (file.descriptor < 0) refuse(path, message("cannot be opened: ", std::strerror(errno)));
  struct stat status;
  if (::fstat(file.descriptor, &status) != 0 || !S_ISREG(status.st_mode)) refuse(path, "is not a file");
  int64_t file_bytes = status.st_size;
  if (file_bytes < 8) refuse(path, message("is not a safetensors file: only ", file_bytes, " bytes"));

  uint64_t stated;
  read_at(file, path, 0, &stated, 8);
  if (stated > uint64_t(kLargestHeader) || int64_t(stated) > file_bytes - 8)
    refuse(path, message("is not a safetensors file or is truncated: its header would be ", stated,
                         " bytes, the file has ", file_bytes));
  std::string text(size_t(stated), '\0');
  read_at(file, path, 8, text.data(), int64_t(stated));
  SafetensorsHeader header = parse_safetensors_header(text, path.string());
  int64_t data_start = 8 + int64_t(stated);
  check_entries(path, header, file_bytes - data_start);

  TensorFile result;
  result.metadata = std::move(header.metadata);
  for (const SafetensorsEntry& entry : header.entries) {
    try {
      result.tensors.emplace(entry.name, read_tensor(file, path, entry, data_start));
    } catch (const ShapeError& error) {  // sizes beside a 0 whose product overflows
      refuse(path, "tensor " + entry.name + ": " + error.what());
    }
  }
  return result;
}

namespace {

/// What is written: the header and the tensors in the order of their data.
struct Layout {
  std::string header;
  std::vector<const Tensor*> tensors;
};

Layout lay_out(const TensorFile& file) {
  std::vector<std::pair<const std::string*, const Tensor*>> order;
  for (const auto& [name, tensor] : file.tensors) {
    if (!tensor.defined()) throw InputError("safetensors: tensor " + name + " is undefined");
    order.emplace_back(&name, &tensor);
  }
  // Wide types first: all data is then aligned to its type.
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return size_of(a.second->dtype()) > size_of(b.second->dtype());
  });
  Layout layout;
  SafetensorsHeader header{.metadata = file.metadata};
  int64_t offset = 0;
  for (const auto& [name, tensor] : order) {
    SafetensorsEntry& entry = header.entries.emplace_back();
    entry = {*name, stored_name(tensor->dtype()), {}, offset, offset + tensor->bytes()};
    for (int i = 0; i < tensor->rank(); ++i) entry.shape.push_back(tensor->size(i));
    offset = entry.end;
    layout.tensors.push_back(tensor);
  }
  layout.header = format_safetensors_header(header);
  while (layout.header.size() % 8) layout.header += ' ';
  return layout;
}

/// Writes to a new file beside `path` and puts it in path's place once all of it is on the disk.
class Replacement {
 public:
  explicit Replacement(const fs::path& path) : path_(path) {
    std::error_code ignored;
    if (fs::exists(path, ignored) && !fs::is_regular_file(path, ignored)) fail("is there and is not a file");
    beside_ = path;
    beside_ += message(".", ::getpid(), ".partial");
    descriptor_ = ::open(beside_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail_by_errno("cannot be written");
  }
  ~Replacement() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!done_) ::unlink(beside_.c_str());
  }
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;

  void write(const void* data, int64_t bytes) {
    for (int64_t done = 0; done < bytes;) {
      ssize_t put = ::write(descriptor_, static_cast<const char*>(data) + done, size_t(bytes - done));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail_by_errno("cannot be written");
      done += put;
    }
  }

  void finish() {
    if (::fsync(descriptor_) != 0) fail_by_errno("cannot be written");
    int descriptor = std::exchange(descriptor_, -1);
    if (::close(descriptor) != 0) fail_by_errno("cannot be written");
    if (::rename(beside_.c_str(), path_.c_str()) != 0) fail_by_errno("cannot be put in place");
    done_ = true;
    fs::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
    File parent(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (parent.descriptor >= 0) ::fsync(parent.descriptor);  // the rename itself; some file systems refuse it
  }

 private:
  [[noreturn]] void fail(const std::string& why) { throw MachineError(message(path_.string(), ": ", why)); }
  [[noreturn]] void fail_by_errno(const char* what) {
    const char* why = std::strerror(errno);
    fail(message(what, ": ", why, "; an earlier file is as it was"));
  }
  fs::path path_, beside_;
  int descriptor_ = -1;
  bool done_ = false;
};

}  // namespace

void write_safetensors(const fs::path& path, const TensorFile& file) {
  Layout layout = lay_out(file);
  Replacement replacement(path);
  uint64_t length = layout.header.size();
  replacement.write(&length, 8);
  replacement.write(layout.header.data(), int64_t(length));
  for (const Tensor* tensor : layout.tensors) replacement.write(tensor->raw(), tensor->bytes());
  replacement.finish();
}

}  // namespace plumage
