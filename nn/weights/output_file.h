// A file that is written beside the one it replaces, synced and renamed: an earlier file is never lost or
// half written.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

namespace plumage {

class OutputFile {
 public:
  /// Throws MachineError naming the file: no permission, no folder, or something there that is no file.
  explicit OutputFile(const std::filesystem::path& path);
  ~OutputFile();  ///< leaves the earlier file as it was unless finish() came through
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* data, int64_t bytes);  ///< throws MachineError (disk full)
  void finish();                                ///< puts it in place; throws MachineError

 private:
  [[noreturn]] void fail(const std::string& why);
  [[noreturn]] void fail_by_errno(const char* what);
  std::filesystem::path path_, beside_;
  int descriptor_ = -1;
  bool done_ = false;
};

}  // namespace plumage
