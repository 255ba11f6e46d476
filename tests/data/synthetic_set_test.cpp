#include "data/synthetic_set.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "data/decode.h"
#include "data/write_png.h"
#include "tensor/errors.h"

using namespace plumage;
namespace fs = std::filesystem;

namespace {

struct TemporaryFolder {
  fs::path path = fs::temp_directory_path() / ("plumage-synthetic-" + std::to_string(getpid()));
  TemporaryFolder() { fs::remove_all(path); }
  ~TemporaryFolder() { fs::remove_all(path); }
};

SyntheticSet small_set() { return {SyntheticWorld::simple(), choose_species(3, 2, 7), 4, 24}; }

}  // namespace

TEST_CASE("the written set is the one in memory") {
  TemporaryFolder folder;
  SyntheticSet set = small_set();
  write_synthetic(folder.path, set, 5);
  auto train = make_synthetic(set, SyntheticSplit::train, 5),
       test = make_synthetic(set, SyntheticSplit::test, 2);
  for (int64_t label = 0; label < 3; ++label) {
    fs::path in_class = class_folder(set, label);
    CHECK(decode_image(folder.path / "train" / in_class / "00004.png").rgb ==
          train.images[size_t(label * 5 + 4)].rgb);
    CHECK(decode_image(folder.path / "test" / in_class / "00001.png").rgb ==
          test.images[size_t(label * 2 + 1)].rgb);
    CHECK_FALSE(fs::exists(folder.path / "test" / in_class / "00002.png"));
    Image mask = decode_image(folder.path / "masks" / "train" / in_class / "00000.png");
    CHECK(std::any_of(mask.rgb.begin(), mask.rgb.end(), [](uint8_t v) { return v == 255; }));
  }
  std::ifstream table(folder.path / "factors.csv");
  std::string line;
  std::getline(table, line);
  auto columns = std::count(line.begin(), line.end(), ',');
  int rows = 0;
  while (std::getline(table, line)) {
    ++rows;
    CHECK(std::count(line.begin(), line.end(), ',') == columns);
  }
  CHECK(rows == 3 * (5 + 2));
}

TEST_CASE("more pictures a class do not change the first ones, and no two are alike") {
  SyntheticSet set = small_set();
  auto few = make_synthetic(set, SyntheticSplit::train, 2),
       many = make_synthetic(set, SyntheticSplit::train, 4);
  auto test = make_synthetic(set, SyntheticSplit::test, 4);
  CHECK(few.images[2].rgb == many.images[4].rgb);
  CHECK(few.labels == std::vector<int64_t>{0, 0, 1, 1, 2, 2});
  std::set<std::string> pictures;
  for (const auto* split : {&many, &test})
    for (const Image& image : split->images) pictures.insert({image.rgb.begin(), image.rgb.end()});
  CHECK(pictures.size() == 24);
}

TEST_CASE("a set that cannot be made or written says why") {
  TemporaryFolder folder;
  SyntheticSet set = small_set();
  CHECK_THROWS_AS(write_synthetic(folder.path, set, 0), InputError);
  CHECK_THROWS_AS(make_synthetic(set, SyntheticSplit::test, 1000000000), InputError);
  set.px = 1000000000;
  CHECK_THROWS_AS(write_synthetic(folder.path, set, 1), InputError);
  CHECK_FALSE(fs::exists(folder.path));
  set = small_set();
  std::ofstream(folder.path) << "a file where the folder should be";
  CHECK_THROWS_AS(write_synthetic(folder.path, set, 1), MachineError);
  fs::remove(folder.path);
  write_synthetic(folder.path, set, 1);
  CHECK_THROWS_AS(write_synthetic(folder.path, set, 1), InputError);  // already there
  CHECK_THROWS_AS(write_synthetic("/proc/plumage", set, 1), MachineError);
  if (fs::exists("/dev/full")) CHECK_THROWS_AS(write_png("/dev/full", Image(4, 4)), MachineError);
  CHECK_THROWS_AS(encode_png(Image()), InputError);
}
