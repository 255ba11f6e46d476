// What the tests of data sets share: a picture for folders made here, and what a reader says of one that it refuses.
#pragma once
#include "data/dataset.h"
#include "tensor/errors.h"
#include "tests/data/bundle.h"

namespace plumage::test {

/// The decoder goes by a file's first bytes, so a PPM may stand under an official name.
inline const std::string kPicture = plain_ppm(4, 4, 10, 20, 30);

inline std::string complaint(const std::string& kind, const std::filesystem::path& root, const std::string& split,
                             const DatasetOptions& options = {}) {
  return thrown<InputError>([&] { open_dataset(kind, root, split, options); });
}

}  // namespace plumage::test
