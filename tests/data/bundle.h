// Where the tests find real pictures: the folder PLUMAGE_TEST_DATA, or ../shared/data beside the sources.
#pragma once
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

namespace plumage::test {

/// A folder of the bundle, or an empty path where it is not there.
inline std::filesystem::path bundle(const std::string& folder) {
  const char* root = std::getenv("PLUMAGE_TEST_DATA");
  std::filesystem::path path = root ? root : std::filesystem::path(PLUMAGE_SOURCE_DIR) / "../shared/data";
  path /= folder;
  return std::filesystem::is_directory(path) ? path : std::filesystem::path();
}

/// A new folder that is removed with everything in it.
class ScratchFolder {
 public:
  ScratchFolder() {
    static std::atomic<int> count{0};
    path_ = std::filesystem::temp_directory_path() /
            ("plumage-test-" + std::to_string(getpid()) + "-" + std::to_string(count++));
    std::filesystem::create_directories(path_);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

  /// Writes a file, with the folders above it.
  std::filesystem::path write(const std::string& name, const std::string& bytes) const {
    std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }

 private:
  std::filesystem::path path_;
};

/// A binary PPM of one colour.
inline std::string plain_ppm(int width, int height, unsigned char r, unsigned char g, unsigned char b) {
  std::string ppm = "P6\n" + std::to_string(width) + " " + std::to_string(height) + "\n255\n";
  for (int i = 0; i < width * height; ++i) ppm += {char(r), char(g), char(b)};
  return ppm;
}

/// What a throwing call says, or "" if it does not throw.
template <class Error, class Function>
std::string thrown(Function&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace plumage::test
