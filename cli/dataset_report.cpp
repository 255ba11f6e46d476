#include "cli/dataset_report.h"

#include "data/dataset_check.h"

namespace plumage {

std::vector<std::string> dataset_report(const std::string& kind, const std::filesystem::path& root,
                                        const DatasetOptions& options, bool duplicates) {
  std::vector<std::string> lines;
  if (!has_release(kind) && !duplicates) return lines;
  std::vector<Split> splits = open_splits(kind, root, options);
  if (has_release(kind)) lines.push_back(summarise(kind, splits, options).line());
  if (duplicates && splits.size() > 1) {
    std::string warning = duplicates_warning(splits, find_duplicates(splits));
    if (!warning.empty()) lines.push_back("warning: " + warning);
  }
  return lines;
}

}  // namespace plumage
