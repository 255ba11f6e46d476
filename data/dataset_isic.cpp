// ISIC 2017, part 3 (Codella et al. 2018): dermoscopy pictures, three diagnoses told by two columns of zeros
// and ones.
#include "data/dataset_readers.h"
#include "data/text_table.h"
#include "tensor/errors.h"

namespace plumage::readers {
namespace {

namespace fs = std::filesystem;

void read_part(const fs::path& root, const std::string& part, std::vector<Sample>& samples) {
  fs::path folder = root / ("ISIC-2017_" + part + "_Data");
  fs::path file = root / ("ISIC-2017_" + part + "_Part3_GroundTruth.csv");
  if (!fs::exists(file)) throw MissingSplit(file.string() + ": no such file; it holds the labels of a split");
  TextTable table(file, ',', 3, "image_id,melanoma,seborrheic_keratosis");
  for (const TextRow& row : table.rows()) {
    double melanoma = table.number(row, 1), keratosis = table.number(row, 2);
    bool sound =
        (melanoma == 0 || melanoma == 1) && (keratosis == 0 || keratosis == 1) && melanoma + keratosis < 2;
    if (!sound) table.fail(row, "wanted 0 or 1 for each diagnosis, and not both");
    samples.push_back({folder / (row.fields[0] + ".jpg"),
                       melanoma == 1    ? 0
                       : keratosis == 1 ? 2
                                        : 1,
                       {},
                       ""});
  }
}

}  // namespace

Dataset read_isic(const fs::path& root, const std::string& split, const std::string&) {
  Dataset dataset;
  dataset.class_names = {"melanoma", "nevus", "seborrheic keratosis"};
  if (wants(split, "train")) read_part(root, "Training", dataset.samples);
  if (wants(split, "validation")) read_part(root, "Validation", dataset.samples);
  if (wants(split, "test")) read_part(root, "Test_v2", dataset.samples);
  return dataset;
}

}  // namespace plumage::readers
