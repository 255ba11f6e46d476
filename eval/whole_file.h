// A file that is there completely or not at all: written beside, synced and renamed.
#pragma once
#include <filesystem>
#include <string_view>

namespace plumage {

/// Throws MachineError naming the file (disk full, no permission); an earlier file then stays as it was.
void write_whole_file(const std::filesystem::path& file, std::string_view bytes);

}  // namespace plumage
