// The nested elements of a MATLAB file of version 5: a type, a size, a body; see MathWorks' "MAT-File Format".
#include "data/matlab_layout.h"

#if PLUMAGE_HAS_MATIO
#include <zlib.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "tensor/errors.h"

namespace plumage {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr size_t kHeaderBytes = 128;
constexpr size_t kMaxFileBytes = size_t(64) << 20, kMaxUnpackedBytes = size_t(64) << 20;
constexpr int64_t kMaxElements = 1 << 21;
constexpr int kMaxDepth = 4;
enum Type : uint32_t { kInt8 = 1, kInt32 = 5, kUint32 = 6, kMatrix = 14, kCompressed = 15, kUtf8 = 16 };
enum Class : uint32_t { kCell = 1, kStruct = 2, kChar = 4, kFirstNumeric = 6, kLastNumeric = 15 };

// Bytes of one number of a storage type, or 0 for what holds no numbers.
int64_t bytes_of(uint32_t type) {
  constexpr int64_t kBytes[] = {0, 1, 1, 2, 2, 4, 4, 4, 0, 8, 0, 0, 8, 8, 0, 0, 1, 2, 4};
  return type < std::size(kBytes) ? kBytes[type] : 0;
}

struct Element {
  uint32_t type;
  Bytes body;
};

class Walk {
 public:
  explicit Walk(const std::filesystem::path& file) : name_(file.string()) {}

  void file(Bytes bytes) {
    constexpr char kSignature[] = "MATLAB 5.0";
    if (bytes.size() >= 10 && std::memcmp(bytes.data(), "MATLAB 7.3", 10) == 0)
      fail("a MATLAB file of version 7.3; save it with -v7");
    if (bytes.size() < kHeaderBytes || std::memcmp(bytes.data(), kSignature, sizeof kSignature - 1) != 0)
      fail("not a MATLAB file of version 5 to 7");
    const uint8_t* mark = bytes.data() + kHeaderBytes - 2;
    bool little = mark[0] == 'I' && mark[1] == 'M', big = mark[0] == 'M' && mark[1] == 'I';
    if (!little && !big) fail("damaged MATLAB file: no byte order in its header");
    swap_ = little != (std::endian::native == std::endian::little);
    Bytes rest = bytes.subspan(kHeaderBytes);
    while (!rest.empty()) {
      Element element = next(rest, true);
      if (element.type == kCompressed) {
        std::vector<uint8_t> unpacked = inflated(element.body);
        Bytes inner = unpacked;
        matrix(next(inner, false), 0);
        if (!inner.empty()) fail("damaged MATLAB file: more than one variable in a packed part");
      } else {
        matrix(element, 0);
      }
    }
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw InputError(name_ + ": " + what); }
  [[noreturn]] void damaged(const char* what) const { fail(std::string("damaged MATLAB file: ") + what); }

  uint32_t word(Bytes bytes, size_t at) const {
    uint32_t value;
    std::memcpy(&value, bytes.data() + at, 4);
    return swap_ ? __builtin_bswap32(value) : value;
  }

  // Takes an element off the front of `rest`. Bodies are padded to 8 bytes, packed ones are not; up to 4 bytes may
  // stand in the tag itself.
  Element next(Bytes& rest, bool outermost) {
    if (++elements_ > kMaxElements) fail("a MATLAB file of more parts than any data set's table has");
    if (rest.size() < 8) damaged("it ends within a part");
    uint32_t first = word(rest, 0);
    if (first >> 16) {
      if (first >> 16 > 4) damaged("a small part of more than 4 bytes");
      Element element{first & 0xffff, rest.subspan(4, first >> 16)};
      rest = rest.subspan(8);
      return element;
    }
    size_t size = word(rest, 4);
    if (size > rest.size() - 8) damaged("a part is larger than what holds it");
    Element element{first, rest.subspan(8, size)};
    size_t padded = outermost && first == kCompressed ? size : (size + 7) / 8 * 8;
    rest = rest.subspan(8 + std::min(padded, rest.size() - 8));
    return element;
  }

  Element expect(Bytes& rest, uint32_t type, const char* what) {
    Element element = next(rest, false);
    if (element.type != type) damaged(what);
    return element;
  }

  void matrix(const Element& element, int depth) {
    if (element.type != kMatrix) damaged("a part that is no array where an array should be");
    if (depth > kMaxDepth) fail("a MATLAB file nested deeper than any data set's table is");
    Bytes rest = element.body;
    if (rest.empty()) {
      if (depth == 0) damaged("a variable of no bytes");
      return;  // an element that was never set
    }
    Element flags = expect(rest, kUint32, "an array without flags");
    if (flags.body.size() != 8) damaged("an array without flags");
    uint32_t kind = word(flags.body, 0) & 0xff;
    bool complex = word(flags.body, 0) & 0x800;
    int64_t count = dimensions(expect(rest, kInt32, "an array without dimensions").body);
    expect(rest, kInt8, "an array without a name");
    if (kind == kCell) {
      children(rest, count, depth);
    } else if (kind == kStruct) {
      children(rest, count * fields(rest), depth);
    } else if (kind == kChar || (kind >= kFirstNumeric && kind <= kLastNumeric)) {
      if (complex) fail("a MATLAB file with complex numbers; no data set's table has them");
      numbers(next(rest, false), count, kind);
    } else {
      fail(message("a MATLAB file with an array of class ", kind, "; only numbers, text, cells and structs are read"));
    }
    if (!rest.empty()) damaged("an array longer than its contents");
  }

  int64_t dimensions(Bytes body) const {
    if (body.size() < 8 || body.size() > 32 || body.size() % 4) damaged("wanted 2 to 8 dimensions");
    int64_t count = 1;
    for (size_t at = 0; at < body.size(); at += 4) {
      int64_t size = int32_t(word(body, at));
      if (size < 0 || size > int64_t(kMaxUnpackedBytes)) damaged("a dimension out of range");
      count *= size;
      if (count > int64_t(kMaxUnpackedBytes)) damaged("dimensions larger than the file");
    }
    return count;
  }

  // Number of a struct's fields: names of equal length one after the other, each with its end marked.
  int64_t fields(Bytes& rest) {
    Element length = expect(rest, kInt32, "a struct without names");
    if (length.body.size() != 4) damaged("a struct without names");
    uint32_t bytes = word(length.body, 0);
    Bytes names = expect(rest, kInt8, "a struct without names").body;
    if (bytes < 1 || bytes > 64 || names.size() % bytes || names.size() / bytes > 64) damaged("a struct with odd names");
    for (size_t at = bytes; at <= names.size(); at += bytes) {
      if (names[at - 1] != 0) damaged("a struct's name without an end");
    }
    return int64_t(names.size() / bytes);
  }

  void children(Bytes& rest, int64_t count, int depth) {
    if (count > int64_t(rest.size() / 8)) damaged("fewer elements than its dimensions say");
    for (int64_t i = 0; i < count; ++i) matrix(next(rest, false), depth + 1);
  }

  void numbers(const Element& data, int64_t count, uint32_t kind) const {
    int64_t unit = bytes_of(data.type), bytes = int64_t(data.body.size());
    if (unit == 0) damaged("an array without numbers");
    bool sound = kind == kChar && data.type == kUtf8 ? bytes >= count : bytes == count * unit;
    if (!sound) damaged("an array has not as many numbers as its dimensions say");
  }

  std::vector<uint8_t> inflated(Bytes packed) const {
    std::vector<uint8_t> out;
    z_stream stream{};
    if (inflateInit(&stream) != Z_OK) throw MachineError(name_ + ": not enough memory to unpack it");
    stream.next_in = const_cast<uint8_t*>(packed.data());
    stream.avail_in = uInt(packed.size());
    int status = Z_OK;
    while (status == Z_OK && out.size() <= kMaxUnpackedBytes) {
      size_t before = out.size();
      out.resize(before + (size_t(1) << 16));
      stream.next_out = out.data() + before;
      stream.avail_out = uInt(out.size() - before);
      status = inflate(&stream, Z_NO_FLUSH);
      out.resize(out.size() - stream.avail_out);
    }
    inflateEnd(&stream);
    if (out.size() > kMaxUnpackedBytes) fail("a MATLAB file that unpacks to more than 64 MiB");
    if (status != Z_STREAM_END) damaged("a packed part cannot be unpacked");
    return out;
  }

  std::string name_;
  bool swap_ = false;
  int64_t elements_ = 0;
};

}  // namespace

void check_matlab_layout(const std::filesystem::path& file) {
  if (!std::filesystem::is_regular_file(file)) throw InputError(file.string() + ": no such file");
  if (std::filesystem::file_size(file) > kMaxFileBytes)
    throw InputError(file.string() + ": larger than 64 MiB, no table of a data set");
  std::ifstream in(file, std::ios::binary);
  std::vector<uint8_t> bytes(std::istreambuf_iterator<char>(in), {});
  if (!in) throw InputError(file.string() + ": cannot be opened for reading");
  Walk(file).file(bytes);
}

}  // namespace plumage

#endif
