// The packed cache: the same pictures as without it, never one that is damaged, half-written or of other sources.
#include "data/packed_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "data/cache.h"
#include "data/checksum.h"
#include "data/loader.h"
#include "tensor/errors.h"
#include "tests/data/bundle.h"

namespace plumage {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::plain_ppm;
using test::ScratchFolder;
using test::thrown;

// Twelve pictures of different sizes and one that cannot be read.
Dataset make_set(const ScratchFolder& folder) {
  for (int i = 0; i < 12; ++i)
    folder.write("set/a/" + std::to_string(10 + i) + ".ppm", plain_ppm(20 + i, 12 + i, uint8_t(i * 20), 7, 9));
  folder.write("set/a/99.ppm", "P6 3 3 255 ");
  return open_dataset("folder", folder / "set", "train");
}

CacheOptions packed_in(const fs::path& folder, int64_t short_side = 0) {
  CacheOptions options;
  options.short_side = short_side;
  options.allow_corrupt = true;
  options.threads = 2;
  options.packed = folder;
  return options;
}

void check_same(const ImageCache& a, const ImageCache& b) {
  REQUIRE(a.size() == b.size());
  CHECK(a.corrupt() == b.corrupt());
  CHECK(a.bytes() == b.bytes());
  Image scratch_a, scratch_b;
  for (int64_t i = 0; i < a.size(); ++i) {
    const Image &x = a.get(i, scratch_a), &y = b.get(i, scratch_b);
    CHECK(x.width == y.width);
    CHECK(x.rgb == y.rgb);
  }
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  return files;
}

std::string read_bytes(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("packed: the same pictures, corrupt ones and batches as without, built once") {
  ScratchFolder folder;
  Dataset dataset = make_set(folder);
  for (int64_t short_side : {0, 16}) {
    CAPTURE(short_side);
    CacheOptions plain = packed_in("", short_side);
    ImageCache memory(dataset, plain), built(dataset, packed_in(folder / "cache", short_side));
    ImageCache found(dataset, packed_in(folder / "cache", short_side));
    CHECK(built.packed()->built());
    CHECK(!found.packed()->built());
    check_same(memory, built);
    check_same(memory, found);
    View view{"x", 8, 8, [](const Image& image, const ViewKey&, float* out) {
                for (int64_t i = 0; i < 8 * 8 * 3; ++i) out[i] = float(image.rgb[size_t(i)]);
              }};
    Batch a = Loader(memory, {view}, {.batch = 4, .seed = 3}).next(), b = Loader(found, {view}, {.batch = 4, .seed = 3}).next();
    auto x = a.views[0].span<float>(), y = b.views[0].span<float>();
    CHECK(std::equal(x.begin(), x.end(), y.begin(), y.end()));
  }
  CHECK(files_in(folder / "cache").size() == 2);  // one a size, nothing left over
}

TEST_CASE("packed: made anew when a source changes, another for other boxes or pictures") {
  ScratchFolder folder;
  Dataset dataset = make_set(folder);
  PackedFile first(folder / "cache", dataset, {});
  CHECK(!PackedFile(folder / "cache", dataset, {}).built());
  folder.write("set/a/12.ppm", plain_ppm(22, 14, 1, 2, 3));  // the same size as before, at another time
  fs::last_write_time(folder / "set/a/12.ppm", fs::file_time_type::clock::now() + std::chrono::seconds(5));
  PackedFile second(folder / "cache", dataset, {});
  CHECK(second.built());
  CHECK(second.path() == first.path());
  CHECK(second.pictures()[2].pixels[2] == 3);
  CHECK(first.pictures()[2].pixels[2] == 9);  // who has the old one mapped keeps it
  dataset.samples[0].box = Region{0, 0, 5, 6};
  PackedFile boxed(folder / "cache", dataset, {});
  CHECK(boxed.built());
  CHECK(boxed.path() != first.path());
  CHECK(boxed.pictures()[0].width == 5);
  dataset.samples.pop_back();
  CHECK(PackedFile(folder / "cache", dataset, {}).path() != boxed.path());
}

TEST_CASE("packed: a file that is cut, changed in any byte or foreign is not used") {
  ScratchFolder folder;
  folder.write("set/a/1.ppm", plain_ppm(3, 2, 1, 2, 3));
  folder.write("set/a/2.ppm", "no picture");
  Dataset dataset = open_dataset("folder", folder / "set", "train");
  fs::path file = PackedFile(folder / "cache", dataset, {}).path();
  const std::string sound = read_bytes(file);
  for (size_t i = 0; i < sound.size(); ++i) {
    std::string changed = sound;
    changed[i] = char(changed[i] ^ (1 << (i % 8)));
    std::ofstream(file, std::ios::binary) << changed;
    CHECK(PackedFile(folder / "cache", dataset, {.threads = 1, .progress = {}}).built());
    CHECK(read_bytes(file).size() == sound.size());
  }
  for (size_t keep : {size_t(0), size_t(10), sound.size() / 2, sound.size() - 1}) {
    std::ofstream(file, std::ios::binary) << sound.substr(0, keep);
    CHECK(PackedFile(folder / "cache", dataset, {}).built());
  }
  std::string swapped = sound;  // 3 x 2 pixels become 2 x 3, which takes the same bytes
  std::swap(swapped[sound.size() - 48 + 16], swapped[sound.size() - 48 + 20]);
  std::ofstream(file, std::ios::binary) << swapped;
  CHECK(PackedFile(folder / "cache", dataset, {}).built());
  std::ofstream(file, std::ios::binary) << sound << "x";
  CHECK(PackedFile(folder / "cache", dataset, {}).built());
  fs::remove(file);
  std::ofstream(file.string() + ".part", std::ios::binary) << sound.substr(0, 20);  // of a process that was killed
  PackedFile after(folder / "cache", dataset, {});
  CHECK(after.built());
  CHECK(files_in(folder / "cache").size() == 1);
}

TEST_CASE("packed: whoever waited for a file that was renamed meanwhile leaves that one alone") {
  ScratchFolder folder;
  Dataset dataset = make_set(folder);
  fs::path file = PackedFile(folder / "cache", dataset, {}).path(), part = file.string() + ".part";
  fs::remove(file);
  std::ofstream(part) << "another's";
  int another = open(part.c_str(), O_RDWR);
  REQUIRE(flock(another, LOCK_EX) == 0);
  std::thread waiting([&] { CHECK(PackedFile(folder / "cache", dataset, {}).built()); });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));  // until it waits; if it comes later, nothing is tested
  fs::rename(part, folder / "renamed");
  close(another);
  waiting.join();
  CHECK(read_bytes(folder / "renamed") == "another's");
}

TEST_CASE("packed: two processes at once both get it, and one builds") {
  ScratchFolder folder;
  Dataset dataset = make_set(folder);
  std::vector<pid_t> children;
  for (int c = 0; c < 3; ++c) {
    pid_t child = fork();
    if (child == 0) {
      int code = 1;
      try {
        PackedFile file(folder / "cache", dataset, {.threads = 1, .progress = {}});
        code = file.pictures().size() == 13 && file.pictures()[3].pixels[0] == 60 ? (file.built() ? 10 : 20) : 2;
      } catch (...) {
      }
      _exit(code);
    }
    children.push_back(child);
  }
  int built = 0;
  for (pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    CHECK((code == 10 || code == 20));
    built += code == 10;
  }
  CHECK(built == 1);
  CHECK(files_in(folder / "cache").size() == 1);
}

TEST_CASE("packed: where it cannot be written, one line says where") {
  ScratchFolder folder;
  Dataset dataset = make_set(folder);
  folder.write("file", "x");
  CHECK(contains(thrown<InputError>([&] { PackedFile(folder / "file", dataset, {}); }), "file: wanted a folder"));
  CHECK_THROWS_AS(PackedFile("/proc/none/cache", dataset, {}), InputError);
}

TEST_CASE("packed: a folder named with and without its last stroke has one file") {
  ScratchFolder folder;
  Dataset dataset = make_set(folder), other = dataset;
  other.root += "/";
  for (Sample& sample : other.samples) sample.path = other.root / sample.path.lexically_relative(dataset.root);
  PackedFile(folder.path() / "packed", dataset, {.short_side = 16, .threads = 1, .progress = {}});
  PackedFile again(folder.path() / "packed", other, {.short_side = 16, .threads = 1, .progress = {}});
  CHECK_FALSE(again.built());
  CHECK(files_in(folder.path() / "packed").size() == 1);
}

TEST_CASE("checksum: every byte, its place and the length count") {
  std::vector<uint8_t> bytes(300);  // two whole blocks of sixteen words and a rest
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = uint8_t(i * 7);
  const uint64_t sum = checksum(bytes);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::vector<uint8_t> changed = bytes;
    changed[i] ^= 1;
    CHECK(checksum(changed) != sum);
    CHECK(checksum(std::span(bytes).first(i)) != sum);
  }
  std::vector<uint8_t> swapped = bytes;
  std::swap(swapped[3], swapped[64]);
  CHECK(checksum(swapped) != sum);
  swapped = bytes;
  std::swap(swapped[3], swapped[131]);  // the same lane of the next block
  CHECK(checksum(swapped) != sum);
  bytes.push_back(0);
  CHECK(checksum(bytes) != sum);
  CHECK(checksum({}) == checksum({}));
}

}  // namespace plumage
