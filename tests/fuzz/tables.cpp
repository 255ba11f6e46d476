// The text tables of data sets and list files. The input's first byte chooses the reader, `\x1e` parts its files.
#include <array>
#include <string_view>
#include <vector>

#include "data/dataset_check.h"
#include "data/list_file.h"
#include "tensor/errors.h"
#include "tests/fuzz/scratch.h"

using namespace plumage;

namespace {

struct Layout {
  const char* kind;
  std::vector<const char*> files;
};

const std::array<Layout, 5> kLayouts = {{
    {"list", {"list/train.txt", "list/test.txt"}},
    {"cub", {"cub/images.txt", "cub/classes.txt", "cub/image_class_labels.txt", "cub/train_test_split.txt", "cub/bounding_boxes.txt"}},
    {"gtsrb", {"gtsrb/Final_Training/Images/00003/GT-00003.csv", "gtsrb/Final_Test/GT-final_test.csv", "gtsrb/test_origin.csv"}},
    {"isic2017", {"isic2017/ISIC-2017_Training_Part3_GroundTruth.csv", "isic2017/ISIC-2017_Test_v2_Part3_GroundTruth.csv"}},
    {"aircraft", {"aircraft/variants.txt", "aircraft/images_variant_train.txt", "aircraft/images_box.txt"}},
}};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  const Layout& layout = kLayouts[bytes[0] % kLayouts.size()];
  std::string_view rest(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  for (const char* file : layout.files) {
    size_t end = std::min(rest.find('\x1e'), rest.size());
    fuzz::write(file, rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  fuzz::write(layout.kind + std::string("/images/a.jpg"), "P2 1 1 1 1");  // so that some row names a picture
  try {
    std::vector<Split> splits = open_splits(layout.kind, fuzz::scratch() / layout.kind);
    summarise(layout.kind, splits).line();
    duplicates_warning(splits, find_duplicates(splits));
    for (const Split& split : splits) {
      write_list(fuzz::scratch() / "written.txt", split.dataset);
      if (read_list(fuzz::scratch() / "written.txt").size() != split.dataset.size()) __builtin_trap();
    }
  } catch (const InputError&) {
  }
  return 0;
}
