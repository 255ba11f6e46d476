// A first walk over a MATLAB file, before matio sees it.
#pragma once
#include <filesystem>

namespace plumage {

/// Throws InputError naming the file unless it is a MATLAB file of version 5 to 7 of at most 64 MiB, packed or not,
/// in which every part lies within its whole, every array has as many numbers as its dimensions say, and nothing is
/// nested deeper or is more numerous than a data set's tables are.
void check_matlab_layout(const std::filesystem::path& file);

}  // namespace plumage
