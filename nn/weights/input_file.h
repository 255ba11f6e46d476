// A file that is read by position, or a piece of memory in its place (tests, fuzzing). Next:
// nn/weights/weights_file.h.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace plumage {

class InputFile {
 public:
  /// Throws InputError naming the file: missing, unreadable, or no regular file.
  explicit InputFile(const std::filesystem::path& path);
  /// The bytes must outlive this.
  InputFile(std::string name, std::span<const char> bytes);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& name() const { return name_; }
  int64_t size() const { return size_; }
  /// Throws InputError if the file ends before offset + bytes, MachineError if the disk fails.
  void read(int64_t offset, void* to, int64_t bytes) const;
  /// Throws InputError "NAME: why", in one line whatever a hostile file made of `why`.
  [[noreturn]] void refuse(const std::string& why) const;

 private:
  std::string name_;
  int64_t size_ = 0;
  int descriptor_ = -1;
  std::span<const char> memory_;
};

}  // namespace plumage
