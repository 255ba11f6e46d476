// What a command says of a data set before it uses it.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace plumage {

/// A release's line ("CUB-200-2011: 5994 train, ..."), and with `duplicates` a warning of pictures that are in two
/// splits, whatever the kind: they make scores look better than they are. Throws InputError as open_dataset.
std::vector<std::string> dataset_report(const std::string& kind, const std::filesystem::path& root,
                                        const DatasetOptions& options, bool duplicates);

}  // namespace plumage
