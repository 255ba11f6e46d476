#include "nn/weights/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "tensor/errors.h"

namespace plumage {

namespace fs = std::filesystem;

OutputFile::OutputFile(const fs::path& path) : path_(path) {
  std::error_code ignored;
  if (fs::exists(path, ignored) && !fs::is_regular_file(path, ignored)) fail("is there and is not a file");
  beside_ = path;
  beside_ += message(".", ::getpid(), ".partial");
  descriptor_ = ::open(beside_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_by_errno("cannot be written");
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!done_) ::unlink(beside_.c_str());
}

void OutputFile::write(const void* data, int64_t bytes) {
  for (int64_t done = 0; done < bytes;) {
    ssize_t put = ::write(descriptor_, static_cast<const char*>(data) + done, size_t(bytes - done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_by_errno("cannot be written");
    done += put;
  }
}

void OutputFile::finish() {
  if (::fsync(descriptor_) != 0) fail_by_errno("cannot be written");
  int descriptor = std::exchange(descriptor_, -1);
  if (::close(descriptor) != 0) fail_by_errno("cannot be written");
  if (::rename(beside_.c_str(), path_.c_str()) != 0) fail_by_errno("cannot be put in place");
  done_ = true;
  fs::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  int parent = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0) return;
  ::fsync(parent);  // the rename itself; some file systems refuse it
  ::close(parent);
}

void OutputFile::fail(const std::string& why) { throw MachineError(message(path_.string(), ": ", why)); }

void OutputFile::fail_by_errno(const char* what) {
  const char* why = std::strerror(errno);
  fail(message(what, ": ", why, "; an earlier file is as it was"));
}

}  // namespace plumage
