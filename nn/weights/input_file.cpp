#include "nn/weights/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tensor/errors.h"

namespace plumage {

InputFile::InputFile(const std::filesystem::path& path) : name_(path.string()) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // NONBLOCK: a pipe does not hang
  if (descriptor_ < 0) refuse(message("cannot be opened: ", std::strerror(errno)));
  struct stat status;
  bool regular = ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
  if (!regular) {
    ::close(descriptor_);  // a constructor that throws has no destructor
    refuse("is not a file");
  }
  size_ = status.st_size;
}

InputFile::InputFile(std::string name, std::span<const char> bytes)
    : name_(std::move(name)), size_(int64_t(bytes.size())), memory_(bytes) {}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void InputFile::read(int64_t offset, void* to, int64_t bytes) const {
  if (bytes == 0) return;
  if (offset < 0 || bytes < 0 || offset > size_ || bytes > size_ - offset) refuse("ends too early");
  if (descriptor_ < 0) {
    std::memcpy(to, memory_.data() + offset, size_t(bytes));
    return;
  }
  for (int64_t done = 0; done < bytes;) {
    ssize_t got = ::pread(descriptor_, static_cast<char*>(to) + done, size_t(bytes - done), offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw MachineError(message(name_, ": cannot be read: ", std::strerror(errno)));
    if (got == 0) refuse("ends too early");  // cut since it was opened
    done += got;
  }
}

void InputFile::refuse(const std::string& why) const {
  std::string line = why;
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  throw InputError(name_ + ": " + line);
}

}  // namespace plumage
