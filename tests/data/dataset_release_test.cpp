// The releases in their official layouts, made here with a few pictures: what is read, and what is said of the rest.
#include <doctest/doctest.h>

#include <array>
#include <map>

#include "data/dataset.h"
#include "data/dataset_check.h"
#include "data/matlab_file.h"
#include "tensor/errors.h"
#include "tests/data/made_dataset.h"

namespace plumage {
namespace {

using namespace test;

std::string line(const std::string& kind, const std::filesystem::path& root, const DatasetOptions& options = {}) {
  return summarise(kind, open_splits(kind, root, options), options).line();
}

void make_cub(const ScratchFolder& folder) {
  folder.write("classes.txt", "1 001.Auk\n2 002.Wren of Spain\n");
  folder.write("images.txt", "1 001.Auk/a.jpg\n2 001.Auk/b.jpg\n3 002.Wren of Spain/c.jpg\n");
  folder.write("image_class_labels.txt", "1 1\n2 1\n3 2\n");
  folder.write("train_test_split.txt", "1 1\n2 0\n3 1\n");
  folder.write("bounding_boxes.txt", "1 1.0 0.0 2.0 3.0\n2 0 0 4 4\n3 0 0 4.9 4\n");
  for (const char* name : {"images/001.Auk/a.jpg", "images/001.Auk/b.jpg", "images/002.Wren of Spain/c.jpg"})
    folder.write(name, kPicture);
}

void make_aircraft(const ScratchFolder& folder) {
  folder.write("data/variants.txt", "707-320\nCessna 172\nF/A-18\n");
  folder.write("data/families.txt", "Boeing 707\nCessna 172\nF/A-18\n");
  folder.write("data/manufacturers.txt", "Boeing\nCessna\nMcDonnell Douglas\n");
  folder.write("data/images_variant_train.txt", "0000001 707-320\n0000002 Cessna 172\n");
  folder.write("data/images_variant_val.txt", "0000003 F/A-18\r\n");
  folder.write("data/images_variant_test.txt", "0000004 707-320\n");
  folder.write("data/images_manufacturer_train.txt", "0000001 Boeing\n0000002 Cessna\n");
  folder.write("data/images_manufacturer_val.txt", "0000003 McDonnell Douglas\n");
  folder.write("data/images_manufacturer_test.txt", "0000004 Boeing\n");
  folder.write("data/images_box.txt", "0000001 1 1 4 2\n0000002 1 1 4 4\n0000003 2 3 4 4\n0000004 1 1 4 4\n");
  for (int i = 1; i <= 4; ++i)
    folder.write("data/images/000000" + std::to_string(i) + ".jpg", plain_ppm(4, 4, uint8_t(i), 0, 0));
}

#if PLUMAGE_HAS_MATIO
void make_cars(const ScratchFolder& folder) {
  std::filesystem::create_directories(folder / "devkit");
  for (const char* name : {"cars_meta.mat", "cars_train_annos.mat", "cars_test_annos.mat"})
    std::filesystem::copy_file(PLUMAGE_SOURCE_DIR "/tests/data/expected/stanford_cars/" + std::string(name), folder / "devkit" / name);
  for (const char* name : {"cars_train/00001.jpg", "cars_train/00002.jpg", "cars_train/00003.jpg"}) folder.write(name, kPicture);
  folder.write("cars_test/00001.jpg", plain_ppm(4, 4, 1, 1, 1));
  folder.write("cars_test/00002.jpg", plain_ppm(4, 4, 2, 2, 2));
}

void put(const ScratchFolder& folder, const char* made, const char* as) {
  std::filesystem::copy_file(PLUMAGE_SOURCE_DIR "/tests/data/expected/stanford_cars/" + std::string(made), folder / as,
                             std::filesystem::copy_options::overwrite_existing);
}
#endif

}  // namespace

TEST_CASE("release: CUB's five tables; rows that make no sense are named") {
  ScratchFolder folder;
  make_cub(folder);
  Dataset train = open_dataset("cub", folder.path(), "train", {.classes = {}, .crop = true});
  REQUIRE(train.size() == 2);
  CHECK(train.samples[0].label == 0);
  CHECK(train.samples[1].label == 1);
  CHECK(train.class_names[1] == "002.Wren of Spain");
  CHECK(train.samples[0].box == Region{1, 0, 2, 3});
  CHECK(load_sample(train.samples[1]).width == 4);  // 4.9 pixels of 4: rounding
  CHECK(!open_dataset("cub", folder.path(), "train").samples[0].box);
  CHECK(line("cub", folder.path()) ==
        "CUB-200-2011: 2 train, 1 test, 2 classes; partial: the release has 5994 train, 5794 test, 200 classes");

  const std::vector<std::array<std::string, 3>> wrong = {
      {"images.txt", "1 001.Auk/a.jpg\n9 001.Auk/b.jpg\n", "images.txt:2: picture `9` is not in train_test_split.txt"},
      {"images.txt", "1 001.Auk/a.jpg\n2 001.Auk/a.jpg\n3 002.Wren of Spain/c.jpg\n", "name this picture twice"},
      {"image_class_labels.txt", "1 1\n2 7\n3 2\n", "images.txt:2: its class in image_class_labels.txt"},
      {"image_class_labels.txt", "1 1\n1 2\n3 2\n", "image_class_labels.txt:2: number 1 stands here twice"},
      {"image_class_labels.txt", "1 1\n2 one\n3 2\n", "image_class_labels.txt:2: `one` is not a whole number"},
      {"train_test_split.txt", "1 1\n2 0\n3 5\n", "images.txt:3: train_test_split.txt says 5"},
      {"bounding_boxes.txt", "1 1 0 2 3\n2 0 0 nan 4\n3 0 0 4 4\n", "bounding_boxes.txt:2: `nan` is not a number"},
      {"bounding_boxes.txt", "1 1 0 2 3\n2 0 0 1e300 4\n", "bounding_boxes.txt:2: a box of more"},
      {"bounding_boxes.txt", "1 1 0 2 3\n2 0 0 -4 4\n3 0 0 4 4\n", "bounding_boxes.txt:2: a box outside"},
      {"classes.txt", "1 001.Auk\n1 002.Wren\n", "classes.txt:2: class 1 stands here twice"},
      {"classes.txt", std::string("1 a\n2 \0b\n", 8), "classes.txt: not a text file"},
      {"classes.txt", std::string("\xff\xfe" "1\0", 4), "classes.txt: UTF-16 text; save it as UTF-8"}};
  for (const auto& [file, text, wanted] : wrong) {
    CAPTURE(wanted);
    ScratchFolder broken;
    make_cub(broken);
    broken.write(file, text);
    std::string said = complaint("cub", broken.path(), "all");
    CAPTURE(said);
    CHECK(contains(said, wanted));
    CHECK(!contains(said, "\n"));
  }
}

TEST_CASE("release: tables as Windows and old editors leave them read the same") {
  ScratchFolder folder;
  make_cub(folder);
  folder.write("classes.txt", "\xef\xbb\xbf" "1 001.Auk\r\n\r\n2 002.Wren of Spain \t\r\n");
  folder.write("images.txt", "1\t001.Auk/a.jpg\r2  001.Auk/b.jpg\r3 002.Wren of Spain/c.jpg");
  Dataset all = open_dataset("cub", folder.path(), "all");
  CHECK(all.size() == 3);
  CHECK(all.class_names == std::vector<std::string>{"001.Auk", "002.Wren of Spain"});
}

TEST_CASE("release: a partial copy is usable and says so; nothing at all is an error") {
  ScratchFolder folder;
  make_cub(folder);
  std::filesystem::remove(folder / "images/001.Auk/a.jpg");
  Dataset train = open_dataset("cub", folder.path(), "train");
  CHECK(train.size() == 1);
  CHECK(train.absent == std::vector<std::filesystem::path>{folder / "images/001.Auk/a.jpg"});
  std::string said = line("cub", folder.path());
  CHECK(contains(said, "CUB-200-2011: 1 train, 1 test, 2 classes; partial: "));
  CHECK(contains(said, "; 1 named but not there, the first: " + (folder / "images/001.Auk/a.jpg").string()));
  std::filesystem::remove_all(folder / "images");
  CHECK(contains(complaint("cub", folder.path(), "train"),
                 "001.Auk/a.jpg: the data set names this picture, but it is not there; none of the 2 of cub train is"));
}

TEST_CASE("release: CUB without its table of boxes is read, and cannot be cut to them") {
  ScratchFolder folder;
  make_cub(folder);
  std::filesystem::remove(folder / "bounding_boxes.txt");
  CHECK(open_dataset("cub", folder.path(), "all").size() == 3);
  CHECK(contains(complaint("cub", folder.path(), "train", {.classes = {}, .crop = true}), "no boxes are known"));
}

TEST_CASE("release: duplicates across splits and labels are found by their bytes") {
  ScratchFolder folder;
  make_cub(folder);  // three times the same picture
  std::vector<Split> splits = open_splits("cub", folder.path());
  auto duplicates = find_duplicates(splits);
  REQUIRE(duplicates.size() == 1);
  CHECK(duplicates[0] == std::vector<Place>{{0, 0}, {0, 1}, {1, 0}});
  CHECK(contains(duplicates_warning(splits, duplicates), "1 picture is in more than one split, 1 with different labels"));
  folder.write("images/001.Auk/b.jpg", plain_ppm(4, 4, 10, 20, 31));
  folder.write("images/002.Wren of Spain/c.jpg", plain_ppm(4, 4, 10, 20, 32));
  splits = open_splits("cub", folder.path());
  CHECK(find_duplicates(splits).empty());
  CHECK(duplicates_warning(splits, {}).empty());
}

TEST_CASE("release: FGVC-Aircraft's three levels and four splits") {
  ScratchFolder folder;
  make_aircraft(folder);
  Dataset train = open_dataset("aircraft", folder.path(), "train", {.classes = {}, .crop = true});
  REQUIRE(train.size() == 2);
  CHECK(train.class_names == std::vector<std::string>{"707-320", "Cessna 172", "F/A-18"});
  CHECK(train.samples[1].label == 1);
  CHECK(train.samples[0].box == Region{0, 0, 4, 2});
  CHECK(open_dataset("aircraft", folder.path(), "val").samples[0].label == 2);
  CHECK(open_dataset("aircraft", folder.path(), "trainval").size() == 3);
  CHECK(open_dataset("aircraft", folder.path(), "all").size() == 4);
  DatasetOptions makers;
  makers.level = "manufacturer";
  Dataset test = open_dataset("aircraft", folder.path(), "test", makers);
  CHECK(test.class_names[size_t(test.samples[0].label)] == "Boeing");
  CHECK(line("aircraft", folder.path()) == "FGVC-Aircraft: 2 train, 1 validation, 1 test, 3 classes; partial: the release has "
                                           "3334 train, 3333 validation, 3333 test, 100 classes");
  CHECK(contains(line("aircraft", folder.path(), makers), "3333 test, 30 classes"));
  makers.level = "family";
  CHECK(contains(complaint("aircraft", folder.path(), "test", makers), "images_family_test.txt: no such file"));
  makers.level = "wing";
  CHECK(contains(complaint("aircraft", folder.path(), "test", makers), "level `wing`: wanted variant, family or manufacturer"));
  CHECK(contains(complaint("cub", folder.path(), "test", makers), "only aircraft has several levels"));
  folder.write("data/images_variant_train.txt", "0000001 707-320\n0000002 Zeppelin\n");
  CHECK(contains(complaint("aircraft", folder.path(), "train"), "images_variant_train.txt:2: `Zeppelin` is not in variants.txt"));
  folder.write("data/images_variant_train.txt", "0000001 707-320\n0000009 Cessna 172\n");
  CHECK(contains(complaint("aircraft", folder.path(), "train"), ":2: picture `0000009` is not in images_box.txt"));
}

TEST_CASE("release: Stanford Cars' tables, with test labels in the devkit, beside it, and not there") {
  ScratchFolder folder;
#if PLUMAGE_HAS_MATIO
  make_cars(folder);
  Dataset train = open_dataset("cars", folder.path(), "train", {.classes = {}, .crop = true});
  REQUIRE(train.size() == 3);
  CHECK(train.class_names == std::vector<std::string>{"AM General Hummer SUV 2000", "Citro\xc3\xabn C3", "smart fortwo"});
  CHECK(train.samples[0].label == 1);
  CHECK(train.samples[0].path == folder / "cars_train/00001.jpg");
  CHECK(train.samples[0].box == Region{1, 0, 3, 3});
  CHECK(contains(complaint("cars", folder.path(), "test"), "cars_test_annos_withlabels.mat: no such file"));
  CHECK(line("cars", folder.path()) ==
        "Stanford Cars: 3 train, 3 classes; partial: the release has 8144 train, 8041 test, 196 classes");
  put(folder, "cars_test_annos_withlabels.mat", "cars_test_annos_withlabels.mat");
  Dataset test = open_dataset("cars", folder.path(), "test");
  CHECK(test.samples[0].label == 2);
  CHECK(test.samples[0].path == folder / "cars_test/00001.jpg");
  std::filesystem::rename(folder / "cars_test_annos_withlabels.mat", folder / "devkit/cars_test_annos_withlabels.mat");
  CHECK(open_dataset("cars", folder.path(), "all").size() == 5);

  const char* annos = "devkit/cars_train_annos.mat";
  put(folder, "class-4-of-3.mat", annos);
  CHECK(contains(complaint("cars", folder.path(), "train"), "cars_train_annos.mat: row 1: class 4, wanted 1 to 3"));
  put(folder, "number-for-name.mat", annos);
  CHECK(contains(complaint("cars", folder.path(), "train"), "row 1: its field `fname` is not a line of text"));
  put(folder, "box-backwards.mat", annos);
  CHECK(contains(complaint("cars", folder.path(), "train"), "row 1: a box from 4, 1 to 2, 4"));
  put(folder, "no-annotations.mat", annos);
  CHECK(contains(complaint("cars", folder.path(), "train"), "no variable `annotations`"));
  put(folder, "cars_test_annos.mat", annos);
  CHECK(contains(complaint("cars", folder.path(), "train"), "row 1: its field `class` is not a whole number"));
#else
  folder.write("devkit/cars_meta.mat", "MATLAB 5.0");
  CHECK(contains(complaint("cars", folder.path(), "train"), "PLUMAGE_MATIO=ON"));
#endif
}

TEST_CASE("release: MATLAB files cut anywhere or with a byte changed are an error or a table") {
#if PLUMAGE_HAS_MATIO
  ScratchFolder folder;
  for (const char* name : {"cars_test_annos_withlabels.mat", "cars_train_annos.mat"}) {
    std::ifstream in(PLUMAGE_SOURCE_DIR "/tests/data/expected/stanford_cars/" + std::string(name), std::ios::binary);
    std::string sound(std::istreambuf_iterator<char>(in), {});
    REQUIRE(sound.size() > 200);
    for (size_t i = 0; i < sound.size(); i += 3) {
      std::string cut = sound.substr(0, i), changed = sound;
      CHECK_THROWS_AS(MatlabTable(folder.write("cut.mat", cut), "annotations"), InputError);
      for (int flip : {0x01, 0x80, 0xff}) {
        changed[i] = char(sound[i] ^ flip);
        try {
          MatlabTable table(folder.write("changed.mat", changed), "annotations");
          for (int64_t row = 0; row < table.rows(); ++row) table.text(row, "fname");
        } catch (const InputError& error) {
          CHECK(!contains(error.what(), "\n"));
        }
      }
    }
  }
  CHECK(contains(thrown<InputError>([&] { MatlabTable(folder.write("text.mat", "hello"), "x"); }), "text.mat: not a MATLAB file"));
  CHECK(contains(thrown<InputError>([&] { MatlabTable(folder / "none.mat", "x"); }), "none.mat: no such file"));
#else
  MESSAGE("skipped: built without matio");
#endif
}

TEST_CASE("release: the copies at hand say what they are") {
  struct Row {
    const char *kind, *folder, *said;
  };
  const Row rows[] = {
      {"cub", "cub_200_2011", "CUB-200-2011: 240 train, 224 test, 16 classes; partial: "},
#if PLUMAGE_HAS_MATIO
      {"cars", "stanford_cars", "Stanford Cars: 368 train, 243 test, 16 classes; partial: "},
      {"cars", "stanford_cars/subset", "Stanford Cars: 368 train, 243 test, 16 classes; partial: "},
#endif
      {"gtsrb", "gtsrb", "GTSRB: 4800 train, 3750 test, 43 classes; partial: the release has 39209 train, 12630 test, 43 classes"},
      {"gtsrb", "gtsrb/official_test_shrunk_35x35", "GTSRB: 1500 test, 43 classes; partial: the release has 39209 train, 12630 test"},
      {"isic2017", "isic2017", "ISIC 2017: 1499 train, 150 validation, 400 test, 3 classes; partial: "}};
  for (const Row& row : rows) {
    CAPTURE(row.folder);
    std::filesystem::path root = test::bundle(row.folder);
    if (root.empty()) {
      MESSAGE("skipped: no folder `" << std::string(row.folder) << "` under PLUMAGE_TEST_DATA");
      continue;
    }
    CHECK(line(row.kind, root).starts_with(row.said));
  }
}

TEST_CASE("release: boxes of the copies at hand fit their pictures") {
  for (const auto& [kind, folder] : {std::pair("cub", "cub_200_2011"), std::pair("cars", "stanford_cars"),
                                     std::pair("gtsrb", "gtsrb/official_test_shrunk_35x35")}) {
    std::filesystem::path root = test::bundle(folder);
    if (root.empty()) {
      MESSAGE("skipped: no folder `" << std::string(folder) << "` under PLUMAGE_TEST_DATA");
      continue;
    }
#if !PLUMAGE_HAS_MATIO
    if (kind == std::string("cars")) continue;
#endif
#if !PLUMAGE_HAS_JPEG
    if (kind != std::string("gtsrb")) continue;
#endif
    Dataset dataset = open_dataset(kind, root, "test", {.classes = {}, .crop = true});
    for (size_t i = 0; i < dataset.samples.size(); i += 7) CHECK_NOTHROW(load_sample(dataset.samples[i]));
  }
}

TEST_CASE("release: a whole one is not partial, with a validation part drawn from it or one split asked for") {
  auto split = [](const char* name, int64_t pictures) {
    Split s{name, {}};
    for (int64_t i = 0; i < pictures; ++i) s.dataset.samples.push_back({std::to_string(i) + ".ppm", i % 43, {}, ""});
    return s;
  };
  auto line = [](const std::vector<Split>& splits, double validation, bool all) {
    DatasetOptions options;
    options.validation = validation;
    return summarise("gtsrb", splits, options, all).line();
  };
  Split train = split("train", 39209), most = split("train", 31000), rest = split("validation", 8209), test = split("test", 12630);
  CHECK(line({train, test}, 0, true) == "GTSRB: 39209 train, 12630 test, 43 classes");
  CHECK(line({most, rest, test}, 0.2, true) == "GTSRB: 31000 train, 8209 validation, 12630 test, 43 classes");
  CHECK(contains(line({most, split("validation", 8000), test}, 0.2, true), "; partial: the release has 39209 train"));
  CHECK(contains(line({most, split("validation", 8300), test}, 0.2, true), "; more than the release"));
  CHECK(contains(line({train}, 0, true), "; partial: the release has 39209 train, 12630 test"));
  CHECK(line({train}, 0, false) == "GTSRB: 39209 train, 43 classes");
  CHECK(line({most}, 0.2, false) == "GTSRB: 31000 train, 43 classes");
  CHECK(contains(line({most}, 0, false), "; partial: the release has 39209 train"));
}

TEST_CASE("release: a validation part is kept out of train, whole tracks, and shares are stratified") {
  std::filesystem::path root = test::bundle("gtsrb");
  if (root.empty()) {
    MESSAGE("skipped: no folder `gtsrb` under PLUMAGE_TEST_DATA");
    return;
  }
  DatasetOptions options;
  options.validation = 0.2;
  options.split_seed = 3;
  Dataset train = open_dataset("gtsrb", root, "train", options), held = open_dataset("gtsrb", root, "validation", options);
  CHECK(train.size() + held.size() == 4800);
  CHECK(held.size() > 600);
  CHECK(held.size() < 1300);
  std::map<std::string, int> tracks;
  for (const Sample& s : train.samples) tracks[s.group] |= 1;
  for (const Sample& s : held.samples) tracks[s.group] |= 2;
  for (const auto& [track, sides] : tracks) CHECK(sides != 3);
  CHECK(complaint("gtsrb", root, "validation") == "split `validation`: wanted train, test, or all");
  std::vector<Split> splits = open_splits("gtsrb", root, options);
  CHECK(splits.size() == 3);
  DatasetSummary summary = summarise("gtsrb", splits, options);
  CHECK(summary.partial());
  CHECK(contains(summary.line(), "; partial: the release has 39209 train, 12630 test"));
  options.validation = 0;
  options.fraction = 0.1;
  CHECK(open_dataset("gtsrb", root, "test", options).size() == open_dataset("gtsrb", root, "test").size());
  CHECK(open_dataset("gtsrb", root, "train", options).size() > 400);
  CHECK(open_dataset("gtsrb", root, "train", options).size() < 560);
}

}  // namespace plumage
