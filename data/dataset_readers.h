// The layouts behind open_dataset, one file each. A reader returns sorted samples of one split under `root`,
// labels set, boxes as stated; open_dataset does the rest. A new layout is one file and one row in
// dataset.cpp.
#pragma once
#include <filesystem>
#include <string>

#include "data/dataset.h"

namespace plumage::readers {

Dataset read_folder(const std::filesystem::path& root, const std::string& split);
Dataset read_gtsrb(const std::filesystem::path& root, const std::string& split);
Dataset read_cub(const std::filesystem::path& root, const std::string& split);
Dataset read_isic(const std::filesystem::path& root, const std::string& split);

/// `root`, or `root/inner` where an archive was unpacked with its own top folder. Throws InputError unless
/// one of them holds `sign`.
std::filesystem::path find_root(const std::filesystem::path& root, const std::string& inner,
                                const std::string& sign);

/// True if `split` asks for `part`. Throws InputError for a split that is not one of train, test, all.
bool wants(const std::string& split, const std::string& part);

}  // namespace plumage::readers
