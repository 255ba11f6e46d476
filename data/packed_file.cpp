// Layout: a header, all pixels, a table with an entry a picture. Numbers are the machine's own: a cache does not travel.
#include "data/packed_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <limits>
#include <mutex>
#include <sstream>
#include <thread>

#include "data/checksum.h"
#include "tensor/errors.h"

namespace plumage {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[8] = {'p', 'l', 'u', 'm', 'p', 'a', 'c', 'k'};
constexpr uint32_t kVersion = 2;
constexpr uint64_t kPage = 4096, kManyPages = 32 * kPage, kPiece = 4096 * kPage;

struct Header {
  char magic[8];
  uint32_t version, entry_bytes;
  uint64_t source;          // checksum of what it was made from
  uint64_t count;           // of entries
  uint64_t table;           // where they begin
  uint64_t table_checksum;  // of all from there to the end
  uint64_t checksum;        // of the header up to here
};

// A picture's pixels; or, with width 0, `height` bytes of text that say why there are none.
struct Entry {
  uint64_t begin, checksum;
  uint32_t width, height;
  uint64_t bytes() const { return width == 0 ? height : uint64_t(width) * height * 3; }
};

template <class T>
std::span<const uint8_t> bytes_of(const T* first, size_t count) {
  return {reinterpret_cast<const uint8_t*>(first), count * sizeof(T)};
}

uint64_t checksum_of(const Header& header) { return checksum(bytes_of(&header, 1).first(offsetof(Header, checksum))); }

uint64_t checksum_of(const std::string& text) { return checksum(bytes_of(text.data(), text.size())); }

// `path` as seen from `folder`, which is nearly always how it begins: there may be a million of them.
std::string beneath(const fs::path& path, const fs::path& folder) {
  std::string_view rest = path.native(), head = folder.native();
  if (rest.starts_with(head) && rest.substr(head.size()).starts_with('/')) return std::string(rest.substr(head.size() + 1));
  fs::path relative = path.lexically_relative(folder);
  return (relative.empty() ? path : relative).string();
}

// Which pictures, cut how: what gives the file its name.
std::string wish(const Dataset& dataset, int64_t short_side) {
  std::ostringstream text;
  text << (fs::absolute(dataset.root) / "").lexically_normal().string() << '\n' << short_side << '\n';
  for (const Sample& sample : dataset.samples) {
    text << beneath(sample.path, dataset.root);
    if (const auto& box = sample.box) {
      for (int64_t n : {box->x, box->y, box->width, box->height, sample.stated_width, sample.stated_height}) text << '\t' << n;
    }
    text << '\n';
  }
  return text.str();
}

// Runs check(i) for all i by several threads; false as soon as one is false.
bool all_of(size_t count, int threads, const std::function<bool(size_t)>& check) {
  std::atomic<size_t> next = 0;
  std::atomic<bool> sound = true;
  std::vector<std::jthread> workers;
  for (int t = 0; t < std::min<int64_t>(worker_threads(threads), int64_t(count)); ++t) {
    workers.emplace_back([&] {
      for (size_t i; sound && (i = next++) < count;) {
        if (!check(i)) sound = false;
      }
    });
  }
  workers.clear();
  return sound;
}

// What the sources were when they were decoded, and by what.
std::string state_of_sources(const Dataset& dataset, int threads) {
  std::vector<struct stat> states(dataset.samples.size());
  all_of(states.size(), threads, [&](size_t i) {
    if (stat(dataset.samples[i].path.c_str(), &states[i]) != 0) states[i] = {};
    return true;
  });
  std::ostringstream text;
#if PLUMAGE_HAS_JPEG
  text << "jpeg\n";
#endif
  for (const struct stat& s : states) text << s.st_size << ' ' << s.st_mtim.tv_sec << ' ' << s.st_mtim.tv_nsec << '\n';
  return text.str();
}

std::string file_name(const Dataset& dataset, int64_t short_side, uint64_t wish) {
  std::string name = dataset.name.empty() ? "pictures" : dataset.name;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '-';
  char digits[17];
  std::snprintf(digits, sizeof digits, "%08x", unsigned(wish ^ wish >> 32));
  return message(name.substr(0, 60), "-", short_side, "-", digits, ".packed");
}

// A file being written, locked for as long as it is open. Its name is the finished file's and `.part`.
class PartFile {
 public:
  explicit PartFile(const fs::path& finished) : finished_(finished), path_(finished.string() + ".part") {
    while (true) {
      file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
      if (file_ < 0) fail("cannot be made");
      while (flock(file_, LOCK_EX) != 0) {
        if (errno != EINTR) fail("cannot be locked");
      }
      // Whoever held the lock may have finished and renamed this very file, or dropped it.
      struct stat mine{}, named{};
      bool same = fstat(file_, &mine) == 0 && stat(path_.c_str(), &named) == 0 && mine.st_ino == named.st_ino &&
                  mine.st_dev == named.st_dev;
      if (same) return;
      close(file_);
    }
  }
  ~PartFile() {
    if (!done_) unlink(path_.c_str());
    close(file_);
  }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  // Some file systems write a file that was emptied to the disk before they close it: a new one is left alone.
  void clear() {
    struct stat status{};
    if (fstat(file_, &status) == 0 && status.st_size == 0) return;
    if (ftruncate(file_, 0) != 0) fail("cannot be emptied");
  }

  // Takes room at the end; threads write into theirs at once. What fills many pages begins with one: no page is then
  // written by two.
  uint64_t reserve(uint64_t bytes) {
    const uint64_t grain = bytes >= kManyPages ? kPage : 1;
    uint64_t end = end_, begin;
    do begin = (end + grain - 1) / grain * grain;
    while (!end_.compare_exchange_weak(end, begin + bytes));
    return begin;
  }

  void write(uint64_t at, std::span<const uint8_t> bytes) {
    allot(at + bytes.size());
    while (!bytes.empty()) {
      ssize_t n = pwrite(file_, bytes.data(), bytes.size(), off_t(at));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail("cannot be written");
      bytes = bytes.subspan(size_t(n));
      at += uint64_t(n);
    }
  }

  // Not synced to the disk: a file that a power cut left incomplete has not its checksums.
  void finish() {
    if (ftruncate(file_, off_t(end_)) != 0) fail("cannot be cut to its size");
    if (rename(path_.c_str(), finished_.c_str()) != 0) fail("cannot be renamed");
    done_ = true;
  }

 private:
  // Asks for space on the disk in large pieces, which takes a quarter off the time of writing. A file system that
  // cannot is not asked again; one that is full says so when it is written to.
  void allot(uint64_t end) {
    if (end <= allotted_) return;
    std::lock_guard lock(mutex_);
    while (end > allotted_) {
      bool given = fallocate(file_, FALLOC_FL_KEEP_SIZE, off_t(allotted_), off_t(kPiece)) == 0;
      allotted_ = given ? allotted_ + kPiece : std::numeric_limits<uint64_t>::max();
    }
  }

  [[noreturn]] void fail(const char* what) const {
    throw MachineError(message(path_.string(), ": the cache of decoded pictures ", what, ": ", std::strerror(errno)));
  }

  fs::path finished_, path_;
  int file_ = -1;
  std::atomic<uint64_t> end_ = sizeof(Header), allotted_ = 0;
  std::mutex mutex_;
  bool done_ = false;
};

}  // namespace

PackedFile::PackedFile(const fs::path& folder, const Dataset& dataset, const DecodeOptions& options) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!fs::is_directory(folder)) throw InputError(folder.string() + ": wanted a folder for caches of decoded pictures");
  std::string wanted = wish(dataset, options.short_side);
  path_ = folder / file_name(dataset, options.short_side, checksum_of(wanted));
  uint64_t source = checksum_of(wanted + state_of_sources(dataset, options.threads));
  if (!open(source, dataset, options.threads, true)) build(source, dataset, options);
}

PackedFile::~PackedFile() { unmap(); }

void PackedFile::unmap() {
  if (bytes_) munmap(const_cast<uint8_t*>(bytes_), size_);
  bytes_ = nullptr;
  pictures_.clear();
}

// False unless the file is there, of these sources, and (to `verify`) every byte is as it was written.
bool PackedFile::open(uint64_t source, const Dataset& dataset, int threads, bool verify) {
  const size_t count = dataset.samples.size();
  int file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  struct stat status{};
  size_ = fstat(file, &status) == 0 && S_ISREG(status.st_mode) ? size_t(status.st_size) : 0;
  void* address = size_ >= sizeof(Header) ? mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
  close(file);
  if (address == MAP_FAILED) return false;
  bytes_ = static_cast<const uint8_t*>(address);

  Header header;
  std::memcpy(&header, bytes_, sizeof header);
  bool sound = std::memcmp(header.magic, kMagic, sizeof kMagic) == 0 && header.version == kVersion &&
               header.entry_bytes == sizeof(Entry) && header.checksum == checksum_of(header) &&
               header.source == source && header.count == count && header.table <= size_ &&
               size_ - header.table == header.count * sizeof(Entry) &&
               header.table_checksum == checksum({bytes_ + header.table, size_ - header.table});
  std::vector<Entry> entries;
  if (sound) {
    entries.resize(count);
    std::memcpy(entries.data(), bytes_ + header.table, entries.size() * sizeof(Entry));
  }
  sound = sound && all_of(entries.size(), threads, [&](size_t i) {
    const Entry& e = entries[i];
    return e.begin <= header.table && e.bytes() <= header.table - e.begin &&
           (!verify || checksum({bytes_ + e.begin, size_t(e.bytes())}, i) == e.checksum);
  });
  if (!sound) {
    unmap();
    return false;
  }
  pictures_.resize(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    const Entry& e = entries[i];
    if (e.width == 0) pictures_[i].problem.assign(reinterpret_cast<const char*>(bytes_) + e.begin, e.height);
    else pictures_[i] = {e.width, e.height, bytes_ + e.begin, ""};
  }
  return true;
}

void PackedFile::build(uint64_t source, const Dataset& dataset, const DecodeOptions& options) {
  PartFile part(path_);
  if (open(source, dataset, options.threads, true)) return;  // another process made it while this one waited
  part.clear();
  std::vector<Entry> entries(dataset.samples.size());
  decode_samples(dataset, options, [&](int64_t i, Image&& image, const std::string& problem) {
    Entry& e = entries[size_t(i)];
    std::span<const uint8_t> bytes = image.rgb;
    if (!problem.empty()) bytes = bytes_of(problem.data(), problem.size());
    e = {part.reserve(bytes.size()), checksum(bytes, uint64_t(i)), uint32_t(image.width),
         uint32_t(problem.empty() ? image.height : int64_t(problem.size()))};
    part.write(e.begin, bytes);
  });
  std::span<const uint8_t> table = bytes_of(entries.data(), entries.size());
  Header header{{}, kVersion, sizeof(Entry), source, entries.size(), part.reserve(table.size()), checksum(table), 0};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.checksum = checksum_of(header);
  part.write(header.table, table);
  part.write(0, bytes_of(&header, 1));
  part.finish();
  built_ = true;
  if (!open(source, dataset, options.threads, false))
    throw MachineError(path_.string() + ": the cache of decoded pictures is not what was written; is the disk sound?");
}

}  // namespace plumage
