// The layouts behind open_dataset, one file each. A reader returns the samples of one split under `root` in an order
// of its own that never changes, labels set, boxes as stated; open_dataset does the rest. A new layout is one file and
// one row in dataset.cpp.
#pragma once
#include <filesystem>
#include <span>
#include <string>

#include "data/dataset.h"
#include "tensor/errors.h"

namespace plumage::readers {

/// A split that a copy does not have; other splits of it may be there.
struct MissingSplit : InputError {
  using InputError::InputError;
};

struct SplitSize {
  const char* split;
  int64_t pictures;  ///< in the release; 0 where there is no release
};

struct Layout {
  const char* kind;
  const char* title;  ///< for people
  /// `level`: which labels, where there are several; else empty.
  Dataset (*read)(const std::filesystem::path& root, const std::string& split, const std::string& level);
  std::span<const SplitSize> splits;
  int64_t classes;    ///< of the release
  bool crop = false;  ///< to its boxes, unless told

  bool released() const { return classes > 0; }
};

/// Throws InputError naming the kinds.
const Layout& find_layout(const std::string& kind);

/// The number of classes of an FGVC-Aircraft release at a level. Throws InputError for an unknown one.
int64_t aircraft_classes(const std::string& level);

Dataset read_aircraft(const std::filesystem::path& root, const std::string& split, const std::string& level);
Dataset read_cars(const std::filesystem::path& root, const std::string& split, const std::string&);
Dataset read_cub(const std::filesystem::path& root, const std::string& split, const std::string&);
Dataset read_folder(const std::filesystem::path& root, const std::string& split, const std::string&);
Dataset read_gtsrb(const std::filesystem::path& root, const std::string& split, const std::string&);
Dataset read_isic(const std::filesystem::path& root, const std::string& split, const std::string&);
Dataset read_lists(const std::filesystem::path& root, const std::string& split, const std::string&);

/// `root`, or `root/inner` where an archive was unpacked with its own top folder. Throws MissingSplit unless
/// one of them holds `sign`.
std::filesystem::path find_root(const std::filesystem::path& root, const std::string& inner,
                                const std::string& sign);

/// True if `split` asks for `part`: it is its name, or "all".
bool wants(const std::string& split, const std::string& part);

}  // namespace plumage::readers
