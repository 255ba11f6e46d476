// Readers on small folders made here, and on the real sets where they are.
#include "data/dataset.h"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "data/split.h"
#include "tensor/errors.h"
#include "tests/data/made_dataset.h"

namespace plumage {
namespace {

using namespace test;

std::vector<std::string> names_of(const Dataset& dataset) {
  std::vector<std::string> names;
  for (const Sample& s : dataset.samples) {
    names.push_back(std::to_string(s.label) + " " + s.path.lexically_relative(dataset.root).string());
  }
  return names;
}

const std::string kGtsrbHeading = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\r\n";

}  // namespace

TEST_CASE("dataset: a folder with train and test, sorted, without hidden files, other files and masks") {
  ScratchFolder folder;
  for (const char* name :
       {"train/robin/b.ppm", "train/robin/a.PPM", "train/robin/.hidden.ppm", "train/wren/1/x.ppm",
        "test/wren/t.ppm", "test/crow/u.ppm", "masks/train/robin/b.ppm"}) {
    folder.write(name, kPicture);
  }
  folder.write("train/robin/notes.txt", "text");
  folder.write("train/.cache/y.ppm", kPicture);
  Dataset train = open_dataset("folder", folder.path(), "train");
  CHECK(train.class_names == std::vector<std::string>{"crow", "robin", "wren"});
  CHECK(names_of(train) ==
        std::vector<std::string>{"1 train/robin/a.PPM", "1 train/robin/b.ppm", "2 train/wren/1/x.ppm"});
  Dataset test = open_dataset("synthetic", folder.path(), "test");
  CHECK(names_of(test) == std::vector<std::string>{"0 test/crow/u.ppm", "2 test/wren/t.ppm"});
  CHECK(open_dataset("folder", folder.path(), "all").size() == 5);
  CHECK(train.labelled());
  CHECK(train.note.empty());
  folder.write("train/loose.ppm", kPicture);
  train = open_dataset("folder", folder.path(), "train");
  CHECK(train.size() == 3);
  CHECK(train.note == "1 picture beside the folders of classes left out");
}

TEST_CASE("dataset: a folder of classes alone is all training; `val` is a test split too") {
  ScratchFolder folder;
  folder.write("a/1.ppm", kPicture);
  folder.write("b/2.ppm", kPicture);
  folder.write("loose.ppm", kPicture);  // beside class folders: belongs to none
  CHECK(names_of(open_dataset("folder", folder.path(), "train")) ==
        std::vector<std::string>{"0 a/1.ppm", "1 b/2.ppm"});
  CHECK(contains(complaint("folder", folder.path(), "test"), "no folder `test`"));
  ScratchFolder other;
  other.write("train/a/1.ppm", kPicture);
  other.write("val/a/2.ppm", kPicture);
  CHECK(names_of(open_dataset("folder", other.path(), "test")) == std::vector<std::string>{"0 val/a/2.ppm"});
}

TEST_CASE("dataset: splits in any letters; a class named train is no split") {
  ScratchFolder capitals;
  capitals.write("Train/a/1.ppm", kPicture);
  capitals.write("VAL/a/2.ppm", kPicture);
  CHECK(names_of(open_dataset("folder", capitals.path(), "train")) == std::vector<std::string>{"0 Train/a/1.ppm"});
  CHECK(names_of(open_dataset("folder", capitals.path(), "validation")) == std::vector<std::string>{"0 VAL/a/2.ppm"});
  ScratchFolder vehicles;
  vehicles.write("bus/1.ppm", kPicture);
  vehicles.write("train/2.ppm", kPicture);
  CHECK(contains(complaint("folder", vehicles.path(), "train"), "train: the split, or a class as "));
  capitals.write("extra/2.ppm", kPicture);  // pictures beside a split of classes are nobody's
  CHECK(open_dataset("folder", capitals.path(), "train").size() == 1);
  ScratchFolder alone;
  alone.write("train/a/1.ppm", kPicture);
  alone.write("extra/2.ppm", kPicture);
  CHECK(open_dataset("folder", alone.path(), "train").size() == 1);
  ScratchFolder moved;
  moved.write("train/bus/1.ppm", kPicture);
  moved.write("train/train/2.ppm", kPicture);
  CHECK(names_of(open_dataset("folder", moved.path(), "train")) == std::vector<std::string>{"0 train/bus/1.ppm", "1 train/train/2.ppm"});
}

TEST_CASE("dataset: pictures without classes have no labels") {
  ScratchFolder folder;
  folder.write("2.ppm", kPicture);
  folder.write("1.ppm", kPicture);
  Dataset dataset = open_dataset("folder", folder.path(), "train");
  CHECK(names_of(dataset) == std::vector<std::string>{"-1 1.ppm", "-1 2.ppm"});
  CHECK(!dataset.labelled());
  CHECK(contains(complaint("folder", folder.path(), "train", {.classes = ClassRange{0, 1}, .crop = {}}),
                 "classes 0-1"));
}

TEST_CASE("dataset: what cannot be opened is named") {
  ScratchFolder folder;
  std::string path = folder.path().string();
  CHECK(contains(complaint("folder", folder / "absent", "train"), path + "/absent: no such folder"));
  CHECK(contains(complaint("folder", folder.path(), "train"), path + ": no pictures"));
  CHECK(contains(complaint("folder", folder.path(), "dev"), "split `dev`"));
  CHECK(contains(complaint("fodler", folder.path(), "train"), "cub, cars, aircraft, gtsrb, isic2017, folder, list, synthetic"));
  CHECK(contains(complaint("gtsrb", folder.path(), "train"), path + ": no `Final_Training`"));
  CHECK(contains(complaint("cub", folder.path(), "train"), path + ": no `images.txt`"));
  CHECK(contains(complaint("isic2017", folder.path(), "train"), "Part3_GroundTruth.csv: no such file"));
  folder.write("file", "x");
  CHECK(contains(complaint("folder", folder / "file", "train"), "file: not a folder"));
}

TEST_CASE("dataset: boxes that are not there cannot be cut to") {
  ScratchFolder folder;
  folder.write("robin/a.ppm", kPicture);
  DatasetOptions options;
  options.crop = true;
  CHECK(contains(complaint("folder", folder.path(), "train", options), "no boxes are known (folder)"));
  options.crop = false;
  CHECK(open_dataset("folder", folder.path(), "train", options).size() == 1);
}

TEST_CASE("dataset: class ranges keep, renumber and complain") {
  ScratchFolder folder;
  for (const char* name : {"a/1.ppm", "b/2.ppm", "c/3.ppm", "d/4.ppm"}) folder.write(name, kPicture);
  Dataset part =
      open_dataset("folder", folder.path(), "train", {.classes = parse_class_range("1-2"), .crop = {}});
  CHECK(names_of(part) == std::vector<std::string>{"0 b/2.ppm", "1 c/3.ppm"});
  CHECK(part.class_names == std::vector<std::string>{"b", "c"});
  CHECK(contains(complaint("folder", folder.path(), "train", {.classes = ClassRange{2, 4}, .crop = {}}),
                 "has classes 0-3"));
  CHECK(parse_class_range("7").last == 7);
  for (const char* bad : {"", "-", "3-", "-3", "5-2", "1-2x", "x", "1,2", "99999999999999999999"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(parse_class_range(bad), InputError);
  }
}

TEST_CASE("dataset: GTSRB's layout: labels, tracks, regions") {
  ScratchFolder folder;
  std::string images = "Final_Training/Images/00003/";
  folder.write(images + "00000_00000.ppm", kPicture);
  folder.write(images + "00001_00002.ppm", kPicture);
  folder.write(images + "GT-00003.csv",
               kGtsrbHeading + "00000_00000.ppm;4;4;1;1;3;4;3\r\n00001_00002.ppm;4;4;0;0;4;9;3\r\n");
  folder.write("Final_Test/Images/00000.ppm", kPicture);
  folder.write("Final_Test/GT-final_test.csv", kGtsrbHeading + "00000.ppm;4;4;0;0;4;4;42\r\n");
  Dataset train = open_dataset("gtsrb", folder.path(), "train");
  REQUIRE(train.size() == 2);
  CHECK(train.class_count() == 43);
  CHECK(train.samples[0].label == 3);
  CHECK(train.samples[0].group == "00003/00000");
  CHECK(train.samples[0].box == Region{1, 1, 2, 3});
  Image sign = load_sample(train.samples[0]);
  CHECK(sign.width == 2);
  CHECK(sign.height == 3);
  CHECK(contains(thrown<InputError>([&] { load_sample(train.samples[1]); }), "leaves the picture of 4 x 4"));
  Dataset whole = open_dataset("gtsrb", folder.path(), "train", {.classes = {}, .crop = false});
  CHECK(load_sample(whole.samples[1]).width == 4);

  CHECK(open_dataset("gtsrb", folder.path(), "test").samples[0].group.empty());
  folder.write("test_origin.csv", "Filename,official_training_image\n00000.ppm,00042/00017_00003.ppm\n");
  CHECK(open_dataset("gtsrb", folder.path(), "test").samples[0].group == "00042/00017");

  folder.write(images + "GT-00003.csv", kGtsrbHeading + "00000_00000.ppm;4;4;1;1;3;4;43\r\n");
  CHECK(contains(complaint("gtsrb", folder.path(), "train"), "GT-00003.csv:2: class 43"));
  folder.write(images + "GT-00003.csv", kGtsrbHeading + "00000_00000.ppm;4;4;1;1;3;4;5\r\n");
  CHECK(contains(complaint("gtsrb", folder.path(), "train"), "GT-00003.csv: class 5 in the folder of another"));
  folder.write(images + "GT-00003.csv", kGtsrbHeading + "00000_00000.ppm;4;4;3;1;3;4;3\r\n");
  CHECK(contains(complaint("gtsrb", folder.path(), "train"), "GT-00003.csv:2: a region of no pixels"));
  folder.write(images + "GT-00003.csv", kGtsrbHeading + "absent.ppm;4;4;1;1;3;4;3\r\n");
  CHECK(contains(complaint("gtsrb", folder.path(), "train"), "absent.ppm: the data set names this picture"));
  folder.write(images + "GT-00003.csv", kGtsrbHeading + "00000_00000.ppm;4;4;one;1;3;4;3\r\n");
  CHECK(contains(complaint("gtsrb", folder.path(), "train"), "GT-00003.csv:2: `one` is not a whole number"));
  folder.write(images + "GT-00003.csv", kGtsrbHeading + "00000_00000.ppm;4;4\r\n");
  CHECK(contains(complaint("gtsrb", folder.path(), "train"), "GT-00003.csv:2: 3 fields, wanted 8"));
  folder.write(images + "GT-00003.csv", "Filename,Width\r\n");
  CHECK(contains(complaint("gtsrb", folder.path(), "train"), "GT-00003.csv:1: expected the heading"));
}

TEST_CASE("dataset: the real sets have the counts that they are published with") {
  struct Row {
    const char *kind, *folder, *split;
    int64_t samples, classes;
  };
  const Row rows[] = {{"gtsrb", "gtsrb", "train", 4800, 43},     {"gtsrb", "gtsrb", "test", 3750, 43},
                      {"cub", "cub_200_2011", "train", 240, 16}, {"cub", "cub_200_2011", "test", 224, 16},
                      {"isic2017", "isic2017", "train", 1499, 3},    {"isic2017", "isic2017", "validation", 150, 3},
                      {"isic", "isic2017", "test", 400, 3}};
  for (const Row& row : rows) {
    CAPTURE(row.folder);
    CAPTURE(row.split);
    std::filesystem::path root = test::bundle(row.folder);
    if (root.empty()) {
      MESSAGE("skipped: no folder `" << std::string(row.folder) << "` under PLUMAGE_TEST_DATA");
      continue;
    }
    Dataset dataset = open_dataset(row.kind, root, row.split);
    CHECK(dataset.size() == row.samples);
    CHECK(dataset.class_count() == row.classes);
    CHECK(dataset.labelled());
  }
}

TEST_CASE("dataset: GTSRB's training and test pictures share no track, and every region fits its picture") {
  std::filesystem::path root = test::bundle("gtsrb");
  if (root.empty()) {
    MESSAGE("skipped: no folder `gtsrb` under PLUMAGE_TEST_DATA");
    return;
  }
  Dataset train = open_dataset("gtsrb", root, "train"), test = open_dataset("gtsrb", root, "test");
  std::set<std::string> tracks, test_tracks;
  for (const Sample& s : train.samples) tracks.insert(s.group);
  for (const Sample& s : test.samples) test_tracks.insert(s.group);
  CHECK(tracks.size() == 417);
  CHECK(test_tracks.size() == 328);
  for (const std::string& track : test_tracks) CHECK(tracks.count(track) == 0);
  for (size_t i = 0; i < train.samples.size(); i += 97) CHECK_NOTHROW(load_sample(train.samples[i]));
}

}  // namespace plumage
