// Lists of pictures as text files: what a split or a share of labels came to, for others to read and to come back to.
#pragma once
#include <filesystem>

#include "data/dataset.h"

namespace plumage {

/// One `path label` line a sample, paths relative to the list's folder where they lie in it, class names in
/// `# class 0 NAME` lines before. A sample's box and group stand in comment lines above it, `# box X Y WIDTH HEIGHT`
/// (then the size of the picture that it speaks of, if stated) and `# group NAME`, so that other programs see `path label` alone. Written beside and renamed. Throws InputError
/// naming a picture whose path cannot stand on a line, MachineError if the file cannot be written.
void write_list(const std::filesystem::path& file, const Dataset& dataset);

/// Reads such a list; a path may hold spaces, `label` is the last word of the line or may be missing (-1);
/// `#` starts a comment line. Throws InputError naming the file and line.
Dataset read_list(const std::filesystem::path& file);

}  // namespace plumage
