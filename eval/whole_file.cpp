// POSIX calls behind write_whole_file.
#include "eval/whole_file.h"

#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include "tensor/errors.h"

namespace plumage {
namespace {

struct Descriptor {
  int number = -1;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(size_t(written));
  }
  return ::fsync(descriptor) == 0;
}

}  // namespace

void write_whole_file(const std::filesystem::path& file, std::string_view bytes) {
  std::filesystem::path beside = file;
  beside += ".part" + std::to_string(::getpid());
  auto fail = [&] {
    std::string reason = std::strerror(errno);
    ::unlink(beside.c_str());
    throw MachineError(
        message(file.string(), ": cannot be written: ", reason, "; free space or choose another folder"));
  };
  {
    Descriptor out{::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)};
    if (out.number < 0 || !write_all(out.number, bytes)) fail();
  }
  if (::rename(beside.c_str(), file.c_str()) != 0) fail();
}

}  // namespace plumage
