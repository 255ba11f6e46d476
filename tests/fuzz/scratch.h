// Files in memory that a target's input is written to, for readers that take a path.
#pragma once
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace plumage::fuzz {

inline const std::filesystem::path& scratch() {
  static const std::filesystem::path folder = [] {
    std::filesystem::path base = std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path();
    std::filesystem::path made = base / ("plumage-fuzz-" + std::to_string(getpid()));
    std::filesystem::create_directories(made);
    std::atexit([] { std::filesystem::remove_all(scratch()); });
    return made;
  }();
  return folder;
}

inline std::filesystem::path write(const std::string& name, std::string_view bytes) {
  std::filesystem::path file = scratch() / name;
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << bytes;
  return file;
}

}  // namespace plumage::fuzz
