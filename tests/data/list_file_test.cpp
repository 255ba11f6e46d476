// List files: written and read back, by hand, in a folder, and wrong ones.
#include "data/list_file.h"

#include <doctest/doctest.h>

#include "data/dataset_check.h"
#include "data/split.h"
#include "tensor/errors.h"
#include "tests/data/bundle.h"

namespace plumage {
using namespace test;

TEST_CASE("list: a list comes back as it was written") {
  ScratchFolder folder;
  Dataset dataset{"test", "", {"a", "two words", ""}, {}};
  for (int64_t label : {0, 2, 1, -1}) dataset.samples.push_back({"", label, {}, ""});
  dataset.samples[0].path = folder / "with blank 7.ppm";
  for (size_t i = 1; i < 4; ++i) dataset.samples[i].path = folder / ("sub/" + std::to_string(i) + ".ppm");
  std::filesystem::path file = folder / "part.txt";
  dataset.samples[1].box = Region{-1, 2, 30, 40};
  dataset.samples[1].group = "00003/00017";
  dataset.samples[2].box = Region{0, 0, 3, 4};
  dataset.samples[2].stated_width = 50, dataset.samples[2].stated_height = 60;
  dataset.samples[3].path = folder / "#7.ppm";
  write_list(file, dataset);
  CHECK(!std::filesystem::exists(folder / "part.txt.part"));
  Dataset back = read_list(file);
  CHECK(back.class_names == dataset.class_names);
  REQUIRE(back.size() == 4);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(back.samples[i].label == dataset.samples[i].label);
    CHECK(back.samples[i].box == dataset.samples[i].box);
    CHECK(back.samples[i].group == dataset.samples[i].group);
    CHECK(back.samples[i].stated_height == dataset.samples[i].stated_height);
    CHECK(back.samples[i].path.lexically_normal() == dataset.samples[i].path.lexically_normal());
  }
}

TEST_CASE("list: lists by hand, with comments and without labels, and what is wrong with others") {
  ScratchFolder folder;
  Dataset dataset = read_list(folder.write("list.txt", "# mine\na.ppm 1\r\n\nb c.ppm\nd.ppm 0\n"));
  CHECK(labels_of(dataset) == std::vector<int64_t>{1, -1, 0});
  CHECK(dataset.class_names == std::vector<std::string>{"0", "1"});
  CHECK(dataset.samples[1].path == folder / "b c.ppm");
  std::filesystem::path bad = folder.write("bad.txt", "a.ppm 0\nb.ppm -7\n");
  CHECK(contains(thrown<InputError>([&] { read_list(bad); }), "bad.txt:2: label -7"));
  CHECK(contains(thrown<InputError>([&] { read_list(folder / "none.txt"); }), "none.txt: no such file"));
  CHECK(contains(thrown<InputError>([&] { open_dataset("list", folder / "list.txt", "all"); }),
                 "a.ppm: the data set"));
  CHECK_THROWS_AS(write_list(folder / "no/such/folder.txt", dataset), MachineError);
}

TEST_CASE("list: what is wrong is named with its line") {
  ScratchFolder folder;
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"a.ppm 1000001\n", "list.txt:1: label 1000001, wanted -1 to 1000000"},
      {"a.ppm 0\nb.ppm 99999999999999999999\n", "list.txt:2: label 99999999999999999999, wanted -1 to 1000000"},
      {"# class 0 a\na.ppm 1\n", "list.txt:2: label 1, but the list names 1 classes"},
      {"# box 0 0 0 5\na.ppm 1\n", "list.txt:1: a box out of range"},
      {std::string("a\0b 1\n", 6), "list.txt: not a text file"},
      {" 3\n", "list.txt:1: a label without a picture"}};
  for (const auto& [text, wanted] : wrong) {
    CAPTURE(wanted);
    std::filesystem::path file = folder.write("list.txt", text);
    std::string said = thrown<InputError>([&] { read_list(file); });
    CAPTURE(said);
    CHECK(contains(said, wanted));
  }
  CHECK(contains(thrown<InputError>([&] { open_dataset("list", folder.write("empty.txt", "# nothing\n"), "all"); }), "no pictures"));
}

TEST_CASE("list: a folder of lists has splits, and a label means the same in each") {
  ScratchFolder folder;
  folder.write("a.ppm", plain_ppm(2, 2, 1, 1, 1));
  folder.write("b.ppm", plain_ppm(2, 2, 2, 2, 2));
  folder.write("train.txt", "a.ppm 0\n");
  folder.write("test.txt", "b.ppm 4\n");
  CHECK(open_dataset("list", folder.path(), "train").class_count() == 5);
  CHECK(open_dataset("list", folder.path(), "test").samples[0].label == 4);
  CHECK(open_dataset("list", folder.path(), "all").size() == 2);
  CHECK(contains(thrown<InputError>([&] { open_dataset("list", folder.path(), "val"); }), "validation.txt: no such file"));
  CHECK(summarise("list", open_splits("list", folder.path())).line() == "list: 1 train, 1 test, 2 classes");
  folder.write("train.txt", "# class 0 auk\n# class 1 wren\na.ppm 0\n");
  CHECK(open_dataset("list", folder.path(), "test").class_names ==
        std::vector<std::string>{"auk", "wren", "2", "3", "4"});
  folder.write("test.txt", "# class 0 wren\n# class 1 auk\nb.ppm 0\n");
  CHECK(contains(thrown<InputError>([&] { open_dataset("list", folder.path(), "train"); }),
                 "test.txt: class 0 is `wren`, in another list of the folder `auk`"));
}

}  // namespace plumage
